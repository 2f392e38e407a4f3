"""Reading a corpus that is one JSON document."""

from __future__ import annotations

import json
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


def text(record: dict[str, Any], name: str) -> str:
    """A record's field that must be text.

    Raises:
        UserError: Where it is missing, empty or something else.
    """
    value = record.get(name)
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{name!r} is {value!r:.60}; text expected")
    return value
