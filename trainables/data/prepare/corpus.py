"""What the readers of original corpora share: finding files, reading columns, and what they hand back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from trainables.data import textfiles
from trainables.data.examples import Example
from trainables.data.tasks import Task
from trainables.errors import UserError

#: Names that a split's file goes by, the usual one first.
SPLIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "dev": ("dev", "devel", "development", "valid", "validation", "val"),
    "test": ("test", "testing"),
}


class MissingFilesError(UserError):
    """A corpus, or a part of it, is not there: nothing is wrong, but its task cannot be prepared."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A corpus as examples.

    Attributes:
        splits: Examples of train, dev and test.
        notes: Per split, what is known to differ from the benchmark's own data.
        folds: The corpus's own partitions for cross-validation by their number of folds: ids ``<split>/<id>`` per fold.
    """

    splits: dict[str, list[Example]]
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    folds: dict[int, list[list[str]]] = dataclasses.field(default_factory=dict)


def find(folder: Path, *names: str) -> Path | None:
    """The first of several files or folders that exists."""
    return next((folder / name for name in names if (folder / name).exists()), None)


def require(folder: Path, *names: str) -> Path:
    """As :func:`find`, but it has to exist.

    Raises:
        MissingFilesError: Naming what was looked for.
    """
    found = find(folder, *names)
    if found is None:
        others = f" (nor {', '.join(names[1:])})" if names[1:] else ""
        raise MissingFilesError(f"{names[0]} is missing in {folder}{others}")
    return found


def split_file(folder: Path, split: str, ending: str = ".tsv") -> Path:
    """A split's file under any of its usual names.

    Raises:
        MissingFilesError: Where there is none.
    """
    return require(folder, *(name + ending for name in SPLIT_NAMES[split]))


def columns(path: Path, names: Sequence[str], *, header: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Rows of a tab-separated file, quotes meaning nothing.

    Args:
        path: The file.
        names: What its columns hold, in order.
        header: Whether the first line must be these names.

    Yields:
        Line number and fields, as many as there are names.

    Raises:
        UserError: For a line with another number of fields, a wrong header, or a file without rows.
    """
    wanted = " <TAB> ".join(names)
    rows = 0
    for number, line in textfiles.lines(textfiles.content(path), path):
        fields = line.split("\t")
        if header and number == 1:
            if fields != list(names):
                raise UserError(f"{path}, line 1: found {line[:80]!r}; the header {wanted} expected")
            continue
        if not line.strip():
            continue
        if len(fields) != len(names):
            raise UserError(f"{path}, line {number}: {len(fields)} fields; {len(names)} expected: {wanted}")
        rows += 1
        yield number, fields
    if not rows:
        raise UserError(f"{path}: holds no rows; expected {wanted}")


def listed(path: Path) -> list[str]:
    """Names in a file, one per line or separated by commas.

    Raises:
        UserError: Where there is none.
    """
    rows = (line for _, line in textfiles.lines(textfiles.content(path), path))
    names = [name.strip() for row in rows for name in row.split(",") if name.strip()]
    if not names:
        raise UserError(f"{path}: holds no names; one per line or separated by commas expected")
    return names


def chosen_by(path: Path, names: Sequence[str], known: Mapping[str, object]) -> list[str]:
    """Checks a list of a split's members against what the corpus has.

    Raises:
        UserError: For a member that the corpus lacks, or one listed twice.
    """
    seen: set[str] = set()
    for name in names:
        if name not in known:
            raise UserError(f"{path}: lists {name!r}, which the corpus does not have")
        if name in seen:
            raise UserError(f"{path}: lists {name!r} twice")
        seen.add(name)
    return list(names)


def whole_number(text: str, what: str) -> int:
    """A count or offset.

    Raises:
        UserError: For anything but digits.
    """
    if not (text.isascii() and text.isdigit()):
        raise UserError(f"{what} is {text!r}; a whole number expected")
    return int(text)


def task_folder(source: Path, task: Task) -> Path:
    """Where a task's corpus lies: under its key, or under the name that its distributions use.

    Raises:
        MissingFilesError: Where no such folder is there.
    """
    layout = task.folder.partition("/")[2].removesuffix("_hf")
    names = [task.name, layout, f"{layout}-IOB"] if task.kind == "ner" else [task.name, layout]
    wanted = {name.lower() for name in names}
    found = sorted(path for path in source.iterdir() if path.is_dir() and path.name.lower() in wanted)
    exact = [path for path in found if path.name == task.name]
    if not found:
        raise MissingFilesError(f"no folder {' or '.join(map(repr, dict.fromkeys(names)))} in {source}")
    return (exact or found)[0]
