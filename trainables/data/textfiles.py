"""Reading text files so that every complaint names file and line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from trainables.errors import UserError


@contextlib.contextmanager
def at(where: object, line: int | None = None) -> Iterator[None]:
    """Puts file (and line, counted from 1) before the user errors of a block."""
    try:
        yield
    except UserError as error:
        place = f"{where}, line {line}" if line is not None else str(where)
        raise type(error)(f"{place}: {error}") from None


def content(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        UserError: Where the system refuses.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error


def decoded(data: bytes) -> str:
    """Bytes as UTF-8.

    Raises:
        UserError: For other bytes, with the place of the first.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"byte {error.start + 1} is not UTF-8; the file must be UTF-8") from None


def lines(data: bytes, where: object) -> Iterator[tuple[int, str]]:
    """Numbered lines of a UTF-8 text without their ends; a byte-order mark is dropped.

    Only LF and CR LF end a line: texts hold other characters that ``str.splitlines`` would split at.

    Args:
        data: The file's bytes.
        where: Its name in errors.

    Raises:
        UserError: For a line that is not UTF-8.
    """
    body = data.removeprefix(b"\xef\xbb\xbf")
    try:
        rows = body.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        rows = [_line(row, where, number) for number, row in enumerate(body.split(b"\n"), start=1)]
    if rows[-1] == "":
        rows.pop()
    for number, row in enumerate(rows, start=1):
        yield number, row.removesuffix("\r")


def _line(row: bytes, where: object, number: int) -> str:
    with at(where, number):
        return decoded(row)
