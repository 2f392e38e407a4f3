"""Unlabelled text by name: the miniature corpora, a task's training texts, files, or a data set of the hub.

* ``mini:general``, ``mini:domain`` and ``mini:terms``: the corpora of the miniature benchmark.
* ``task:NAME``: the texts of a task's training split, from a source of :mod:`trainables.data.sources`.
* ``hub:owner/name``: the text column of a data set; see :mod:`trainables.data.corpus_hub`.
* anything else: text files, compressed ones, archives, folders of them; see :mod:`trainables.data.corpus_files`.

Texts come one at a time, so a corpus may be larger than memory.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from trainables.data import corpus_files, corpus_hub, miniature, sources, tasks
from trainables.data.examples import TokenExample
from trainables.errors import UserError, did_you_mean

_MINIATURE = "mini:"
_TASK = "task:"
_HUB = "hub:"
_MINIATURE_NAMES = miniature.CORPORA


class Sieve:
    """Which texts of a corpus are used, and how many there were.

    Every text has a draw of its own by its place in the corpus, so a smaller share is part of a larger one, whatever
    ``min_words`` is.

    Args:
        min_words: Texts with fewer words between blanks are left out.
        share: Share of the texts to keep, drawn at random.
        seed: Of the draw.

    Attributes:
        seen: Texts so far.
        kept: Those of them that are used.
    """

    def __init__(self, min_words: int = 0, share: float = 1.0, seed: int = 0) -> None:
        self.seen = 0
        self.kept = 0
        self._min_words = min_words
        self._share = share
        self._seed = seed

    def __str__(self) -> str:
        return f"min_words={self._min_words}, share={self._share}"

    def __call__(self, texts: Iterable[str]) -> Iterator[str]:
        """The texts that are used."""
        chance = random.Random(f"share {self._seed}")
        for text in texts:
            self.seen += 1
            # Every text draws, whether it is long enough or not: its neighbours' draws stay the same.
            drawn = self._share == 1 or chance.random() < self._share
            if drawn and (not self._min_words or len(text.split()) >= self._min_words):
                self.kept += 1
                yield text


def fingerprint(corpus: str, data: str | None = None) -> str:
    """A hash of a corpus's content; the same text elsewhere has the same one.

    Args:
        corpus: Its name, see the module.
        data: Source of the task's text where the corpus is ``task:NAME``.

    Raises:
        UserError: For an unknown corpus, a missing source, or a folder without files of text.
    """
    if corpus.startswith(_MINIATURE):
        return miniature.corpus_fingerprint(_miniature_name(corpus))
    if corpus.startswith(_TASK):
        source, task = _source(corpus, data)
        return hashlib.sha256(f"train texts of {sources.fingerprint(source, task)}".encode()).hexdigest()
    if corpus.startswith(_HUB):
        return corpus_hub.fingerprint(corpus.removeprefix(_HUB))
    return corpus_files.fingerprint(_files(corpus))


def read(corpus: str, data: str | None = None, sieve: Sieve | None = None) -> Iterator[str]:
    """The texts of a corpus, in a fixed order.

    Args:
        corpus: Its name, see the module.
        data: Source of the task's text where the corpus is ``task:NAME``.
        sieve: Which texts to use; all of them where there is none.

    Raises:
        UserError: As :func:`fingerprint`; for a file that is not UTF-8, with its path; for a corpus without text, and
            one of which nothing is left.
    """
    used = sieve or Sieve()
    yield from used(_texts(corpus, data))
    if not used.seen:
        raise UserError(f"corpus {corpus!r} is empty: it has 0 texts, and needs at least 1; give one with text")
    if not used.kept:
        raise UserError(
            f"corpus {corpus!r}: {used} leave none of its {used.seen:,} texts; give a smaller min_words or a larger "
            "share"
        )


def _texts(corpus: str, data: str | None) -> Iterator[str]:
    if corpus.startswith(_MINIATURE):
        yield from miniature.corpus(_miniature_name(corpus))
    elif corpus.startswith(_TASK):
        yield from _task_texts(*_source(corpus, data))
    elif corpus.startswith(_HUB):
        yield from corpus_hub.texts(corpus.removeprefix(_HUB))
    else:
        for path in _files(corpus):
            yield from corpus_files.texts(path)


def is_path(corpus: str) -> bool:
    """Whether a corpus can only be a file or folder: its name says nothing else."""
    return not corpus.startswith((_MINIATURE, _TASK, _HUB))


def missing(corpus: str, folders: Iterable[Path]) -> UserError:
    """The error about a file or folder that is not there.

    Args:
        corpus: Its name.
        folders: Where it was looked for.
    """
    places = " and ".join(dict.fromkeys(str(folder / Path(corpus).expanduser()) for folder in folders))
    names = ", ".join(_MINIATURE + name for name in _MINIATURE_NAMES)
    return UserError(
        f"corpus {corpus!r}: there is no such file or folder (looked for at {places}); a corpus is a "
        f"{corpus_files.KINDS}, a folder of them, or one of {names}, {_TASK}NAME, {_HUB}owner/name"
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
    found = corpus_files.files(corpus)
    if found is None:
        raise missing(corpus, [Path.cwd()])
    return found
