"""Reads and writes the benchmark's de-facto layout: ``<task folder>/{train,dev,test}.json``, JSON lines.

One line is ``{id, sentence, label}``, ``{id, sentence1, sentence2, label}`` or ``{id, tokens, ner_tags}``; where words
are marked in answer to a question, that is ``question`` beside the tokens.
Files of several origins are in circulation; the reader brings them to one form:

* NER tags may carry their entity type (``B-Chemical``); the benchmark has one type per task, so it is dropped.
* PICO tags may be ``I-PAR`` or ``B-PAR``: scores are per word, so both mean ``B-PAR``.
* HoC rows may be sentences (ids ``PMID_s<n>``) or abstracts. Scores are per abstract, so sentences are joined.
* Single labels may be numbers (``0``) or text (``"0"``). Rows with a label that the task drops are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trainables.data import tasks, textfiles
from trainables.data.examples import SPLITS, Example, Splits, TextExample, TokenExample
from trainables.data.tasks import Task
from trainables.errors import UserError, did_you_mean

_SENTENCE_ID = re.compile(r"(.+)_s(\d+)")


def split_files(folder: Path, task: Task) -> list[Path]:
    """The files of a task in a folder of the layout: train, dev, test.

    Raises:
        UserError: Naming the missing file and how to get it.
    """
    files = [folder / task.folder / f"{split}.json" for split in SPLITS]
    for file in files:
        if not file.is_file():
            raise UserError(
                f"{task.name}: data file {str(file)!r} does not exist. A data folder holds {task.folder}/train.json, "
                f"dev.json and test.json; make them from the original corpus with "
                f"`python -m orchestrator.prepare_data SOURCE {folder} --tasks {tasks.prepared_as(task).name}`"
            )
    return files


def read(folder: Path, task: Task) -> Splits:
    """Reads a task's three splits.

    Args:
        folder: The data folder, which holds ``task.folder``.
        task: Its labels turn label names into indices.

    Raises:
        UserError: For a missing or empty file, and for a malformed line with file, line and what was expected.
    """
    splits: Splits = {}
    for split, file in zip(SPLITS, split_files(folder, task), strict=True):
        splits[split] = read_file(file, task)  # type: ignore[assignment]  # one kind of example per task
    return splits


def read_file(file: Path, task: Task) -> list[Example]:
    """Reads one split; see :func:`read`."""
    examples: list[Example] = []
    first_line: dict[str, int] = {}
    for number, row in _rows(file):
        if task.dropped and row.get("label") in task.dropped:
            continue
        with textfiles.at(file, number):
            example = _example(row, task)
            if example.id in first_line:
                raise UserError(f"id {example.id!r} stands in line {first_line[example.id]} already; ids are unique")
            first_line[example.id] = number
            examples.append(example)
    if not examples:
        raise UserError(f"{file}: holds no examples; it must have one JSON object per line")
    return _join_sentences(file, examples) if task.multi_label else examples


def write(file: Path, task: Task, examples: Iterable[Example]) -> None:
    """Writes one split, label indices as names; reading it back gives the same examples.

    Args:
        file: Replaced if it exists; its folder must exist.
        task: The task of the examples.
        examples: In the order of the file.
    """
    with file.open("w", encoding="utf-8", newline="\n") as out:
        for example in examples:
            out.write(json.dumps(_row(example, task), ensure_ascii=False) + "\n")


def _row(example: Example, task: Task) -> dict[str, Any]:
    if isinstance(example, TokenExample):
        tags = [task.labels[tag] for tag in example.tags]
        question = {} if example.question is None else {"question": example.question}
        return {"id": example.id, **question, "tokens": list(example.tokens), "ner_tags": tags}
    label = list(example.label) if isinstance(example.label, tuple) else task.labels[example.label]
    if example.pair is None:
        return {"id": example.id, "sentence": example.text, "label": label}
    return {"id": example.id, "sentence1": example.text, "sentence2": example.pair, "label": label}


def _rows(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in textfiles.lines(textfiles.content(file), file):
        if not line.strip():
            continue
        with textfiles.at(file, number):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"not JSON ({error.msg} at column {error.colno}); one JSON object expected") from None
            if not isinstance(row, dict):
                raise UserError(f"found {_shown(row)}; one JSON object expected")
        yield number, row


def _example(row: dict[str, Any], task: Task) -> Example:
    name = _id(row)
    if task.on_tokens:
        return _token_example(name, row, task)
    if task.pair:
        context = _text(row, "sentence2", may_be_empty=True)
        return TextExample(name, _text(row, "sentence1"), _label(_field(row, "label"), task), pair=context)
    label = _field(row, "label")
    return TextExample(name, _text(row, "sentence"), _flags(label, task) if task.multi_label else _label(label, task))


def _token_example(name: str, row: dict[str, Any], task: Task) -> TokenExample:
    tokens, tags = _field(row, "tokens"), _field(row, "ner_tags")
    if not isinstance(tokens, list) or not tokens:
        raise UserError(f"'tokens' is {_shown(tokens)}; a list of at least one word expected")
    for place, token in enumerate(tokens):
        if not isinstance(token, str) or not token.strip():
            raise UserError(f"'tokens'[{place}] is {_shown(token)}; a word expected")
    if not isinstance(tags, list) or len(tags) != len(tokens):
        found = f"{len(tags)} tags" if isinstance(tags, list) else _shown(tags)
        raise UserError(f"'ner_tags' is {found} for {len(tokens)} tokens; one tag per token expected")
    question = _text(row, "question") if task.asked else None
    return TokenExample(name, tuple(tokens), tag_indices(tags, task), question)


def tag_indices(tags: Sequence[object], task: Task) -> tuple[int, ...]:
    """The indices of a sequence's tags; see :func:`tag_index`."""
    # A few tags stand on many words: each is looked up once.
    found = {tag: tag_index(tag, task) for tag in {str(tag): tag for tag in tags}.values()}
    return tuple(found[tag] for tag in tags)


