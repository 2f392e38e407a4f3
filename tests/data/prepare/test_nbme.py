"""NBME's clinical notes: words that tell nothing of what is marked, splits by note."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.prepare import small_corpora
from trainables.data import tasks
from trainables.data.examples import SPLITS, TokenExample
from trainables.data.prepare import nbme
from trainables.data.prepare.corpus import MissingFilesError, Prepared
from trainables.errors import UserError

NBME = tasks.get("nbme")
WORDS = ("17", "yo", ",", '"', "heart", '"', "pounding", ".", "Mom", ":", "thyroid", "-", "disease")


def by_id(prepared: Prepared) -> dict[str, TokenExample]:
    examples = [example for split in SPLITS for example in prepared.splits[split]]
    return {example.id: example for example in examples if isinstance(example, TokenExample)}


def test_phrases_are_marked_in_answer_to_a_feature(tmp_path: Path) -> None:
    found = by_id(nbme.prepare(small_corpora.nbme(tmp_path), NBME))
    assert len(found) == 20
    marked = found["00003_000"]
    assert marked.question == "Palpitations OR heart pounding"
    assert marked.tokens == WORDS
    assert [word for word, tag in zip(WORDS, marked.tags, strict=True) if tag] == ["17", "yo", "heart", "pounding"]
    assert found["00003_001"] == TokenExample("00003_001", WORDS, (0,) * len(WORDS), question="Female")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("7 12;14 22", ["heart", "pounding"]),
        ("['7 12', '14 22']", ["heart", "pounding"]),
        ("7 9", ["heart"]),
        ("8 11", ["heart"]),
        ("['8 12;7 8']", ["heart"]),
        ("3 8", ["yo", ",", '"', "heart"]),
        ("12 14", ['"']),
        ("5 13", ['"', "heart", '"']),
        ("[]", []),
        ("", []),
    ],
)
def test_every_form_of_a_location_is_read(tmp_path: Path, location: str, expected: list[str]) -> None:
    example = by_id(nbme.prepare(small_corpora.nbme(tmp_path, location=location), NBME))["00000_000"]
    assert [word for word, tag in zip(example.tokens, example.tags, strict=True) if tag] == expected


@given(
    st.text("aé1-. \n", min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted), max_size=4),
)
def test_words_lose_nothing_but_blanks_and_every_marked_character_is_in_a_marked_word(
    note: str, places: list[list[int]]
) -> None:
    spans = [(start, min(end, len(note))) for start, end in places if start < min(end, len(note))]
    words = nbme._words(note)
    assert "".join(note[start:end] for start, end in words) == re.sub(r"\s", "", note)
    example = nbme._example("a", "b", note, words, spans, NBME)
    inside = {place for start, end in spans for place in range(start, end)}
    for word, token, tag in zip(words, example.tokens, example.tags, strict=True):
        assert token == note[slice(*word)]
        assert tag == bool(inside & set(range(*word)))
    for span in spans:
        reached = {place for word in words if nbme._overlap(word, span) for place in range(*word)}
        assert nbme._beyond(words, span) == len(reached - set(range(*span)))


def test_what_is_marked_cannot_be_seen_in_the_words(tmp_path: Path) -> None:
    found = [
        {name: example.tokens for name, example in by_id(nbme.prepare(folder, NBME)).items()}
        for folder in (
            small_corpora.nbme(tmp_path / "whole", location="['7 12']"),
            small_corpora.nbme(tmp_path / "within", location="['8 10', '15 19', '1 3']"),
            small_corpora.nbme(tmp_path / "nothing", location="[]"),
        )
    ]
    assert found[0] == found[1] == found[2]


def test_how_far_words_reach_beyond_the_marks_is_told(tmp_path: Path) -> None:
    prepared = nbme.prepare(small_corpora.nbme(tmp_path, location="['8 10', '0 2']"), NBME)
    expected = (
        "20 annotations of 10 notes in all; the split is ours, by note, as Kaggle's test is hidden; 10 of 20 marked "
        "phrases begin or end within a word, which is marked whole: 30 characters beyond the 40 marked ones"
    )
    assert prepared.notes == dict.fromkeys(SPLITS, expected)


def test_a_note_is_in_one_split_whatever_the_order(tmp_path: Path) -> None:
    def notes(folder: Path) -> dict[str, set[str]]:
        splits = nbme.prepare(folder, NBME).splits
        return {split: {example.id.partition("_")[0] for example in splits[split]} for split in SPLITS}

    found = notes(small_corpora.nbme(tmp_path, 23))
    assert {split: len(members) for split, members in found.items()} == {"train": 19, "dev": 2, "test": 2}
    assert len(set.union(*found.values())) == 23
    file = tmp_path / "train.csv"
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([header, *reversed(rows)]) + "\n")
    assert notes(tmp_path) == found


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("train.csv", "0 4", "4 4", r"train\.csv, line 2: location '4 4': start and end expected, within the 44 chara"),
        ("train.csv", "14 22", "14 99", "location '14 99'"),
        ("train.csv", "['0 4", "[['0 4']", "line 2: location is .*; a list of texts such as"),
        ("train.csv", "00000_000,0,0,000", "00000_000,0,77,000", r"line 2: pn_num '77' is not in patient_notes\.csv"),
        ("train.csv", "00000_000,0,0,000", "00000_000,0,0,9", r"line 2: feature_num '9' is not in features\.csv"),
        ("train.csv", "feature_num", "feature", r"train\.csv, line 1: no column 'feature_num'; found id, case_num"),
        ("features.csv", "001,0,Female", "001", r"features\.csv, line 3: a row with too few fields"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, file: str, old: str, new: str, expected: str) -> None:
    path = small_corpora.nbme(tmp_path) / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=expected):
        nbme.prepare(tmp_path, NBME)


def test_too_few_notes_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="9 notes are too few to hold out a tenth"):
        nbme.prepare(small_corpora.nbme(tmp_path, 9), NBME)
    (tmp_path / "features.csv").write_text("feature_num,feature_text\n")
    with pytest.raises(UserError, match=r"features\.csv: holds no rows"):
        nbme.prepare(tmp_path, NBME)
    (tmp_path / "features.csv").unlink()
    with pytest.raises(MissingFilesError, match=r"features\.csv is missing"):
        nbme.prepare(tmp_path, NBME)
