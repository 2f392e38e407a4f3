"""Unlabelled text by name: the miniature corpora, a task's training texts, or text files.

* ``mini:general`` and ``mini:domain``: the corpora of the miniature benchmark.
* ``task:NAME``: the texts of a task's training split, from a source of :mod:`trainables.data.sources`.
* anything else: a ``.txt`` or ``.txt.gz`` file in UTF-8, or a folder with such files (at any depth); every line that is
  not blank is a text.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from trainables.data import miniature, sources, tasks
from trainables.data.examples import TokenExample
from trainables.errors import UserError, did_you_mean

_MINIATURE = "mini:"
_TASK = "task:"
_MINIATURE_NAMES = ("general", "domain")
_SUFFIXES = (".txt", ".gz")


def fingerprint(corpus: str, data: str | None = None) -> str:
    """A hash of a corpus's content; the same text elsewhere has the same one.

    Args:
        corpus: Its name, see the module.
        data: Source of the task's text where the corpus is ``task:NAME``.

    Raises:
        UserError: For an unknown corpus, a missing source, or files without text.
    """
    if corpus.startswith(_MINIATURE):
        return miniature.corpus_fingerprint(_miniature_name(corpus))
    if corpus.startswith(_TASK):
        source, task = _source(corpus, data)
        return hashlib.sha256(f"train texts of {sources.fingerprint(source, task)}".encode()).hexdigest()
    digest = hashlib.sha256()
    for path in _files(corpus):
        stat = path.stat()
        digest.update(_content_hash(path, stat.st_size, stat.st_mtime_ns))
    return digest.hexdigest()


def read(corpus: str, data: str | None = None) -> Iterator[str]:
    """The texts of a corpus, in a fixed order.

    Args:
        corpus: Its name, see the module.
        data: Source of the task's text where the corpus is ``task:NAME``.

    Raises:
        UserError: As :func:`fingerprint`, and for a file that is not UTF-8, with its path.
    """
    if corpus.startswith(_MINIATURE):
        yield from miniature.corpus(_miniature_name(corpus))
    elif corpus.startswith(_TASK):
        yield from _task_texts(*_source(corpus, data))
    else:
        for path in _files(corpus):
            yield from _lines(path)


def is_path(corpus: str) -> bool:
    """Whether a corpus can only be a file or folder: its name is neither of the miniature nor a task's."""
    return not corpus.startswith((_MINIATURE, _TASK))


def missing(corpus: str, folders: Iterable[Path]) -> UserError:
    """The error about a file or folder that is not there.

    Args:
        corpus: Its name.
        folders: Where it was looked for.
    """
    places = " and ".join(dict.fromkeys(str(folder / Path(corpus).expanduser()) for folder in folders))
    names = ", ".join(_MINIATURE + name for name in _MINIATURE_NAMES)
    return UserError(
        f"corpus {corpus!r}: there is no such file or folder (looked for at {places}); a corpus is a .txt or .txt.gz "
        f"file, a folder of them, or one of {names}, {_TASK}NAME"
    )


def _miniature_name(corpus: str) -> str:
    name = corpus.removeprefix(_MINIATURE)
    if name not in _MINIATURE_NAMES:
        raise UserError(f"unknown miniature corpus {corpus!r}{did_you_mean(name, _MINIATURE_NAMES)}")
    return name


def _source(corpus: str, data: str | None) -> tuple[str, str]:
    task = tasks.get(corpus.removeprefix(_TASK)).name
    if data is None:
        raise UserError(f"corpus {corpus!r} needs the source of the task's data; give data=... ('mini' or a folder)")
    return data, task


def _task_texts(source: str, task: str) -> Iterator[str]:
    for example in sources.load(source, task)["train"]:
        if isinstance(example, TokenExample):
            yield " ".join(([example.question] if example.question else []) + list(example.tokens))
        elif example.pair is None:
            yield example.text
        else:
            yield f"{example.text} {example.pair}"


def _files(corpus: str) -> list[Path]:
    path = Path(corpus).expanduser()
    if path.is_file() and path.suffix in _SUFFIXES:
        return [path]
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
        if found:
            return found
        raise UserError(f"corpus folder {corpus!r} holds no .txt or .txt.gz file; put the text there, one per line")
    if path.exists():
        raise UserError(f"corpus {corpus!r} is no .txt or .txt.gz file; give one, or a folder of them")
    raise missing(corpus, [Path.cwd()])


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
        except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
            raise UserError(f"corpus file {str(path)!r} is no UTF-8 text: {error}") from error
