"""EMOTION (CARER): messages from Twitter, one per line with the emotion that they show."""

from __future__ import annotations

from pathlib import Path

from trainables.data import jsonl, textfiles
from trainables.data.examples import SPLITS, Example, TextExample
from trainables.data.prepare.corpus import Prepared, split_file
from trainables.data.tasks import Task
from trainables.errors import UserError


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads ``train.txt``, ``val.txt`` and ``test.txt``: ``text;label``; ids are line numbers."""
    return Prepared({split: _read(split_file(folder, split, ".txt"), task) for split in SPLITS})


def _read(path: Path, task: Task) -> list[Example]:
    examples: list[Example] = []
    for line, row in textfiles.lines(textfiles.content(path), path):
        if row.strip():
            with textfiles.at(path, line):
                text, separator, label = row.rpartition(";")
                if not separator or not text.strip():
                    raise UserError(f"found {row[:60]!r}; text;label expected")
                examples.append(TextExample(str(line), text.strip(), jsonl.label_index(label.strip(), task)))
    if not examples:
        raise UserError(f"{path}: holds no rows; text;label expected")
    return examples
