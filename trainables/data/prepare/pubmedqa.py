"""PubMedQA, the expert-labelled part (PQA-L): a question and its abstract's sections, yes, no or maybe."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

from trainables.data import jsonl, textfiles
from trainables.data.examples import SPLITS, Example, TextExample
from trainables.data.prepare import jsonfile
from trainables.data.prepare.corpus import Prepared, chosen_by, find, listed, require, split_file
from trainables.data.tasks import Task
from trainables.errors import UserError

_LABELS = ("yes", "no", "maybe")  # the order in which the official splitter treats them
_SEED, _HALVES, _FOLDS = 0, 2, 10


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads ``ori_pqal.json``; splits by the lists in ``fold0_pmids/`` or else as the official splitter does.

    The input is the question and the sections of the abstract, joined by a space; the long answer is
    left out, as it states the label.
    """
    path = require(folder, "ori_pqal.json", "data/ori_pqal.json")
    records = _records(path)
    lists = find(folder, "fold0_pmids")
    members = _listed_split(lists, records) if lists else official_split(_decisions(records))
    splits: dict[str, list[Example]] = {}
    for split in SPLITS:
        inside = set(members[split])
        splits[split] = [_example(path, pmid, record, task) for pmid, record in records.items() if pmid in inside]
    return Prepared(splits)


def _records(path: Path) -> dict[str, dict[str, Any]]:
    records = jsonfile.load(path)
    if not isinstance(records, dict) or not records:
        raise UserError(f"{path}: one JSON object, PMID to record, expected")
    for pmid, record in records.items():
        decision = record.get("final_decision") if isinstance(record, dict) else None
        if decision not in _LABELS:
            raise UserError(f"{path}, record {pmid}: 'final_decision' is {decision!r}; yes, no or maybe expected")
    return records


def _decisions(records: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {pmid: record["final_decision"] for pmid, record in records.items()}


def _example(path: Path, pmid: str, record: dict[str, Any], task: Task) -> TextExample:
    with textfiles.at(f"{path}, record {pmid}"):
        contexts = record.get("CONTEXTS")
        if not isinstance(contexts, list) or not all(isinstance(part, str) for part in contexts) or not contexts:
            raise UserError("'CONTEXTS' must be a list of texts")
        label = jsonl.label_index(record["final_decision"], task)
        return TextExample(pmid, jsonfile.text(record, "QUESTION"), label, pair=" ".join(contexts))


def _listed_split(folder: Path, records: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    members = {}
    for split in SPLITS:
        path = split_file(folder, split, ".txt")
        members[split] = chosen_by(path, listed(path), records)
    return members


def official_split(decisions: dict[str, str]) -> dict[str, list[str]]:
    """The benchmark's split: what the corpus's own splitter gives with seed 0, fold 0 of its ten.

    The splitter cuts each label's shuffled abstracts into equal parts, first into two halves (cross-validation
    and test), then the first half into ten folds; the last fold is filled up with one abstract of every other.

    Args:
        decisions: Label by PMID, in the order of ``ori_pqal.json``.

    Returns:
        PMIDs of train (nine folds), dev (the first fold) and test.
    """
    generator = random.Random(_SEED)
    rest, test = _stratified(decisions, _HALVES, generator)
    folds = _stratified({pmid: decisions[pmid] for pmid in rest}, _FOLDS, generator)
    train = [pmid for fold in folds[1:] for pmid in fold]
    return {"train": train, "dev": folds[0], "test": test}


def _stratified(decisions: dict[str, str], parts: int, generator: random.Random) -> list[list[str]]:
    by_part: list[list[str]] = [[] for _ in range(parts)]
    for label in _LABELS:
        pmids = [pmid for pmid, decision in decisions.items() if decision == label]
        generator.shuffle(pmids)
        size = math.ceil(len(pmids) / parts)
        for place, members in enumerate(by_part):
            members += pmids[place * size : (place + 1) * size if place < parts - 1 else None]
    if len(by_part[-1]) != len(by_part[0]):
        for members in by_part[:-1]:
            picked = generator.choice(members)
            members.remove(picked)
            by_part[-1].append(picked)
    return by_part
