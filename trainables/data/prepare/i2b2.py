"""Relations of the 2010 i2b2/VA challenge (n2c2): problems, treatments and tests in discharge summaries.

A document is three files of one name: ``.txt`` (a sentence a line), ``.con`` (``c="pain" 12:4 12:5||t="problem"``,
lines from 1, words from 0, ends included) and ``.rel`` (``c="..." L:W L:W||r="TrAP"||c="..." L:W L:W``). Assertions
(``.ast``) are not needed. The data are under agreement, so this reader has seen generated files only.

Examples are made as the BLUE benchmark makes them, which the DoKTra paper follows: every pair of concepts of a
sentence, also of types that no relation connects (two tests), with both mentions replaced by ``@problem$``,
``@treatment$`` or ``@test$``, or by one ``@problem-test$`` where they overlap; a pair with two relations is two
examples. One difference: where a concept file names the later mention first, BLUE exchanges the two markers; here each
stands in its own place.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from trainables.data import jsonl, textfiles
from trainables.data.examples import Example, TextExample
from trainables.data.prepare.corpus import MissingFilesError, Prepared, chosen_by, find, listed
from trainables.data.prepare.markers import Span, mark
from trainables.data.tasks import Task
from trainables.errors import UserError

_TYPES = ("problem", "treatment", "test")
_MENTION = r'c="(?P<text{0}>.*)" (?P<line{0}>\d+):(?P<first{0}>\d+) (?P<end{0}>\d+):(?P<last{0}>\d+)'
_CONCEPT = re.compile(_MENTION.format(1) + r'\|\|t="(?P<type>[^"]*)"')
_RELATION = re.compile(_MENTION.format(1) + r'\|\|r="(?P<relation>[^"]*)"\|\|' + _MENTION.format(2))
_ENDINGS = ("con", "rel", "txt")
_DEV_LIST = "dev-docids.txt"
#: One training document in so many is dev where there is no list.
_DEV_EVERY = 10


@dataclasses.dataclass(frozen=True)
class _Document:
    name: str
    text: Path
    concepts: Path
    relations: Path


@dataclasses.dataclass(frozen=True)
class _Concept:
    number: int
    line: int
    span: Span
    type: str


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads the unpacked distribution: files below a folder with ``test`` in its name are test, the others training.

    Dev are the training documents listed in ``dev-docids.txt`` (BLUE's list, where a user has it); without it, the
    tenth of the training documents whose names have the smallest SHA-256. The published dev split has 96 pairs, which
    are few to choose by.

    Raises:
        MissingFilesError: Where one of both parts is not there.
    """
    documents = {part: _documents(folder, part) for part in ("training", "test")}
    path = find(folder, _DEV_LIST)
    training = documents["training"]
    dev = set(chosen_by(path, listed(path), training) if path else _drawn(training))
    members = {
        "train": [document for name, document in training.items() if name not in dev],
        "dev": [document for name, document in training.items() if name in dev],
        "test": list(documents["test"].values()),
    }
    splits: dict[str, list[Example]] = {
        split: [example for document in found for example in _examples(document, task)]
        for split, found in members.items()
    }
    ours = f"a tenth of the training documents, not BLUE's few: put its list into {folder.name}/{_DEV_LIST}"
    return Prepared(splits, {} if path else {"dev": ours})


