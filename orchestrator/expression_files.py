"""Expressions written by hand or by a search, in JSON or YAML: how such files are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchestrator import models, options
from trainables import handwritten
from trainables.data import corpora, sources
from trainables.errors import UserError
from trainables.expression import Stage, from_json

SUFFIXES = (".json", ".yaml", ".yml")
#: Fields whose value may be a model's name instead of an expression.
_MODEL_FIELDS = frozenset({"base", "init", "student", "teacher", "tokenizer"})
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
        return from_json(prepared(found["stage"] if isinstance(found["stage"], dict) else found, path.parent))
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


def prepared(form: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A stage's form with models instead of their names, and its files by absolute paths, as workers need them.

    A field without a value is left out, as in YAML files of options.

    Args:
        form: The stage's.
        folder: The file's own, from which its relative paths lead; what is not there is looked for in the current one.

    Raises:
        UserError: For a field of a wrong type, and for a file, folder or model that is in neither place.
    """
    made: dict[str, Any] = {}
    for name, value in form.items():
        if not isinstance(name, str):
            raise UserError(f"{short(name)} is no field of a stage; fields have names")
        if value is not None:
            made[name] = _prepared_field(name, value, folder)
    return made


def _prepared_field(name: str, value: Any, folder: Path) -> Any:
    if name in _MODEL_FIELDS and not isinstance(value, str | dict):
        raise UserError(f"{name}={short(value)} is a {type(value).__name__}; it must be a stage or a model's name")
    if name in ("task", "data") and not isinstance(value, str):
        raise UserError(f"{name}={short(value)} is a {type(value).__name__}; it must be a name")
    if isinstance(value, dict):
        return prepared(value, folder)
    if isinstance(value, list):
        return [prepared(one, folder) if isinstance(one, dict) else one for one in value]
    if not isinstance(value, str):
        return value
    if name in _MODEL_FIELDS:
        return _model(value, folder)
    if name == "name":  # of a Pretrained
        return _weights(value, folder)
    if name in _CORPUS_FIELDS:
        return _corpus(value, folder)
    if name == "data":
        return value if value == sources.MINIATURE else options.data_source(str(_found(value, folder) or value))
    return value


def _found(text: str, folder: Path) -> Path | None:
    """What a path leads to, from the expression's own folder or else the current one; None where there is nothing."""
    paths = [place / Path(text).expanduser() for place in (folder, Path()) if text]
    return next((path.resolve() for path in paths if path.exists()), None)


def _model(text: str, folder: Path) -> Stage:
    """The model of a name, of weights or of another expression's file."""
    name, equals, given = text.partition("=") if "=" in text else ("", "", text)
    return models.resolve(f"{name}{equals}{given if given in models.MODELS else _weights(given, folder)}")[1]


def _weights(text: str, folder: Path) -> str:
    """A path as an absolute one; a hub id as it is."""
    found = _found(text, folder)
    return str(found) if found is not None and (found.is_dir() or found.suffix in SUFFIXES) else text


def _corpus(text: str, folder: Path) -> str:
    """A corpus's name, with an absolute path where it is a file or folder.

    Raises:
        UserError: For a path that leads nowhere.
    """
    if not corpora.is_path(text):
        return text
    found = _found(text, folder)
    if found is None:
        raise corpora.missing(text, (folder.resolve(), Path.cwd()))
    return str(found)


def short(value: Any) -> str:
    """A value for a message, not too long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
