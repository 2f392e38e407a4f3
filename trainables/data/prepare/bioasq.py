"""BioASQ Task b in the organisers' own JSON: its yes/no questions with their snippets."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from trainables.data import jsonl, textfiles
from trainables.data.examples import SPLITS, Example, TextExample
from trainables.data.prepare import jsonfile
from trainables.data.prepare.corpus import MissingFilesError, Prepared, chosen_by, find, listed, split_file
from trainables.data.tasks import Task
from trainables.errors import UserError

#: Size of the benchmark's dev split, which is taken out of the organisers' training questions.
DEV_QUESTIONS = 75
_DEV_LISTS = ("indexing/dev.txt", "indexing/dev.tsv", "dev_ids.txt")


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads the corpus in one of two forms.

    Either ``train.json``, ``dev.json`` and ``test.json``, or the files as the organisers give them: one
    ``*training*.json`` and any number of ``*golden*.json``, which together are the test split. Then dev is
    the training questions listed in ``indexing/dev.txt``; without that list it is the 75 whose ids have the
    smallest SHA-256, which is no choice of the benchmark's but the same for everyone.
    """
    if find(folder, "train.json"):
        return Prepared(
            {split: list(_questions(split_file(folder, split, ".json"), task).values()) for split in SPLITS}
        )
    # The organisers misspell the name ("trainining7b.json") in some years.
    training = sorted(path for path in folder.rglob("*.json") if "train" in path.name.lower())
    golden = sorted(path for path in folder.rglob("*.json") if "golden" in path.name.lower())
    if not training or not golden:
        raise MissingFilesError(f"{folder} holds neither train.json nor a *training*.json with *golden*.json files")
    if len(training) > 1:
        raise UserError(
            f"{folder} holds {len(training)} training files ({', '.join(map(str, training))}); one expected"
        )
    test: dict[str, Example] = {}
    for path in golden:
        test |= _questions(path, task)
    # The training file of a later year holds earlier years' test questions.
    questions = {name: example for name, example in _questions(training[0], task).items() if name not in test}
    dev, note = _dev(folder, questions)
    splits = {
        "train": [example for name, example in questions.items() if name not in dev],
        "dev": [example for name, example in questions.items() if name in dev],
        "test": list(test.values()),
    }
    return Prepared(splits, {"dev": note} if note else {})


def _dev(folder: Path, questions: dict[str, Example]) -> tuple[set[str], str]:
    path = find(folder, *_DEV_LISTS)
    if path is not None:
        return set(chosen_by(path, listed(path), questions)), ""
    if len(questions) <= DEV_QUESTIONS:
        raise UserError(f"{folder}: {len(questions)} yes/no training questions; more than {DEV_QUESTIONS} expected")
    ranked = sorted(questions, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    note = f"not the benchmark's own choice: put its question ids into {folder.name}/{_DEV_LISTS[0]}"
    return set(ranked[:DEV_QUESTIONS]), note


def _questions(path: Path, task: Task) -> dict[str, Example]:
    document = jsonfile.load(path)
    questions = document.get("questions") if isinstance(document, dict) else None
    if not isinstance(questions, list):
        raise UserError(f"{path}: an object with a list 'questions' expected")
    found: dict[str, Example] = {}
    for number, question in enumerate(questions, start=1):
        with textfiles.at(f"{path}, question {number}"):
            if not isinstance(question, dict):
                raise UserError("an object with id, type, body, exact_answer and snippets expected")
            if question.get("type") == "yesno":
                example = _example(question, task)
                if example.id in found:
                    raise UserError(f"id {example.id!r} is there twice")
                found[example.id] = example
    if not found:
        raise UserError(f"{path}: has no question of type 'yesno'")
    return found


def _example(question: dict[str, Any], task: Task) -> TextExample:
    name = jsonfile.text(question, "id")
    with textfiles.at(f"id {name}"):
        answer = question.get("exact_answer")
        if isinstance(answer, list) and len(answer) == 1:
            answer = answer[0]
        if not isinstance(answer, str):
            raise UserError(f"'exact_answer' is {answer!r:.60}; yes or no expected")
        snippets = question.get("snippets", [])
        if not isinstance(snippets, list) or not all(isinstance(snippet, dict) for snippet in snippets):
            raise UserError("'snippets' must be a list of objects with 'text'")
        context = " ".join(jsonfile.text(snippet, "text").strip() for snippet in snippets)
        label = jsonl.label_index(answer.strip().rstrip(".").lower(), task)
        return TextExample(name, jsonfile.text(question, "body").strip(), label, pair=context)