def _drawn(names: dict[str, _Document]) -> list[str]:
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return ranked[: max(1, len(ranked) // _DEV_EVERY)]


def _documents(folder: Path, part: str) -> dict[str, _Document]:
    """The documents of a part by name, in the order of their names."""

    def belongs(path: Path) -> bool:
        return any("test" in name.lower() for name in path.relative_to(folder).parts[:-1]) == (part == "test")

    found = {ending: [path for path in sorted(folder.rglob(f"*.{ending}")) if belongs(path)] for ending in _ENDINGS}
    if not found["con"]:
        raise MissingFilesError(f"{folder} holds no .con files of the {part} part")
    documents: dict[str, _Document] = {}
    for concepts in sorted(found["con"], key=lambda path: path.stem):
        name = concepts.stem
        if name in documents:
            raise UserError(f"{concepts}: the same name as {documents[name].concepts}; names must be unique")
        documents[name] = _Document(name, _beside(concepts, found["txt"]), concepts, _beside(concepts, found["rel"]))
    return documents


def _beside(concepts: Path, candidates: list[Path]) -> Path:
    """The file of the same document; the nearest where folders repeat a name (``beth`` and ``partners``)."""
    named = [path for path in candidates if path.stem == concepts.stem]
    near = [path for path in named if path.parent.parent == concepts.parent.parent]
    if len(near or named) != 1:
        ending = candidates[0].suffix if candidates else "text or relation"
        raise UserError(f"{concepts}: {len(near or named)} {ending} files have its name; one expected")
    return (near or named)[0]


def _examples(document: _Document, task: Task) -> Iterator[TextExample]:
    lines = [line for _, line in textfiles.lines(textfiles.content(document.text), document.text)]
    concepts = list(_concepts(document.concepts, lines))
    relations = _relations(document.relations, lines, concepts, task)
    by_line: dict[int, list[_Concept]] = {}
    for concept in concepts:
        by_line.setdefault(concept.line, []).append(concept)
    for line in sorted(by_line):
        for first, second in itertools.combinations(by_line[line], 2):
            text = lines[line - 1]
            start = len(text) - len(text.lstrip())
            marked = _marked(text, first, second)[start:].rstrip()
            name = f"{document.name}.{first.number}.{second.number}"
            labels = relations.get((first.number, second.number), [0])
            for place, label in enumerate(labels, start=1):
                yield TextExample(name if place == 1 else f"{name}.{place}", marked, label)


def _marked(text: str, first: _Concept, second: _Concept) -> str:
    markers = (f"@{first.type}$", f"@{second.type}$")
    return mark(text, first.span, second.span, markers, f"@{first.type}-{second.type}$")


def _concepts(path: Path, lines: list[str]) -> Iterator[_Concept]:
    for number, match in _matches(path, _CONCEPT, 'c="text" line:word line:word||t="type"'):
        with textfiles.at(path, number):
            if match["type"] not in _TYPES:
                raise UserError(f"type is {match['type']!r}; {', '.join(_TYPES)} expected")
            line, span = _place(match, 1, lines)
            yield _Concept(number, line, span, match["type"])


def _relations(path: Path, lines: list[str], concepts: list[_Concept], task: Task) -> dict[tuple[int, int], list[int]]:
    """Label indices by the numbers of the two concepts, the smaller first."""
    at_place: dict[tuple[int, Span], int] = {}
    for concept in concepts:
        at_place.setdefault((concept.line, concept.span), concept.number)
    found: dict[tuple[int, int], list[int]] = {}
    for number, match in _matches(path, _RELATION, 'c="text" line:word line:word||r="relation"||c="text" ...'):
        with textfiles.at(path, number):
            places = [_place(match, 1, lines), _place(match, 2, lines)]
            for which, place in enumerate(places, start=1):
                if place not in at_place:
                    raise UserError(f"{match[f'text{which}']!r} is no concept of the document's .con file")
            if places[0][0] != places[1][0]:
                raise UserError(f"lines {places[0][0]} and {places[1][0]}; a relation is within one line")
            first, second = sorted(at_place[place] for place in places)
            label = jsonl.label_index(match["relation"], task)
            labels = found.setdefault((first, second), [])
            if label not in labels:
                labels.append(label)
    return found


def _matches(path: Path, pattern: re.Pattern[str], wanted: str) -> Iterator[tuple[int, re.Match[str]]]:
    for number, line in textfiles.lines(textfiles.content(path), path):
        if line.strip():
            match = pattern.match(line.strip())
            if match is None:
                raise UserError(f"{path}, line {number}: found {line[:60]!r}; {wanted} expected")
            yield number, match


def _place(match: re.Match[str], which: int, lines: list[str]) -> tuple[int, Span]:
    """Line and characters of a mention.

    Raises:
        UserError: Where the text there is not the mention's.
    """
    line, end = int(match[f"line{which}"]), int(match[f"end{which}"])
    first, last = int(match[f"first{which}"]), int(match[f"last{which}"])
    if line != end:
        raise UserError(f"a mention from line {line} to line {end}; one line expected")
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    words = _words(text)
    if not first <= last < len(words):
        raise UserError(f"words {first} to {last} of line {line}, which has {len(words)} words")
    span = words[first][0], words[last][1]
    found, wanted = text[slice(*span)], match[f"text{which}"]
    if found.lower().split() != wanted.lower().split():
        raise UserError(f"words {first} to {last} of line {line} are {found!r}; {wanted!r} expected")
    return line, span


def _words(text: str) -> list[Span]:
    """Characters of a line's words; a blank at its beginning counts as a word before it."""
    words = [match.span() for match in re.finditer(r"\S+", text)]
    return [(0, 0), *words] if words and words[0][0] > 0 else words
