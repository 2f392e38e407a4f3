"""CoNLL files: one word per line with its tag, a blank line between sentences."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from trainables.data import jsonl, textfiles
from trainables.data.examples import SPLITS, Example, TokenExample
from trainables.data.prepare.corpus import Prepared, split_file
from trainables.data.tasks import Task
from trainables.errors import UserError

_DOCUMENT = re.compile(r"-DOCSTART-\s*(?:\(?(?P<name>[\w.]+)\)?|-X-.*)?\s*")
#: What is known of the differences from the published counts.
_NOTES = {"bc5disease": {"dev": "the benchmark's own file has the two as well"}}


@dataclasses.dataclass(frozen=True)
class Sentence:
    """One sentence of a file.

    Attributes:
        document: Running number of its document in the file, from 1; 0 where documents are not marked.
        name: The document's name, where its ``-DOCSTART-`` line gives one.
        words: Its words.
        tags: Their tags as the file has them.
        line: Line of its first word.
    """

    document: int
    name: str | None
    words: tuple[str, ...]
    tags: tuple[str, ...]
    line: int


def sentences(path: Path) -> Iterator[Sentence]:
    """Reads a file; the word is the first column, the tag the last, with tabs or blanks between.

    Raises:
        UserError: For a line whose number of columns is not that of the first one, or a file without words.
    """
    document, name, width, start, found = 0, None, 0, 0, False
    rows: list[list[str]] = []
    for number, line in textfiles.lines(textfiles.content(path), path):
        marker = _DOCUMENT.fullmatch(line)
        if line.strip() and not marker:
            row = _row(line)
            width = width or len(row)
            if len(row) < 2 or len(row) != width or not row[0].strip():
                wanted = f"{width} columns, a word first and its tag last," if width > 2 else "a word and its tag"
                raise UserError(f"{path}, line {number}: found {line[:60]!r}; {wanted} expected")
            start = start or number
            rows.append(row)
            continue
        if rows:
            yield _sentence(document, name, rows, start)
            rows, start, found = [], 0, True
        if marker:
            document, name = document + 1, marker["name"]
    if rows:
        yield _sentence(document, name, rows, start)
    elif not found:
        raise UserError(f"{path}: holds no words; lines of a word and its tag expected")


def _row(line: str) -> list[str]:
    return line.split("\t") if "\t" in line else line.split()


def _sentence(document: int, name: str | None, rows: list[list[str]], start: int) -> Sentence:
    return Sentence(document, name, tuple(row[0] for row in rows), tuple(row[-1].strip() for row in rows), start)


def example(sentence: Sentence, name: str, task: Task, path: Path) -> TokenExample:
    """A sentence with its tags as indices.

    Raises:
        UserError: For a tag that the task does not have, with file and line.
    """
    try:
        indices = jsonl.tag_indices(sentence.tags, task)
    except UserError:
        for line, tag in enumerate(sentence.tags, start=sentence.line):
            with textfiles.at(path, line):
                jsonl.tag_index(tag, task)
        raise
    return TokenExample(name, sentence.words, indices)


def examples(path: Path, task: Task) -> list[Example]:
    """All sentences of a file, named ``<document>_s<n>``, or ``s<n>`` where documents have no names."""
    found: list[Example] = []
    numbers: dict[str | None, int] = {}
    for sentence in sentences(path):
        number = numbers.get(sentence.name, 0)
        numbers[sentence.name] = number + 1
        name = f"{sentence.name}_s{number}" if sentence.name else f"s{number}"
        found.append(example(sentence, name, task, path))
    return found


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads an NER corpus: ``train.tsv``, ``dev.tsv`` (or ``devel.tsv``) and ``test.tsv``."""
    return Prepared({split: examples(split_file(folder, split), task) for split in SPLITS}, _NOTES.get(task.name, {}))
