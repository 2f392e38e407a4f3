"""Where a task's data comes from, by the name that a sweep gives: ``mini``, a folder, or ``hub:owner/name``.

A folder is in the de-facto JSON-lines layout (:mod:`trainables.data.jsonl`). A hub data set holds the same
layout and is downloaded whole at a revision (``hub:owner/name@revision``).
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from trainables.data import jsonl, miniature, tasks
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
    if not path.is_dir():
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

    Raises:
        UserError: For an unknown task, a missing folder or a missing file.
    """
    known = tasks.get(task)
    if source == MINIATURE:
        return miniature.fingerprint(known)
    digest = hashlib.sha256()
    for path in jsonl.split_files(folder(source), known):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


@functools.lru_cache(maxsize=4)
def load(source: str, task: str) -> Splits:
    """Reads a task's examples.

    Raises:
        UserError: For anything malformed, with file, line and what was expected.
    """
    known = tasks.get(task)
    if source == MINIATURE:
        return miniature.generate(known)
    return jsonl.read(folder(source), known)


def settings(source: str, task: tasks.Task) -> tasks.Settings:
    """The hyperparameters that a task is fine-tuned with when nothing else is asked for."""
    return miniature.settings(task) if source == MINIATURE else task.settings
