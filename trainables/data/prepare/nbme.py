"""NBME's clinical patient notes (Kaggle, "Score Clinical Patient Notes"): which phrases of a note show a feature.

An example is a note with a question, the feature's text (``Family history of MI``), and a label per word: ``B`` in a
marked phrase, ``O`` elsewhere. Words are cut finely and by the note's characters alone, so that nothing of the marks is
seen in them: runs of letters, runs of digits, and every other character apart. A word is in a phrase where they have a
character in common. So no marked phrase is lost, however short; the price is a few characters too many where a phrase
begins or ends within a word (``F`` of ``35yoF``: the word is ``yoF``). The preparation counts them.

Scores are micro-F1 over words. They are not Kaggle's, which is micro-F1 over characters: here a word counts once,
however long; where a phrase begins or ends within a word the whole word counts; blanks within a phrase don't count. In
characters, a run of marked words is all from its first word's first character to its last word's last one.

Kaggle keeps the test labels, so the splits are ours: a tenth of the notes is test, a tenth dev, and all features of a
note are in one split.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainables.data import textfiles
from trainables.data.examples import SPLITS, Example, TokenExample
from trainables.data.prepare.corpus import Prepared, require
from trainables.data.prepare.markers import Span
from trainables.data.tasks import Task
from trainables.errors import UserError

_WORD = re.compile(r"[^\W\d_]+|\d+|\S")
_SPAN = re.compile(r"\s*(\d+)\s+(\d+)\s*")
_PARTS = 10


def prepare(folder: Path, task: Task) -> Prepared:
    """Reads ``train.csv``, ``patient_notes.csv`` and ``features.csv``; ids are those of ``train.csv``."""
    names = ("train.csv", "patient_notes.csv", "features.csv")
    annotations, texts, features = (require(folder, name) for name in names)
    notes = {row["pn_num"]: row["pn_history"] for _, row in _rows(texts, ("pn_num", "pn_history"))}
    asked = {row["feature_num"]: row["feature_text"] for _, row in _rows(features, ("feature_num", "feature_text"))}
    wanted = ("id", "pn_num", "feature_num", "location")
    rows: list[tuple[dict[str, str], list[Span]]] = []
    for line, row in _rows(annotations, wanted):
        with textfiles.at(annotations, line):
            for name, known, file in (("pn_num", notes, texts), ("feature_num", asked, features)):
                if row[name] not in known:
                    raise UserError(f"{name} {row[name]!r:.60} is not in {file.name}")
            rows.append((row, _spans(row["location"], len(notes[row["pn_num"]]))))
    words = {row["pn_num"]: _words(notes[row["pn_num"]]) for row, _ in rows}
    split_of = _drawn(list(words), annotations)
    splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
    phrases, whole, marked, more = 0, 0, 0, 0
    for row, spans in rows:
        note = row["pn_num"]
        question = " ".join(asked[row["feature_num"]].replace("-", " ").split())
        splits[split_of[note]].append(_example(row["id"], question, notes[note], words[note], spans, task))
        beyond = [_beyond(words[note], span) for span in spans]
        phrases, whole = phrases + len(spans), whole + beyond.count(0)
        marked, more = marked + sum(end - start for start, end in spans), more + sum(beyond)
    ours = (
        f"{len(rows)} annotations of {len(words)} notes in all; the split is ours, by note, as Kaggle's test is hidden"
        f"; {phrases - whole} of {phrases} marked phrases begin or end within a word, which is marked whole: {more} "
        f"characters beyond the {marked} marked ones"
    )
    return Prepared(splits, dict.fromkeys(SPLITS, ours))


def _example(
    name: str, question: str, note: str, words: Sequence[Span], spans: Sequence[Span], task: Task
) -> TokenExample:
    outside, marked = task.labels.index("O"), task.labels.index("B")
    inside = [any(_overlap(word, span) for span in spans) for word in words]
    tags = tuple(marked if each else outside for each in inside)
    return TokenExample(name, tuple(note[start:end] for start, end in words), tags, question=question)


def _words(note: str) -> list[Span]:
    """Characters of the words of a note, which follow from the note alone."""
    return [match.span() for match in _WORD.finditer(note)]


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _beyond(words: Sequence[Span], span: Span) -> int:
    """How many characters the words that overlap a phrase have before its start and after its end."""
    touched = [word for word in words if _overlap(word, span)]
    return sum(max(0, span[0] - start) + max(0, end - span[1]) for start, end in touched)


def _spans(location: str, length: int) -> list[Span]:
    """The marked characters: ``['696 724;728 732', '10 20']``, a list as text, or ``696 724;728 732``."""
    try:
        listed = ast.literal_eval(location) if location.lstrip().startswith("[") else [location]
    except (SyntaxError, ValueError):
        listed = None
    if not isinstance(listed, list) or not all(isinstance(part, str) for part in listed):
        raise UserError(f"location is {location!r:.60}; a list of texts such as ['696 724;728 732'] expected")
    found = []
    for part in (part for text in listed for part in text.split(";") if part.strip()):
        match = _SPAN.fullmatch(part)
        if match is None or not int(match[1]) < int(match[2]) <= length:
            raise UserError(
                f"location {part!r:.60}: start and end expected, within the {length} characters of the note"
            )
        found.append((int(match[1]), int(match[2])))
    return found


def _drawn(notes: Sequence[str], where: Path) -> dict[str, str]:
    """The split of each note; which ones are held out follows from their numbers alone."""
    held_out = len(notes) // _PARTS
    if not held_out:
        raise UserError(f"{where}: {len(notes)} notes are too few to hold out a tenth of them")
    ranked = sorted(notes, key=lambda note: hashlib.sha256(f"nbme {note}".encode()).hexdigest())
    places = {note: place // held_out for place, note in enumerate(ranked)}
    return {note: {0: "test", 1: "dev"}.get(place, "train") for note, place in places.items()}


def _rows(path: Path, wanted: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table with quoted fields, which may run over lines, by the last line of each."""
    with textfiles.at(path):
        text = textfiles.decoded(textfiles.content(path).removeprefix(b"\xef\xbb\xbf"))
    reader = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in wanted if name not in (reader.fieldnames or ())]
    if missing:
        raise UserError(f"{path}, line 1: no column {missing[0]!r}; found {', '.join(reader.fieldnames or ())}")
    empty = True
    for row in reader:
        if any(row[name] is None for name in wanted):
            raise UserError(f"{path}, line {reader.line_num}: a row with too few fields; {', '.join(wanted)} expected")
        empty = False
        yield reader.line_num, {name: row[name] for name in wanted}
    if empty:
        raise UserError(f"{path}: holds no rows")
