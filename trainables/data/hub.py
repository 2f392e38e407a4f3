"""Data sets of the hub, by name: ``owner/name``, with a configuration and a revision (``owner/name/config@revision``).

A repository is downloaded whole. It may hold the JSON-lines layout (:mod:`trainables.data.jsonl`), which goes first; or
a data set in columns of its own, which ``datasets`` reads, for the tasks in :data:`COLUMNS`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainables.data import jsonl, textfiles
from trainables.data.examples import SPLITS, Example, Splits, TextExample
from trainables.data.prepare import draws, mind
from trainables.data.prepare.corpus import SPLIT_NAMES
from trainables.data.tasks import Task
from trainables.errors import UserError

_NAME = re.compile(r"(?P<repository>[^/@]+/[^/@]+)(?:/(?P<config>[^/@]+))?(?:@(?P<revision>.+))?")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a data set is on the hub.

    Attributes:
        repository: ``owner/name``.
        config: The configuration of it, if it has several.
        revision: Branch, tag or commit; the newest unless given.
    """

    repository: str
    config: str | None = None
    revision: str | None = None


@dataclasses.dataclass(frozen=True)
class Columns:
    """Which columns make an example.

    Attributes:
        text: The text, or the question of a pair; the first of these that is there.
        label: A class label of the data set, or text.
        pair: The second text of a pair.
        names: The task's labels by the data set's, where they differ.
        others: Whether rows with other labels, or without text, are no part of the task.
    """

    text: tuple[str, ...] = ("text",)
    label: tuple[str, ...] = ("label",)
    pair: str | None = None
    names: Mapping[str, str] | None = None
    others: bool = False


#: By task. The columns of linxinyuan/mind are not documented anywhere; these are what its like have.
COLUMNS: Mapping[str, Columns] = MappingProxyType(
    {
        "emotion": Columns(),
        "tweet_emotion": Columns(),
        "tweet_sentiment": Columns(),
        "mind": Columns(("title", "text"), ("category", "label"), names=MappingProxyType(mind.TOPICS), others=True),
        "boolq": Columns(("question",), ("answer",), "passage", names=MappingProxyType({"True": "yes", "False": "no"})),
    }
)


def parse(name: str) -> Place:
    """Takes a name apart.

    Raises:
        UserError: For anything else than ``owner/name[/config][@revision]``.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise UserError(
            f"hub data set {name!r}: hub:owner/name expected, with a configuration hub:owner/name/config, at a "
            "revision hub:owner/name@revision"
        )
    return Place(found["repository"], found["config"], found["revision"])


@functools.cache
def download(name: str) -> Path:
    """The local copy of a repository.

    Raises:
        UserError: Where there is none, or the hub cannot be reached.
    """
    import huggingface_hub

    place = parse(name)
    try:
        return Path(huggingface_hub.snapshot_download(place.repository, repo_type="dataset", revision=place.revision))
    except Exception as error:  # the hub client raises a dozen kinds, from HTTP to validation
        raise UserError(f"hub data set {name!r} could not be downloaded: {error}") from error


def in_layout(name: str, task: Task) -> bool:
    """Whether the repository holds the task in the JSON-lines layout."""
    return (download(name) / task.folder).is_dir()


def fingerprint(name: str, task: Task) -> str:
    """A hash of a task's examples as :func:`read` gives them."""
    splits = read(name, task)
    content = {split: [dataclasses.astuple(example) for example in splits[split]] for split in SPLITS}
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()


@functools.lru_cache(maxsize=4)
def read(name: str, task: Task) -> Splits:
    """A task's examples from a data set in its own columns; ids are row numbers from 0.

    Official splits are kept. BoolQ has no test answers: its validation split is the test split, and a tenth of the
    training split is dev. Of MIND every title counts once, as by its reader: in train where it is there, else in dev;
    then the classes of each split are cut to the smallest.

    Raises:
        UserError: For a task without known columns, and a data set that cannot be read or lacks a column or split.
    """
    if task.name not in COLUMNS:
        raise UserError(
            f"hub data set {name!r} holds no {task.folder}, and its own columns are known for the tasks "
            f"{', '.join(COLUMNS)} only; {task.name} must be there in the JSON-lines layout"
        )
    columns = COLUMNS[task.name]
    with textfiles.at(f"hub:{name}"):
        tables = load_tables(download(name), parse(name).config)
        found: dict[str, list[TextExample]] = {}
        for split in SPLITS:
            place = next((known for known in SPLIT_NAMES[split] if known in tables), None)
            if place is not None:
                with textfiles.at(place):
                    found[split] = list(_examples(tables[place], columns, task))
        return _splits(found, task)  # type: ignore[return-value]  # lists of examples of one kind


def _splits(found: dict[str, list[TextExample]], task: Task) -> dict[str, list[Example]]:
    if task.name == "boolq" and set(found) == {"train", "dev"}:
        return draws.with_dev(found["train"], found["dev"])
    missing = [split for split in SPLITS if not found.get(split)]
    if missing:
        raise UserError(f"there is no {missing[0]} split; found {', '.join(found) or 'none that is known'}")
    if task.name == "mind":
        found = {split: mind.balanced(examples) for split, examples in _once(found).items()}
    return {split: list(examples) for split, examples in found.items()}


def _once(found: Mapping[str, Sequence[TextExample]]) -> dict[str, list[TextExample]]:
    """Every text once, whatever its blanks: where it comes first in train, dev and test.

    Raises:
        UserError: Where nothing is left of a split.
    """
    seen: set[str] = set()
    kept: dict[str, list[TextExample]] = {}
    for split in SPLITS:
        kept[split] = []
        for example in found[split]:
            text = " ".join(example.text.split())
            if text not in seen:
                seen.add(text)
                kept[split].append(example)
        if not kept[split]:
            raise UserError(f"the {split} split has no text that is not in the splits before it")
    return kept


def load_tables(folder: Path, config: str | None, streaming: bool = False) -> Any:
    """The tables by split, from the downloaded files.

    The library keeps a table of its own by the folder's path, which has the commit in it; not where it is streaming.

    Raises:
        UserError: For files or a configuration that ``datasets`` cannot read.
    """
    import datasets

    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(str(folder), config, streaming=streaming)
    except Exception as error:  # the library raises many kinds; all name what is wrong with files or configuration
        raise UserError(f"datasets cannot read it: {error}") from error
    finally:
        if not bars:
            datasets.enable_progress_bars()


def _examples(table: Any, columns: Columns, task: Task) -> Iterator[TextExample]:
    text, label = _column(table, columns.text), _column(table, columns.label)
    pair = _column(table, (columns.pair,)) if columns.pair else None
    names = getattr(table.features[label], "names", None)
    chosen = table.select_columns([text, label, *([pair] if pair else [])])
    for number, row in enumerate(chosen):
        with textfiles.at(f"row {number}"):
            given = row[label]
            name = names[given] if names is not None and isinstance(given, int) and 0 <= given < len(names) else given
            known = (columns.names or {}).get(str(name), str(name))
            if columns.others and (known not in task.labels or not str(row[text] or "").strip()):
                continue
            second = _text(row, pair) if pair else None
            yield TextExample(str(number), _text(row, text), jsonl.label_index(known, task), second)


def _column(table: Any, names: Sequence[str]) -> str:
    found = next((name for name in names if name in table.column_names), None)
    if found is None:
        raise UserError(f"no column {' or '.join(map(repr, names))}; found {', '.join(table.column_names)}")
    return found


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{name!r} is {value!r:.60}; text expected")
    return value.strip()
