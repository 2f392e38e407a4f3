"""GAD, gene-disease association: label 0 or 1, in the BLURB benchmark's split or in BioBERT's ten folds.

BioBERT's distribution has a folder per fold with ``train.tsv`` (sentence, label; no header) and ``test.tsv`` (index,
sentence, label; with header). Its ten test files hold every example once, the same 5,330 as the benchmark's three
files, and the benchmark's test split is the first fold's.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from trainables.data import jsonl, textfiles
from trainables.data.examples import SPLITS, Example, TextExample
from trainables.data.prepare.corpus import Prepared, columns, find, require, split_file
from trainables.data.tasks import Task
from trainables.errors import UserError

_FEWEST = 3


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads ``train.tsv``, ``dev.tsv`` and ``test.tsv``, or folds in folders ``1``, ``2``, ...

    With both, the three files are the splits and the folders give the folds. With folds alone, test is the first, dev
    the second and train the rest: so is the benchmark's test, its dev is another one.
    """
    parts = _fold_tests(folder, task)
    notes = {}
    if not parts or find(folder, "train.tsv"):
        splits = {split: _read(split_file(folder, split), task) for split in SPLITS}
    else:
        rest = [example for part in parts[2:] for example in part]
        splits = {"train": rest, "dev": parts[1], "test": parts[0]}
        notes = {"dev": "the second of BioBERT's folds; the benchmark draws its dev split anew"}
    if not parts:
        return Prepared(splits)
    with textfiles.at(folder):
        return Prepared(splits, notes, {len(parts): _members(parts, splits)})


def _read(path: Path, task: Task) -> list[Example]:
    examples: list[Example] = []
    for line, (index, sentence, label) in columns(path, ("index", "sentence", "label"), header=True):
        with textfiles.at(path, line):
            examples.append(TextExample(index, sentence, jsonl.label_index(label, task)))
    return examples


def _fold_tests(folder: Path, task: Task) -> list[list[Example]]:
    """The folds' test files, ids ``<fold>.<row>``; each fold's training file must hold the others.

    Raises:
        UserError: Where the folders are not numbered through, are fewer than three, or a training file differs.
    """
    numbers = sorted(int(path.name) for path in folder.iterdir() if path.is_dir() and path.name.isdecimal())
    if not numbers:
        return []
    if numbers != list(range(1, len(numbers) + 1)) or len(numbers) < _FEWEST:
        raise UserError(f"{folder}: folds {', '.join(map(str, numbers))}; 1, 2, ... and at least {_FEWEST} expected")
    parts = [_rows(require(folder, f"{number}/test.tsv"), number, task) for number in numbers]
    everything = Counter(_content(example) for part in parts for example in part)
    for number, part in zip(numbers, parts, strict=True):
        path = find(folder, f"{number}/train.tsv")
        training = Counter(map(_content, _rows(path, number, task))) if path else None
        if training is not None and training + Counter(map(_content, part)) != everything:
            raise UserError(f"{path}: not the examples of the other folds' test files")
    return parts


def _rows(path: Path, fold: int, task: Task) -> list[Example]:
    """Sentence and label, with or without an index before them and a header above."""
    examples: list[Example] = []
    for number, line in textfiles.lines(textfiles.content(path), path):
        fields = line.split("\t")
        if not line.strip() or (number == 1 and fields[-2:] == ["sentence", "label"]):
            continue
        with textfiles.at(path, number):
            if len(fields) not in (2, 3):
                raise UserError(f"{len(fields)} fields; sentence <TAB> label expected, an index before them or not")
            sentence, label = fields[-2:]
            examples.append(TextExample(f"{fold}.{len(examples)}", sentence, jsonl.label_index(label, task)))
    if not examples:
        raise UserError(f"{path}: holds no rows")
    return examples


def _members(parts: list[list[Example]], splits: dict[str, list[Example]]) -> list[list[str]]:
    """The folds as ids ``<split>/<id>``. Examples alike in text and label are as good as one another."""
    ids: dict[tuple[str, object], list[str]] = {}
    # Test first, so that a fold that is the test split is made of it down to such examples.
    for split in reversed(SPLITS):
        for example in splits[split]:
            ids.setdefault(_content(example), []).append(f"{split}/{example.id}")
    for same in ids.values():
        same.reverse()
    folds: list[list[str]] = []
    for number, part in enumerate(parts, start=1):
        folds.append([])
        for example in part:
            if not (names := ids.get(_content(example), [])):
                raise UserError(f"fold {number} has {_content(example)[0][:60]!r}, which no split has")
            folds[-1].append(names.pop())
    left = [name for same in ids.values() for name in same]
    if left:
        raise UserError(f"{len(left)} examples of the three files are in no fold, {left[0]} first")
    return folds


def _content(example: Example) -> tuple[str, object]:
    if not isinstance(example, TextExample):
        raise TypeError("GAD's examples are texts")
    return example.text, example.label
