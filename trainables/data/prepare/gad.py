"""GAD, gene-disease association: tab-separated with a header, label 0 or 1."""

from __future__ import annotations

from pathlib import Path

from trainables.data import jsonl, textfiles
from trainables.data.examples import SPLITS, Example, TextExample
from trainables.data.prepare.corpus import Prepared, columns, split_file
from trainables.data.tasks import Task


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads ``train.tsv``, ``dev.tsv`` and ``test.tsv``."""
    return Prepared({split: _read(split_file(folder, split), task) for split in SPLITS})


def _read(path: Path, task: Task) -> list[Example]:
    examples: list[Example] = []
    for line, (index, sentence, label) in columns(path, ("index", "sentence", "label"), header=True):
        with textfiles.at(path, line):
            examples.append(TextExample(index, sentence, jsonl.label_index(label, task)))
    return examples
