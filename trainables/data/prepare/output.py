"""Writing a prepared task: complete or not at all."""

from __future__ import annotations

import filecmp
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from trainables.data import folds, jsonl
from trainables.data.examples import SPLITS, Example
from trainables.data.tasks import Task
from trainables.errors import UserError

_FILES = tuple(f"{split}.json" for split in SPLITS)


def create(out: Path) -> None:
    """Makes the output folder, or checks that it can be written to.

    Raises:
        UserError: Where it is a file or the system refuses.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(f"output folder {str(out)!r} cannot be written to: {error.strerror}") from error


def write(
    out: Path,
    task: Task,
    splits: Mapping[str, Sequence[Example]],
    partitions: Mapping[int, Sequence[Sequence[str]]] = MappingProxyType({}),
) -> bool:
    """Writes a task's folder of the JSON-lines layout.

    The files are made in a temporary folder next to it, read back, and put into place by one rename.

    Args:
        out: The data folder.
        task: The task of the examples.
        splits: Examples of train, dev and test.
        partitions: The task's own folds by their number, as ``folds/<n>.json`` (:mod:`trainables.data.folds`).

    Returns:
        Whether anything changed; a folder with the same content is left alone.

    Raises:
        UserError: Where what was written does not read back as the same examples, or the existing folder holds
            files that are not of the layout.
    """
    target = out / task.folder
    files = [*_FILES, *(str(folds.file(target, count).relative_to(target)) for count in partitions)]
    foreign = sorted(path for path in _files(target) if path not in files)
    if foreign:
        raise UserError(f"{target} holds {', '.join(foreign[:3])}, which would be lost; move it away")
    with tempfile.TemporaryDirectory(prefix=f".{task.name}-", dir=out) as temporary:
        fresh = Path(temporary) / "fresh"
        fresh.mkdir()
        for split in SPLITS:
            file = fresh / f"{split}.json"
            jsonl.write(file, task, splits[split])
            if jsonl.read_file(file, task) != list(splits[split]):
                raise UserError(f"{task.name}: {split} does not read back as it was written; please report this")
        pooled = folds.pool({split: list(splits[split]) for split in SPLITS})  # type: ignore[misc]  # of one kind
        for count, partition in partitions.items():
            file = folds.file(fresh, count)
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(partition, indent=0) + "\n", encoding="utf-8", newline="\n")
            folds.given(file, pooled, count)
        if target.is_dir() and filecmp.cmpfiles(target, fresh, files, shallow=False)[0] == files:
            return False
        _swap(fresh, target, Path(temporary) / "old")
    return True


def _files(folder: Path) -> list[str]:
    """All files below a folder, relative to it; an empty folder counts as a file."""
    found = (path for path in folder.rglob("*") if not path.is_dir() or not any(path.iterdir()))
    return [str(path.relative_to(folder)) for path in found]


def _swap(fresh: Path, target: Path, old: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    replaced = target.exists()
    if replaced:
        target.rename(old)
    try:
        fresh.rename(target)
    except BaseException:
        if replaced and not target.exists():
            old.rename(target)
        raise
