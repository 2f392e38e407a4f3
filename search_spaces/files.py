"""Search spaces that users write: YAML files of sets, single values and ranges."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search_spaces.parameters import Parameter, Parameters, known, number
from search_spaces.space import Choices, Range, Space
from trainables import handwritten
from trainables.errors import UserError, did_you_mean

BASE = "base"
_RANGE_KEYS = ("low", "high", "log", "step")


def read(path: str | Path, parameters: Parameters, bases: Mapping[str, Space], base: str) -> Space:
    """Reads a space from a YAML file.

        base: wide                                # whose dimensions hold where this file names none
        gamma: [0.6, 0.8]                         # a set
        epochs: 10                                # one value
        learning_rate: {low: 1e-6, high: 1e-4, log: true}
        beta2: {low: 0, high: 1, step: 0.25}

    Args:
        path: The file; its name becomes the space's.
        parameters: All hyperparameters of the method, with their rules.
        bases: Spaces by name, for ``base``.
        base: The base of a file that names none.

    Raises:
        UserError: With the file, the key, the value and the rule.
    """
    where = f"space {Path(path).name!r}: "
    content = _load(Path(path), where)
    chosen = content.pop(BASE, base)
    if not isinstance(chosen, str) or chosen not in bases:
        raise UserError(f"{where}{BASE}={chosen!r} is no space{did_you_mean(str(chosen), bases)}")
    own: dict[str, Choices | Range] = {}
    for key, value in content.items():
        if key not in parameters:
            raise UserError(f"{where}unknown hyperparameter {key!r}{did_you_mean(str(key), [*parameters, BASE])}")
        own[key] = _dimension(known(key, parameters, where), value, where)
    return Space(Path(path).name, {**bases[chosen].dimensions, **own}, parameters)


def _load(path: Path, where: str) -> dict[Any, Any]:
    """The file's mapping."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"space file {str(path)!r} cannot be read: {error}") from error
    content = handwritten.from_yaml(text, f"space file {str(path)!r}")
    if not isinstance(content, dict) or not content:
        given = "empty" if not content else f"a {type(content).__name__}"
        raise UserError(f"{where}the file is {given}; it must map hyperparameters to sets, values or ranges")
    return content


def _dimension(parameter: Parameter, value: Any, where: str) -> Choices | Range:
    if isinstance(value, list):
        return Choices(tuple(map(_number, value)))
    if isinstance(value, dict):
        return _range(parameter, value, where)
    if value is None:
        raise UserError(
            f"{where}{parameter.name} has no value; give a list, one value ({parameter.rule}), or low and high"
        )
    return Choices((_number(value),))


def _range(parameter: Parameter, value: dict[Any, Any], where: str) -> Range:
    for key in value:
        if key not in _RANGE_KEYS:
            raise UserError(f"{where}{parameter.name} has an unknown key {key!r}{did_you_mean(str(key), _RANGE_KEYS)}")
    missing = [key for key in ("low", "high") if value.get(key) is None]
    if missing:
        raise UserError(f"{where}{parameter.name}={value!r} lacks {' and '.join(missing)}; a range has low and high")
    log = value.get("log", False)
    if not isinstance(log, bool):
        raise UserError(f"{where}{parameter.name}: log={log!r} must be true or false")
    return Range(
        _number(value["low"]),
        _number(value["high"]),
        log=log,
        integer=parameter.kind is int,
        step=None if value.get("step") is None else _number(value["step"]),
    )


def _number(value: Any) -> Any:
    """A number as YAML's writer meant it: its parser takes ``1e-5``, which has no dot, for text."""
    return number(value) if isinstance(value, str) else value
