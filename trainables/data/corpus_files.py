"""Text files, compressed ones, archives, and folders of them, read one text at a time.

* ``.txt`` and ``.gz``: every line that is not blank is a text. They are UTF-8.
* ``.tar``, ``.tar.gz`` and ``.tgz``: every member is one text, its lines joined, as corpora of abstracts are packed.
  Members come in the archive's own order: sorting them would mean to unpack all of it again for each.
* a folder: all of these in it, at any depth, in sorted order of their paths.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from trainables.errors import UserError

#: How the names of corpus files end.
SUFFIXES = (".txt", ".gz", ".tar", ".tgz")
#: For errors: what a corpus of files may be.
KINDS = ".txt, .gz, .tar, .tar.gz or .tgz file"
_ARCHIVES = (".tar", ".tar.gz", ".tgz")
#: Bytes of a member at most. It is held in memory as one text; a longer one is most likely a file of many.
_LARGEST_MEMBER = 1 << 24
_TORN = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError)


def files(corpus: str) -> list[Path] | None:
    """The files of a corpus in the order in which they are read; None where there is no such file or folder.

    Raises:
        UserError: For a file of another kind, and a folder without any.
    """
    path = Path(corpus).expanduser()
    if path.is_file():
        if path.suffix in SUFFIXES:
            return [path]
        raise UserError(f"corpus {corpus!r} is no {KINDS}; give one, or a folder of them")
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
        if found:
            return found
        raise UserError(f"corpus folder {corpus!r} holds no {KINDS}; put the text there, in .txt files one per line")
    return None


def fingerprint(paths: list[Path]) -> str:
    """A hash of the files' bytes in their order; it does not depend on where they lie."""
    digest = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        digest.update(_content_hash(path, stat.st_size, stat.st_mtime_ns))
    return digest.hexdigest()


def texts(path: Path) -> Iterator[str]:
    """The texts of a file; one line or one member is in memory at a time.

    Raises:
        UserError: For a file that is not UTF-8, naming it (and the member) and the place, and for a torn one.
    """
    try:
        yield from _members(path) if path.name.endswith(_ARCHIVES) else _lines(path)
    except _TORN as error:
        raise UserError(f"corpus file {str(path)!r} cannot be unpacked: {error}; get it again") from error


@functools.lru_cache(maxsize=4096)
def _content_hash(path: Path, size: int, modified: int) -> bytes:
    """Of a file's bytes; size and time of change are arguments so that a changed file is read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _lines(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        try:
            for line in file:
                if text := line.strip():
                    yield text
        except UnicodeDecodeError as error:
            # The decoder counts from the start of its buffer, which says nothing of the place in the file.
            raise UserError(f"corpus file {str(path)!r} is no UTF-8 text: {_first_other_byte(path)}") from error


def _first_other_byte(path: Path) -> str:
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return f"byte {error.start + 1} of line {number} is {line[error.start]:#04x}; convert it to UTF-8"
    return "it changed while it was read"


def _members(path: Path) -> Iterator[str]:
    # As a stream: a compressed archive cannot be read in any other order without unpacking it again and again.
    with _opened(path) as file, tarfile.open(fileobj=file, mode="r|") as archive:
        while (member := archive.next()) is not None:
            # It remembers every header otherwise: a gigabyte for two million abstracts.
            archive.members = []  # type: ignore[attr-defined]
            if member.isfile() and (text := _text(path, member, archive.extractfile(member))):
                yield text
        # Where a header is cut off, tarfile takes that for the end.
        if path.suffix == ".tar" and path.stat().st_size < archive.offset + tarfile.BLOCKSIZE:
            raise tarfile.ReadError("its end is missing")


def _opened(path: Path) -> IO[bytes]:
    return path.open("rb") if path.suffix in (".tar", ".txt") else cast(IO[bytes], gzip.open(path, "rb"))


def _text(path: Path, member: tarfile.TarInfo, file: IO[bytes] | None) -> str:
    where = f"corpus file {str(path)!r}, member {member.name!r}"
    if member.size > _LARGEST_MEMBER:
        raise UserError(
            f"{where} has {member.size:,} bytes; a member is one text of at most {_LARGEST_MEMBER:,}. Unpack the "
            "archive: in .txt files every line is a text"
        )
    content = b"" if file is None else file.read()
    try:
        return " ".join(content.decode("utf-8").split())
    except UnicodeDecodeError as error:
        raise UserError(
            f"{where} is no UTF-8 text: byte {error.start + 1} is {content[error.start]:#04x}; convert it to UTF-8"
        ) from error
