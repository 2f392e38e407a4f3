"""Hallmarks of Cancer: one row per sentence; prepared as abstracts, which is what is scored."""

from __future__ import annotations

import re
from pathlib import Path

from trainables.data import jsonl, textfiles
from trainables.data.examples import SPLITS, Example, TextExample
from trainables.data.prepare.corpus import Prepared, columns, split_file
from trainables.data.tasks import Task
from trainables.errors import UserError

_NAME = re.compile(r"(?P<abstract>.+)_s(?P<sentence>\d+)")


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads ``train.tsv``, ``dev.tsv`` and ``test.tsv``; an abstract has the labels of all its sentences."""
    return Prepared({split: _read(split_file(folder, split), task) for split in SPLITS})


def _read(path: Path, task: Task) -> list[Example]:
    abstracts: dict[str, dict[int, TextExample]] = {}
    for line, (labels, sentence, index) in columns(path, ("labels", "sentence", "index"), header=True):
        with textfiles.at(path, line):
            name = _NAME.fullmatch(index)
            if name is None:
                raise UserError(f"index is {index!r}; PMID_s<number of the sentence> expected")
            found = abstracts.setdefault(name["abstract"], {})
            number = int(name["sentence"])
            if number in found:
                raise UserError(f"index {index!r} is there twice")
            found[number] = TextExample(index, sentence, _flags(labels, task))
    return [jsonl.join(name, [found[number] for number in sorted(found)]) for name, found in abstracts.items()]


def _flags(labels: str, task: Task) -> tuple[int, ...]:
    """``0_v,1_v,...`` with v 0 or 1, in the order of the task's labels."""
    parts = labels.split(",")
    flags = tuple(int(part.endswith("_1")) for part in parts)
    if parts != [f"{place}_{flag}" for place, flag in enumerate(flags)] or len(flags) != len(task.labels):
        last = len(task.labels) - 1
        raise UserError(f"labels are {labels[:60]!r}; 0_v,1_v,...,{last}_v with v 0 or 1 expected")
    return flags
