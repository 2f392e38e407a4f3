"""Reading a corpus that is one JSON document, or one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainables.data import textfiles
from trainables.errors import UserError


def load(path: Path) -> Any:
    """The document.

    Raises:
        UserError: For a file that is not JSON, with the line.
    """
    with textfiles.at(path):
        text = textfiles.decoded(textfiles.content(path).removeprefix(b"\xef\xbb\xbf"))
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not JSON ({error.msg} at column {error.colno})") from None


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file that has one per line.

    Yields:
        Line number and object.

    Raises:
        UserError: For a line that is no JSON object, and for a file without any.
    """
    found = False
    for number, line in textfiles.lines(textfiles.content(path), path):
        if not line.strip():
            continue
        with textfiles.at(path, number):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"not JSON ({error.msg} at column {error.colno})") from None
            if not isinstance(row, dict):
                raise UserError(f"found {line[:60]!r}; one JSON object expected")
        found = True
        yield number, row
    if not found:
        raise UserError(f"{path}: holds no rows; one JSON object per line expected")


def text(record: dict[str, Any], name: str) -> str:
    """A record's field that must be text.

    Raises:
        UserError: Where it is missing, empty or something else.
    """
    value = record.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{name!r} is {value!r:.60}; text expected")
    return value
