"""The transfer-data paper's relations: EU-ADR and TACRED."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.data.prepare import small_corpora
from tests.data.prepare.small_corpora import association, sentence
from trainables.data import tasks
from trainables.data.examples import TextExample
from trainables.data.prepare import euadr, tacred
from trainables.data.prepare.corpus import MissingFilesError
from trainables.errors import UserError

EUADR, TACRED = tasks.get("euadr"), tasks.get("tacred")


def test_any_annotated_association_is_positive_and_mentions_become_markers(tmp_path: Path) -> None:
    small_corpora.euadr(tmp_path)
    examples = euadr.table(tmp_path / "EUADR_target_disease.csv", EUADR)
    assert examples[0] == TextExample("2", "No @GENE$ in café @DISEASE$ 0.", 1)
    assert [example.label for example in examples[:5]] == [1, 0, 1, 1, 0]
    splits = euadr.prepare(tmp_path, EUADR).splits
    assert {split: len(found) for split, found in splits.items()} == {"train": 16, "dev": 2, "test": 2}


def test_biobert_folds_are_the_splits_and_the_partition(tmp_path: Path) -> None:
    prepared = euadr.prepare(small_corpora.euadr_folds(small_corpora.euadr(tmp_path), 4), EUADR)
    assert prepared.splits["test"] == [
        TextExample("test_0_0", "@GENE$ 0 0", 1),
        TextExample("test_0_1", "@GENE$ 0 1", 0),
    ]
    assert len(prepared.splits["train"]) == 4
    assert prepared.folds[4][:2] == [["test/test_0_0", "test/test_0_1"], ["dev/test_1_0", "dev/test_1_1"]]
    assert prepared.folds[4][3] == ["train/test_3_0", "train/test_3_1"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('"PA"\t17', r"line 2: 2 fields; 12 expected: ASSOCIATION_TYPE"),
        (association("XX"), "line 2: ASSOCIATION_TYPE is 'XX'; PA, SA, NA, FA expected"),
        (association(start=4), "line 2: characters 4 to 8 are not 'LRP5'"),
        (association().replace("Genes &", "Drugs &"), "line 2: ENTITY1_TYPE is 'Drugs & Molecular Sequences'"),
        (association().replace("\t3\t", "\tx\t"), "line 2: ENTITY1_INI is 'x'; a whole number expected"),
        ("", "holds no rows"),
    ],
)
def test_malformed_associations_are_refused(tmp_path: Path, row: str, expected: str) -> None:
    table = f"{small_corpora.EUADR_HEADER}\n{row}\n"
    small_corpora.put(tmp_path / "EUADR_target_disease.csv", table.encode("latin-1"))
    with pytest.raises(UserError, match=rf"disease\.csv.*{expected}"):
        euadr.prepare(tmp_path, EUADR)


def test_malformed_folds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFilesError, match=r"EUADR_target_disease\.csv is missing"):
        euadr.prepare(tmp_path, EUADR)
    small_corpora.euadr_folds(tmp_path)
    small_corpora.put(tmp_path / "biobert_folds" / "test_1.json", '{"id": "a", "text": "b", "relation": []}\n')
    with pytest.raises(UserError, match=r"test_1\.json, line 1: 'relation_type' is None; positive, negative expected"):
        euadr.prepare(tmp_path, EUADR)
    (tmp_path / "biobert_folds" / "test_1.json").unlink()
    with pytest.raises(UserError, match=r"folds 0, 2; test_0\.json"):
        euadr.prepare(tmp_path, EUADR)


def test_tacred_asks_whether_there_is_a_relation(tmp_path: Path) -> None:
    splits = tacred.prepare(small_corpora.tacred(tmp_path), TACRED).splits
    text = "@PERSON$ ( @TITLE$ ) left Rome ."
    assert splits["dev"] == [TextExample("a", text, 1), TextExample("b", text, 0)]


def test_the_object_may_come_first(tmp_path: Path) -> None:
    record = sentence(subj_start=6, subj_end=6, subj_type="CITY", obj_start=0, obj_end=1, obj_type="PERSON")
    small_corpora.put(small_corpora.tacred(tmp_path) / "dev.json", json.dumps([record]))
    assert tacred.prepare(tmp_path, TACRED).splits["dev"][0].text == "@PERSON$ ( boss ) left @CITY$ ."  # type: ignore[union-attr]


def test_a_record_whose_mentions_overlap_is_left_out_and_counted(tmp_path: Path) -> None:
    records = [sentence("a"), sentence("b", obj_start=1), sentence("c", obj_start=0, obj_end=0), sentence("d")]
    small_corpora.put(small_corpora.tacred(tmp_path) / "train.json", json.dumps(records))
    prepared = tacred.prepare(tmp_path, TACRED)
    assert [example.id for example in prepared.splits["train"]] == ["a", "d"]
    assert prepared.notes == {"train": "2 of 4 records are left out, since their two mentions overlap"}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ({}, "a list of records expected"),
        ([3], "record 1: an object with id, token"),
        ([sentence(token="a b")], "record 1: 'token' must be a list of words"),
        ([sentence(obj_end=8)], "record 1: 'obj_start' and 'obj_end' are 3 and 8 of 8 words"),
        ([sentence(obj_start=1)], "the two mentions of each of its 1 records overlap"),
        ([sentence(subj_type=None)], "record 1: 'subj_type' is None; text expected"),
        ([sentence(relation="")], "record 1: 'relation' is ''; text expected"),
    ],
)
def test_malformed_records_are_refused(tmp_path: Path, records: object, expected: str) -> None:
    small_corpora.put(small_corpora.tacred(tmp_path) / "dev.json", json.dumps(records))
    with pytest.raises(UserError, match=rf"dev\.json.*{expected}"):
        tacred.prepare(tmp_path, TACRED)
