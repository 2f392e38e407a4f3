"""Relations of the i2b2 challenge, on generated files in the format of the n2c2 distribution."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.prepare import small_corpora
from trainables.data import tasks
from trainables.data.examples import Example, TextExample
from trainables.data.prepare import i2b2
from trainables.data.prepare.corpus import MissingFilesError
from trainables.errors import UserError

TASK = tasks.get("i2b2")
CONCEPTS, RELATIONS = small_corpora.I2B2_CONCEPTS, small_corpora.I2B2_RELATIONS


def rows(examples: list[Example]) -> list[tuple[str, str, str]]:
    texts = [example for example in examples if isinstance(example, TextExample)]
    return [(example.id, example.text, TASK.labels[int(str(example.label))]) for example in texts]


def documents(examples: list[Example]) -> set[str]:
    return {example.id.partition(".")[0] for example in examples}


def test_every_pair_of_a_sentence_is_marked_in_its_place(tmp_path: Path) -> None:
    assert rows(i2b2.prepare(small_corpora.i2b2(tmp_path), TASK).splits["test"]) == [
        ("0001.1.2", "She has @problem$ and takes aspirin after @test$ .", "TeRP"),
        ("0001.1.3", "She has Chest  Pain and takes @treatment$ after @test$ .", "0"),
        ("0001.2.3", "She has @problem$ and takes @treatment$ after an ECG .", "TrAP"),
    ]


def test_a_tenth_of_the_training_documents_is_dev(tmp_path: Path) -> None:
    prepared = i2b2.prepare(small_corpora.i2b2(tmp_path), TASK)
    assert len(documents(prepared.splits["dev"])) == 1
    assert len(documents(prepared.splits["train"])) == 10
    assert not documents(prepared.splits["dev"]) & documents(prepared.splits["train"])
    assert "dev-docids.txt" in prepared.notes["dev"]


def test_dev_is_blues_list_where_it_is_there(tmp_path: Path) -> None:
    small_corpora.put(small_corpora.i2b2(tmp_path) / "dev-docids.txt", "record-3\nrecord-7\n")
    prepared = i2b2.prepare(tmp_path, TASK)
    assert documents(prepared.splits["dev"]) == {"record-3", "record-7"}
    assert prepared.notes == {}
    small_corpora.put(tmp_path / "dev-docids.txt", "record-99\n")
    with pytest.raises(UserError, match=r"dev-docids\.txt: lists 'record-99', which the corpus does not have"):
        i2b2.prepare(tmp_path, TASK)


def test_two_relations_of_a_pair_are_two_examples(tmp_path: Path) -> None:
    more = RELATIONS + 'c="chest pain" 3:2 3:3||r="TrCP"||c="aspirin" 3:6 3:6\n' + RELATIONS
    found = rows(i2b2.prepare(small_corpora.i2b2(tmp_path, relations=more), TASK).splits["dev"])
    assert [(name.partition(".")[2], label) for name, _, label in found] == [
        ("1.2", "TeRP"),
        ("1.3", "0"),
        ("2.3", "TrAP"),
        ("2.3.2", "TrCP"),
    ]


def test_overlapping_mentions_are_marked_together(tmp_path: Path) -> None:
    concepts = 'c="chest pain" 3:2 3:3||t="problem"\nc="pain and takes aspirin" 3:3 3:6||t="treatment"\n'
    found = rows(i2b2.prepare(small_corpora.i2b2(tmp_path, concepts, ""), TASK).splits["dev"])
    assert [text for _, text, _ in found] == ["She has @problem-treatment$ after an ECG ."]


def test_a_blank_at_the_beginning_counts_as_a_word(tmp_path: Path) -> None:
    small_corpora.i2b2(tmp_path)
    reference = tmp_path / "reference_standard_for_test_data"
    small_corpora.put(tmp_path / "test_data" / "0001.txt", "\n\n She has pain and an ECG\n")
    concepts = 'c="pain" 3:3 3:3||t="problem"\nc="an ecg" 3:5 3:6||t="test"\n'
    small_corpora.put(reference / "concepts" / "0001.con", concepts)
    small_corpora.put(reference / "rel" / "0001.rel", "")
    assert rows(i2b2.prepare(tmp_path, TASK).splits["test"]) == [("0001.1.2", "She has @problem$ and @test$", "0")]


def test_quotes_in_mentions_are_part_of_them(tmp_path: Path) -> None:
    small_corpora.i2b2(tmp_path)
    reference = tmp_path / "reference_standard_for_test_data"
    small_corpora.put(tmp_path / "test_data" / "0001.txt", 'the " spells " after ECG\n')
    small_corpora.put(
        reference / "concepts" / "0001.con", 'c="the " spells "" 1:0 1:3||t="problem"\nc="ecg" 1:5 1:5||t="test"\n'
    )
    small_corpora.put(reference / "rel" / "0001.rel", 'c="ecg" 1:5 1:5||r="TeCP"||c="the " spells "" 1:0 1:3\n')
    assert rows(i2b2.prepare(tmp_path, TASK).splits["test"]) == [("0001.1.2", "@problem$ after @test$", "TeCP")]


@pytest.mark.parametrize(
    ("concepts", "relations", "expected"),
    [
        ("chest pain\n", RELATIONS, r"record-\d+\.con, line 1: found 'chest pain'; c=\"text\" line:word"),
        (CONCEPTS.replace('t="problem"', 't="drug"'), "", r"\.con, line 2: type is 'drug'; problem, treatment, test"),
        (CONCEPTS.replace("3:2 3:3", "3:1 3:2"), "", r"line 2: words 1 to 2 of line 3 are 'has Chest'; 'chest pain'"),
        (CONCEPTS.replace("3:2 3:3", "3:2 3:30"), "", "line 2: words 2 to 30 of line 3, which has 11 words"),
        (CONCEPTS.replace("3:2 3:3", "3:3 3:2"), "", "line 2: words 3 to 2 of line 3, which has 11 words"),
        (CONCEPTS.replace("3:2 3:3", "3:2 4:0"), "", "line 2: a mention from line 3 to line 4; one line expected"),
        (CONCEPTS.replace("3:2 3:3", "9:2 9:3"), "", "words 2 to 3 of line 9, which has 0 words"),
        (CONCEPTS, "TrAP\n", r"\.rel, line 1: found 'TrAP'"),
        (CONCEPTS, RELATIONS.replace("TrAP", "TrAPP"), r"\.rel, line 2: label 'TrAPP' .*did you mean 'TrAP'"),
        (CONCEPTS[: CONCEPTS.index("c=", 2)], RELATIONS, r"\.rel, line 1: 'chest pain' is no concept"),
        (CONCEPTS, RELATIONS.replace('c="chest pain" 3:2 3:3', 'c="date" 1:1 1:1'), "lines 3 and 1; a relation is"),
    ],
)
def test_malformed_annotations_are_refused(tmp_path: Path, concepts: str, relations: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        i2b2.prepare(small_corpora.i2b2(tmp_path, concepts, relations), TASK)


def test_documents_are_complete_and_their_names_unique(tmp_path: Path) -> None:
    training = small_corpora.i2b2(tmp_path) / "concept_assertion_relation_training_data"
    small_corpora.put(training / "partners" / "concept" / "record-0.con", CONCEPTS)
    with pytest.raises(
        UserError, match=r"partners/concept/record-0\.con: the same name as .*beth/concept/record-0\.con"
    ):
        i2b2.prepare(tmp_path, TASK)
    (training / "partners" / "concept" / "record-0.con").unlink()
    (training / "beth" / "rel" / "record-0.rel").unlink()
    with pytest.raises(UserError, match=r"beth/concept/record-0\.con: 0 \.rel files have its name; one expected"):
        i2b2.prepare(tmp_path, TASK)


@pytest.mark.parametrize("part", ["concept_assertion_relation_training_data", "reference_standard_for_test_data"])
def test_the_missing_part_is_named(tmp_path: Path, part: str) -> None:
    (small_corpora.i2b2(tmp_path) / part).rename(tmp_path.parent / f"{tmp_path.name}-away")
    wanted = "training" if "training" in part else "test"
    with pytest.raises(MissingFilesError, match=rf"holds no \.con files of the {wanted} part"):
        i2b2.prepare(tmp_path, TASK)
