"""Expressions: frozen dataclasses whose fields are hyperparameters and the stages they start from.

An expression's **key** is a hash of its canonical form, so equal expressions have equal keys and a
stage is trained at most once, whatever sweep asks for it. Three rules keep keys stable:

* A field that equals its default is left out, so a later version may add a field with a default
  without changing one existing key. A default, once released, never changes: raise ``version``.
* A field marked :data:`LOCATED` says where something lies, not what it is. It is left out, and the
  content's fingerprint (:meth:`Stage.fingerprints`) stands in its place: a moved folder keeps its keys. Where such a
  field holds a stage, its key stands there as anywhere.
* Numbers are normalised by the field's declared type (``1`` given for a ``float`` becomes ``1.0``).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import json
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any, ClassVar

from trainables.errors import UserError, did_you_mean

KEY_LENGTH = 32  # hexadecimal digits: 128 bits

#: Stages of this package go by their bare names; those of any other module as ``module:Name``.
VOCABULARY = "trainables.stages"

#: Metadata of a field that says where something lies: ``path: str = field(metadata=LOCATED)``; not in the key.
LOCATED = {"located": True}

_REGISTRY: dict[str, type[Stage]] = {}


@dataclasses.dataclass(frozen=True)
class Stage:
    """Base of every stage; subclasses are frozen dataclasses and register themselves by name.

    Attributes:
        version: Part of the key; raised when the same fields give another result.
        implementation: ``"module:function"``, imported only where the stage is run.
        stored: Whether running it makes a folder in the store. ``Pretrained`` is only a name for
            weights that lie elsewhere, so it is never run.
        makes_model: Whether the finished folder holds weights that another stage can start from.
        uses_device: Whether it runs a model, so that a GPU helps.
        prunable: Whether a search may stop it early. Its history then counts comparable training as ``resource``; it
            has ``epochs``, and its checkpoints have the ``history`` of those that are behind it.
    """

    version: ClassVar[int] = 1
    implementation: ClassVar[str] = ""
    stored: ClassVar[bool] = True
    makes_model: ClassVar[bool] = True
    uses_device: ClassVar[bool] = True
    prunable: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if not cls.__name__.startswith("_"):  # else it is only what stages have in common
            _REGISTRY[cls.type_name()] = cls

    def __post_init__(self) -> None:
        kind: Any = type(self)
        for field, declared in _declared(kind):
            value = _normalised(self, field.name, getattr(self, field.name), declared)
            object.__setattr__(self, field.name, value)
        self.check()

    @classmethod
    def type_name(cls) -> str:
        """What stands for the type in keys and JSON."""
        built_in = f"{cls.__module__}.".startswith(f"{VOCABULARY}.")
        return cls.__name__ if built_in else f"{cls.__module__}:{cls.__qualname__}"

    def check(self) -> None:
        """Refuses impossible hyperparameters.

        Raises:
            UserError: Naming the field, the value and the rule.
        """

    def fingerprints(self) -> dict[str, str]:
        """Fingerprints of what the stage reads from outside the store, by role (``data``, ``weights``)."""
        return {}

    def label(self) -> str:
        """A short description for progress displays and logs."""
        return type(self).__name__

    @functools.cached_property
    def inputs(self) -> tuple[Stage, ...]:
        """The stages this one starts from, in field order."""
        found: list[Stage] = []
        for field in dataclasses.fields(self):
            found.extend(_stages_in(getattr(self, field.name)))
        return tuple(found)

    @property
    def schedule(self) -> str:
        """Of a prunable stage: what its epochs are; scores of two that differ in it are not compared on the way."""
        return ""

    @property
    def data_parallel(self) -> bool:
        """Whether several processes may train it together; how many do is a setting of the run, not of the key."""
        return False

    @property
    def unkeyed(self) -> dict[str, Any]:
        """Fields that its key has something else in place of; rows of two that differ in them are two."""
        return {}

    @property
    def starts_from(self) -> tuple[Stage, ...]:
        """The inputs whose weights it needs; of the others it reads results and files."""
        return tuple(stage for stage in self.inputs if stage.makes_model)

    @functools.cached_property
    def key(self) -> str:
        """The stage's identity: the first 32 hex digits of the SHA-256 of its canonical form."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:KEY_LENGTH]

    def canonical(self) -> dict[str, Any]:
        """What the key hashes: type, version, fields off their defaults, inputs' keys, fingerprints."""
        fields = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if (field.metadata.get("located") and not isinstance(value, Stage)) or value == _default(field):
                continue
            fields[field.name] = _encode(value, lambda stage: {"key": stage.key})
        form: dict[str, Any] = {"type": self.type_name(), "version": self.version, "fields": fields}
        fingerprints = self.fingerprints()
        if fingerprints:
            form["fingerprints"] = fingerprints
        return form

    def to_json(self) -> dict[str, Any]:
        """The whole nested expression, readable, for ``stage.json``; see :func:`from_json`."""
        fields = {
            field.name: _encode(getattr(self, field.name), lambda stage: stage.to_json())
            for field in dataclasses.fields(self)
        }
        return {"stage": self.type_name(), **fields}

    def walk(self) -> Iterator[Stage]:
        """Every distinct stage of the expression, inputs before what starts from them."""
        seen: set[str] = set()

        def visit(stage: Stage) -> Iterator[Stage]:
            if stage.key in seen:
                return
            seen.add(stage.key)
            for parent in stage.inputs:
                yield from visit(parent)
            yield stage

        return visit(self)

    def __getstate__(self) -> dict[str, Any]:
        # Cached keys travel with the object: a worker need not see the driver's data to know the key.
        return dict(self.__dict__)


