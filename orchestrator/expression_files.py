"""Expressions written by hand or by a search, in JSON or YAML: how such files are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchestrator import models, options
from trainables import handwritten
from trainables.errors import UserError
from trainables.expression import Stage, from_json

SUFFIXES = (".json", ".yaml", ".yml")
#: Fields whose value may be a model's name instead of an expression.
_MODEL_FIELDS = frozenset({"init", "student", "teacher"})
#: Fields that name a corpus, which may be a file or folder.
_CORPUS_FIELDS = frozenset({"corpus", "vocabulary"})


def stage(path: Path) -> Stage:
    """The one stage that a file holds, alone or as a list of one.

    Raises:
        UserError: For a file that cannot be read or holds something else.
    """
    found = content(path)
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict) or "stage" not in found:
        raise UserError(f"{path} holds {short(found)}; as a model it must hold one expression, a mapping with 'stage'")
    try:
        return from_json(prepared(found["stage"] if isinstance(found["stage"], dict) else found))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def content(path: Path) -> Any:
    """What a JSON or YAML file holds.

    Raises:
        UserError: For a file that cannot be read.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{str(path)!r} cannot be read: {error}") from error
    try:
        return handwritten.from_json(text, repr(str(path)))
    except (json.JSONDecodeError, RecursionError) as error:
        if path.suffix == ".json":
            raise UserError(f"{str(path)!r} is no valid JSON: {error}") from error
    return handwritten.from_yaml(text, repr(str(path)), exponents=True)


def prepared(form: dict[str, Any]) -> dict[str, Any]:
    """A stage's form with models instead of their names, and its data in an absolute folder, as workers need it.

    A field without a value is left out, as in YAML files of options.
    """
    made: dict[str, Any] = {}
    for name, value in form.items():
        if not isinstance(name, str):
            raise UserError(f"{short(name)} is no field of a stage; fields have names")
        if value is not None:
            made[name] = _prepared_field(name, value)
    return made


def _prepared_field(name: str, value: Any) -> Any:
    if name in _MODEL_FIELDS and not isinstance(value, str | dict):
        raise UserError(f"{name}={short(value)} is a {type(value).__name__}; it must be a stage or a model's name")
    if name in ("task", "data") and not isinstance(value, str):
        raise UserError(f"{name}={short(value)} is a {type(value).__name__}; it must be a name")
    if isinstance(value, dict):
        return prepared(value)
    if isinstance(value, list):
        return [prepared(one) if isinstance(one, dict) else one for one in value]
    if name in _MODEL_FIELDS:
        return models.resolve(value)[1]
    if name in _CORPUS_FIELDS and isinstance(value, str) and Path(value).expanduser().exists():
        return str(Path(value).expanduser().resolve())  # workers have a current folder of their own
    return options.data_source(value) if name == "data" else value


def short(value: Any) -> str:
    """A value for a message, not too long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
