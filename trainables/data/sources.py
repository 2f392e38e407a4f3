"""Where a task's data comes from, by the name that a sweep gives it.

* ``mini``: the miniature benchmark.
* a folder in the de-facto JSON-lines layout (:mod:`trainables.data.jsonl`).
* ``hub:owner/name``: a data set of the hub, in that layout or, for some tasks, in its own columns
  (:mod:`trainables.data.hub`).
* ``random:SEED:SOURCE``: random text in the form of any of them (:mod:`trainables.data.randomized`).

Of any of them a task may be a fold (``gad@3/10``, :mod:`trainables.data.folds`).
"""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path

from trainables.data import folds, hub, jsonl, miniature, randomized, tasks, textfiles
from trainables.data.examples import Splits
from trainables.errors import UserError

MINIATURE = "mini"
HUB = "hub:"
RANDOM = "random:"
_RANDOM = re.compile(r"random:(\d+):(.+)")


def unwrapped(source: str) -> tuple[int | None, str]:
    """The seed of random text and the source that it is made of; None and the source itself for any other.

    Raises:
        UserError: For random text without a seed or source.
    """
    if not source.startswith(RANDOM):
        return None, source
    found = _RANDOM.fullmatch(source)
    if found is None:
        raise UserError(f"data source {source!r}: {RANDOM}SEED:SOURCE expected, such as {RANDOM}0:{MINIATURE}")
    return int(found[1]), found[2]


def folder(source: str) -> Path:
    """The local folder of a source; a hub data set is downloaded first, and of random text it is what it is made of.

    Raises:
        UserError: Where there is no such folder or data set.
    """
    seed, inner = unwrapped(source)
    if seed is not None:
        return folder(inner)
    if source.startswith(HUB):
        return hub.download(source.removeprefix(HUB))
    path = Path(source).expanduser()
    if not source or not path.is_dir():  # an empty name would be the current folder
        raise UserError(
            f"data folder {source!r} does not exist; give a folder in the JSON-lines layout (made by "
            f"`python -m orchestrator.prepare_data`), {HUB}owner/name, or {MINIATURE!r}"
        )
    return path


@functools.cache
def fingerprint(source: str, task: str) -> str:
    """A hash of the content of a task's three splits; the same data elsewhere has the same one.

    That of a fold is made of the whole task's, the fold and the task's own partition, if it has one.

    Raises:
        UserError: For an unknown task, a mean over folds, a missing folder or a missing file.
    """
    known, fold = tasks.get(task), tasks.fold_of(task)
    if fold is not None:
        partition = _partition_file(source, known, fold[1])
        digest = hashlib.sha256(f"fold {fold[0]} of {fold[1]} of {fingerprint(source, known.corpus)}".encode())
        digest.update(partition.read_bytes() if partition else b"")
        return digest.hexdigest()
    seed, inner = unwrapped(source)
    if seed is not None:
        randomized.check(known)
        made = f"random text {randomized.VERSION} with seed {seed} of {known.name} {fingerprint(inner, task)}"
        return hashlib.sha256(made.encode()).hexdigest()
    if source == MINIATURE:
        return miniature.fingerprint(known)
    if _in_columns(source, known):
        return hub.fingerprint(source.removeprefix(HUB), known)
    digest = hashlib.sha256()
    for path in jsonl.split_files(folder(source), known):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    if known.dropped:  # another task has the same files
        digest.update(f"without {', '.join(known.dropped)}".encode())
    return digest.hexdigest()


def load(source: str, task: str) -> Splits:
    """Reads a task's examples; of a fold, those of :mod:`trainables.data.folds`.

    Raises:
        UserError: For anything malformed, with file, line and what was expected.
    """
    known, fold = tasks.get(task), tasks.fold_of(task)
    if fold is None:
        return _read(source, task)
    return folds.splits(_parts(source, known.corpus, fold[1]), fold[0])


@functools.lru_cache(maxsize=4)
def _read(source: str, task: str) -> Splits:
    known = tasks.get(task)
    seed, inner = unwrapped(source)
    if seed is not None:
        randomized.check(known)
        return randomized.splits(_read(inner, task), known, seed)
    if source == MINIATURE:
        return miniature.generate(known)
    if _in_columns(source, known):
        return hub.read(source.removeprefix(HUB), known)
    return jsonl.read(folder(source), known)


def _in_columns(source: str, task: tasks.Task) -> bool:
    """Whether a source is a data set of the hub in its own columns."""
    return source.startswith(HUB) and not hub.in_layout(source.removeprefix(HUB), task)


@functools.lru_cache(maxsize=2)
def _parts(source: str, task: str, count: int) -> folds.Partition:
    """All folds of a task; they share its examples, so one fold costs no more memory than all."""
    pooled = folds.pool(_read(source, task))
    partition = _partition_file(source, tasks.get(task), count)
    with textfiles.at(f"{task}@{count}"):
        return folds.given(partition, pooled, count) if partition else folds.partition(pooled, count)


def _partition_file(source: str, task: tasks.Task, count: int) -> Path | None:
    """The task's own partition, if it has one; that of random text is that of what it is made of."""
    _, inner = unwrapped(source)
    if inner.startswith(RANDOM):
        return _partition_file(inner, task, count)
    if inner == MINIATURE:
        return None
    path = folds.file(folder(inner) / task.folder, count)
    return path if path.is_file() else None


def settings(source: str, task: tasks.Task) -> tasks.Settings:
    """The hyperparameters that a task is fine-tuned with when nothing else is asked for."""
    seed, inner = unwrapped(source)
    if seed is not None:
        return settings(inner, task)
    return miniature.settings(task) if source == MINIATURE else task.settings