def from_json(form: dict[str, Any]) -> Stage:
    """Reads a stage back from :meth:`Stage.to_json`.

    Raises:
        UserError: For an unknown stage type or field, with the nearest known one, and for a missing field.
    """
    name = str(form.get("stage", ""))
    try:
        importlib.import_module(name.partition(":")[0] if ":" in name else VOCABULARY)
    except (ImportError, ValueError, TypeError) as error:  # the latter two for an empty name and a relative one
        raise UserError(f"stage {name!r} is of a module that cannot be imported here: {error}") from error
    if name not in _REGISTRY:
        raise UserError(f"unknown stage {name!r}{did_you_mean(name, _REGISTRY)}")
    kind = _REGISTRY[name]
    known = {field.name for field in dataclasses.fields(kind)}
    fields = {key: value for key, value in form.items() if key != "stage"}
    for field in fields:
        if field not in known:
            raise UserError(f"{name} has no field {field!r}{did_you_mean(field, known)}")
    missing = [field.name for field in dataclasses.fields(kind) if _is_required(field) and field.name not in fields]
    if missing:
        raise UserError(f"{name} lacks {', '.join(missing)}; fields without a default must be given")
    return kind(**{key: _decode(value) for key, value in fields.items()})


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        return from_json(value)
    if isinstance(value, list):
        return tuple(_decode(item) for item in value)
    return value


def _encode(value: Any, of_stage: Any) -> Any:
    if isinstance(value, Stage):
        return of_stage(value)
    if isinstance(value, tuple):
        return [_encode(item, of_stage) for item in value]
    return value


def _stages_in(value: Any) -> Iterator[Stage]:
    if isinstance(value, Stage):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _stages_in(item)


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default  # MISSING equals no value, so a field without a default is always kept


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


@functools.cache
def _declared(kind: Any) -> list[tuple[dataclasses.Field[Any], Any]]:
    hints = typing.get_type_hints(kind)
    return [(field, hints[field.name]) for field in dataclasses.fields(kind)]


def _alternatives(declared: Any) -> tuple[Any, ...]:
    if typing.get_origin(declared) in (typing.Union, types.UnionType):
        return typing.get_args(declared)
    return (declared,)


def _normalised(stage: Stage, name: str, value: Any, declared: Any) -> Any:
    """The value as the field's type wants it, or an error that names stage, field, value and type."""
    for option in _alternatives(declared):
        if option is type(None) and value is None:
            return None
        if option is float and isinstance(value, int | float) and not isinstance(value, bool):
            if not abs(value) <= sys.float_info.max:  # NaN is not either
                raise UserError(f"{type(stage).__name__}.{name}={value} must be a finite number")
            return float(value) + 0.0  # -0.0 equals 0.0, and so must its text
        if option is int and isinstance(value, int) and not isinstance(value, bool):
            return value
        if option in (str, bool) and isinstance(value, option):
            return value
        if isinstance(option, type) and issubclass(option, Stage) and isinstance(value, option):
            return value
        if typing.get_origin(option) is tuple and isinstance(value, tuple | list):
            (item, *_) = typing.get_args(option)
            return tuple(_normalised(stage, name, element, item) for element in value)
    wanted = getattr(declared, "__name__", str(declared))
    raise UserError(f"{type(stage).__name__}.{name}={value!r} is a {type(value).__name__}; it must be {wanted}")
