"""Where a task's data comes from, by the name that a sweep gives: ``mini``, a folder, or ``hub:owner/name``.

A folder is in the de-facto JSON-lines layout (:mod:`trainables.data.jsonl`). A hub data set holds the same
layout and is downloaded whole at a revision (``hub:owner/name@revision``). Of any of them a task may be a fold
(``gad@3/10``, :mod:`trainables.data.folds`).
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from trainables.data import folds, jsonl, miniature, tasks, textfiles
from trainables.data.examples import Splits
from trainables.errors import UserError

MINIATURE = "mini"
HUB = "hub:"


def folder(source: str) -> Path:
    """The local folder of a source in the JSON-lines layout; a hub data set is downloaded first.

    Raises:
        UserError: Where there is no such folder or data set.
    """
    if source.startswith(HUB):
        return _download(source.removeprefix(HUB))
    path = Path(source).expanduser()
    if not source or not path.is_dir():  # an empty name would be the current folder
        raise UserError(
            f"data folder {source!r} does not exist; give a folder in the JSON-lines layout (made by "
            f"`python -m orchestrator.prepare_data`), {HUB}owner/name, or {MINIATURE!r}"
        )
    return path


@functools.cache
def _download(name: str) -> Path:
    import huggingface_hub

    repository, _, revision = name.partition("@")
    try:
        return Path(huggingface_hub.snapshot_download(repository, repo_type="dataset", revision=revision or None))
    except Exception as error:  # the hub client raises a dozen kinds, from HTTP to validation
        raise UserError(f"hub data set {name!r} could not be downloaded: {error}") from error


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
    if source == MINIATURE:
        return miniature.fingerprint(known)
    digest = hashlib.sha256()
    for path in jsonl.split_files(folder(source), known):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
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
    return miniature.generate(known) if source == MINIATURE else jsonl.read(folder(source), known)


@functools.lru_cache(maxsize=2)
def _parts(source: str, task: str, count: int) -> folds.Partition:
    """All folds of a task; they share its examples, so one fold costs no more memory than all."""
    pooled = folds.pool(_read(source, task))
    partition = _partition_file(source, tasks.get(task), count)
    with textfiles.at(f"{task}@{count}"):
        return folds.given(partition, pooled, count) if partition else folds.partition(pooled, count)


def _partition_file(source: str, task: tasks.Task, count: int) -> Path | None:
    """The task's own partition, if it has one."""
    if source == MINIATURE:
        return None
    path = folds.file(folder(source) / task.folder, count)
    return path if path.is_file() else None


def settings(source: str, task: tasks.Task) -> tasks.Settings:
    """The hyperparameters that a task is fine-tuned with when nothing else is asked for."""
    return miniature.settings(task) if source == MINIATURE else task.settings
