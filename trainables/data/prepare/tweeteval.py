"""TweetEval's tasks of one label per tweet: a file of texts, and beside it one of labels, line by line."""

from __future__ import annotations

from pathlib import Path

from trainables.data import jsonl, textfiles
from trainables.data.examples import SPLITS, Example, TextExample
from trainables.data.prepare.corpus import SPLIT_NAMES, MissingFilesError, Prepared, columns, find, require
from trainables.data.tasks import Task
from trainables.errors import UserError

_PAPER = "the multi-teacher paper took part of the official split, and does not say which"


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads ``<split>_text.txt``, ``<split>_labels.txt`` (a number per line) and ``mapping.txt`` (number, name).

    The official splits are taken whole; ids are line numbers.

    Raises:
        MissingFilesError: Also where a split's labels are there without its texts.
    """
    names = _names(require(folder, "mapping.txt"), task)
    splits = {split: _read(folder, split, names, task) for split in SPLITS}
    return Prepared(splits, dict.fromkeys(SPLITS, _PAPER))


def _names(path: Path, task: Task) -> dict[str, str]:
    """The labels' names by number."""
    names = {number.strip(): name.strip() for _, (number, name) in columns(path, ("number", "name"))}
    if sorted(names.values()) != sorted(task.labels):
        raise UserError(f"{path}: names {', '.join(names.values())}; {', '.join(task.labels)} expected")
    return names


def _read(folder: Path, split: str, names: dict[str, str], task: Task) -> list[Example]:
    labels = require(folder, *(f"{name}_labels.txt" for name in SPLIT_NAMES[split]))
    texts = find(folder, labels.name.replace("_labels", "_text"))
    if texts is None:
        missing = labels.name.replace("_labels", "_text")
        raise MissingFilesError(f"{missing} is missing in {folder}, where {labels.name} has only the labels")
    rows = [text for _, text in textfiles.lines(textfiles.content(texts), texts)]
    numbers = [number.strip() for _, number in textfiles.lines(textfiles.content(labels), labels)]
    if len(rows) != len(numbers) or not rows:
        raise UserError(f"{texts}: {len(rows)} texts for {len(numbers)} labels in {labels.name}; one for each expected")
    examples: list[Example] = []
    for line, (text, number) in enumerate(zip(rows, numbers, strict=True), start=1):
        if number not in names:
            raise UserError(f"{labels}, line {line}: label {number!r:.60}; one of {', '.join(sorted(names))} expected")
        if not text.strip():
            raise UserError(f"{texts}, line {line}: no text")
        examples.append(TextExample(str(line), text.strip(), jsonl.label_index(names[number], task)))
    return examples
