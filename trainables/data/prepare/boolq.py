"""BoolQ: questions that people asked a search engine, each with a passage and whether the answer is yes.

Labels of the test questions are not distributed, so the development file is the test split.
"""

from __future__ import annotations

from pathlib import Path

from trainables.data import jsonl, textfiles
from trainables.data.examples import Example, TextExample
from trainables.data.prepare import draws, jsonfile
from trainables.data.prepare.corpus import Prepared, find, split_file
from trainables.data.tasks import Task
from trainables.errors import UserError


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads ``train.jsonl`` and ``dev.jsonl``: ``question``, ``passage``, ``answer`` (JSON true or false), ``title``.

    Train and dev are nine tenths and one tenth of the training file, test is the development file. Without a training
    file the development file is split into eight, one and one tenths.
    """
    official = _read(split_file(folder, "dev", ".jsonl"), task)
    path = find(folder, "train.jsonl")
    with textfiles.at(folder):
        if path is None:
            splits: dict[str, list[Example]] = draws.tenths(official)
            missing = f"train.jsonl is missing in {folder.name}/: the {len(official)} questions of dev.jsonl are split"
            return Prepared(splits, {"train": f"{missing} into eight, one and one tenths"})
        splits = draws.with_dev(_read(path, task), official)
    return Prepared(
        splits, {"dev": "a tenth of train.jsonl; test is dev.jsonl, as the test answers are not distributed"}
    )


def _read(path: Path, task: Task) -> list[TextExample]:
    examples = []
    for line, row in jsonfile.rows(path):
        with textfiles.at(path, line):
            answer = row.get("answer")
            if not isinstance(answer, bool):
                raise UserError(f"'answer' is {answer!r:.60}; true or false expected")
            label = jsonl.label_index("yes" if answer else "no", task)
            question, passage = jsonfile.text(row, "question"), jsonfile.text(row, "passage")
            examples.append(TextExample(str(line), question.strip(), label, pair=passage.strip()))
    return examples