def tag_index(tag: object, task: Task) -> int:
    """The index of a word's tag, with the differences between files in circulation evened out.

    Args:
        tag: ``B-Chemical`` or ``B`` for an NER task, ``I-PAR`` or ``B-PAR`` for PICO, ``O``.
        task: A task on tokens.

    Raises:
        UserError: For a tag that the task does not have.
    """
    normal = tag
    if isinstance(tag, str):
        prefix, dash, kind = tag.partition("-")
        if dash and prefix in ("B", "I"):
            normal = prefix if task.kind == "ner" else f"B-{kind}"
    if normal not in task.labels:
        raise UserError(f"tag {_shown(tag)} is not a label of {task.name}{did_you_mean(str(tag), task.labels)}")
    return task.labels.index(str(normal))


def label_index(label: str, task: Task) -> int:
    """The index of an example's label name.

    Raises:
        UserError: For a label that the task does not have.
    """
    if label not in task.labels:
        raise UserError(f"label {label!r} is not a label of {task.name}{did_you_mean(label, task.labels)}")
    return task.labels.index(label)


def _label(label: object, task: Task) -> int:
    if not isinstance(label, str | int) or isinstance(label, bool):
        raise UserError(f"'label' is {_shown(label)}; one of {', '.join(task.labels)} expected")
    return label_index(str(label), task)


def _flags(label: object, task: Task) -> tuple[int, ...]:
    flags = tuple(label) if isinstance(label, list) else ()
    if len(flags) != len(task.labels) or any(type(flag) is not int or flag not in (0, 1) for flag in flags):
        raise UserError(f"'label' is {_shown(label)}; a list of {len(task.labels)} numbers 0 or 1 expected")
    return flags


def _id(row: dict[str, Any]) -> str:
    value = _field(row, "id")
    if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
        raise UserError(f"'id' is {_shown(value)}; text or a number expected")
    return str(value)


def _text(row: dict[str, Any], name: str, *, may_be_empty: bool = False) -> str:
    value = _field(row, name)
    if not isinstance(value, str) or not (may_be_empty or value.strip()):
        raise UserError(f"{name!r} is {_shown(value)}; text expected")
    return value


def _field(row: dict[str, Any], name: str) -> Any:
    if name not in row:
        raise UserError(f"no field {name!r}; found {', '.join(map(repr, row)) or 'none'}")
    return row[name]


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _join_sentences(file: Path, rows: list[Example]) -> list[Example]:
    """Joins sentence rows per abstract, in the order of their numbers; abstracts stay in file order."""
    abstracts: dict[str, list[tuple[int, TextExample]]] = {}
    whole: set[str] = set()
    for row in rows:
        sentence = _SENTENCE_ID.fullmatch(row.id)
        name, number = (sentence[1], int(sentence[2])) if sentence else (row.id, 0)
        if sentence is None:
            whole.add(name)
        abstracts.setdefault(name, []).append((number, row))  # type: ignore[arg-type]  # documents are text
    for name in whole:
        if len(abstracts[name]) > 1:
            raise UserError(
                f"{file}: abstract {name!r} is there whole and as sentences ({name}_s...); one form expected"
            )
    return [
        join(name, [row for _, row in sorted(found, key=lambda pair: pair[0])]) for name, found in abstracts.items()
    ]


def join(name: str, sentences: list[TextExample]) -> TextExample:
    """One abstract from its sentences: texts joined by a space, the union of their labels."""
    labels = [sentence.label for sentence in sentences if isinstance(sentence.label, tuple)]
    union = tuple(max(flags) for flags in zip(*labels, strict=True))
    return TextExample(name, " ".join(sentence.text for sentence in sentences), union)
