"""HoC, PubMedQA, BioASQ and BoolQ."""

import json
from pathlib import Path

import pytest

from tests.data.prepare import small_corpora
from tests.data.prepare.small_corpora import question
from trainables.data import tasks
from trainables.data.examples import TextExample
from trainables.data.prepare import bioasq, boolq, hoc, pubmedqa
from trainables.data.prepare.corpus import MissingFilesError
from trainables.errors import UserError

HOC, PUBMEDQA, BIOASQ = tasks.get("hoc"), tasks.get("pubmedqa"), tasks.get("bioasq")
BOOLQ = tasks.get("boolq")


def test_hoc_sentences_become_abstracts_with_all_their_labels(tmp_path: Path) -> None:
    splits = hoc.prepare(small_corpora.hoc(tmp_path), HOC).splits
    first = TextExample("7", "Title . Middle . End .", (1, *(0,) * 8, 1))
    assert splits["test"] == [first, TextExample("8", "Other .", (0,) * 10)]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("0_1,1_0\ta\t9_s0\n", r"labels are '0_1,1_0'; 0_v,1_v,\.\.\.,9_v with v 0 or 1 expected"),
        (small_corpora.NO_HALLMARK.replace("3_0", "3_2") + "\ta\t9_s0\n", "labels are"),
        (small_corpora.NO_HALLMARK.replace("3_0", "4_0") + "\ta\t9_s0\n", "labels are"),
        (small_corpora.NO_HALLMARK + "\ta\t9\n", "index is '9'; PMID_s<number of the sentence> expected"),
        (small_corpora.NO_HALLMARK + "\ta\t7_s0\n", "index '7_s0' is there twice"),
    ],
)
def test_malformed_hoc_is_refused(tmp_path: Path, row: str, expected: str) -> None:
    path = small_corpora.hoc(tmp_path) / "dev.tsv"
    path.write_text(path.read_text() + row)
    with pytest.raises(UserError, match=rf"dev\.tsv, line 6: {expected}"):
        hoc.prepare(tmp_path, HOC)


def test_pubmedqa_follows_its_lists_where_they_are(tmp_path: Path) -> None:
    splits = pubmedqa.prepare(small_corpora.pubmedqa(tmp_path, lists=True), PUBMEDQA).splits
    assert splits["dev"] == [
        TextExample("1002", "Is it 2?", 1, pair="First. Second."),
        TextExample("1003", "Is it 3?", 2, pair="First. Second."),
    ]
    assert [example.id for example in splits["test"]] == ["1004", "1005"]


def test_pubmedqa_is_split_by_label_without_lists(tmp_path: Path) -> None:
    splits = pubmedqa.prepare(small_corpora.pubmedqa(tmp_path, 400), PUBMEDQA).splits
    sizes = {
        split: [sum(example.label == label for example in found) for label in range(3)]
        for split, found in splits.items()
    }
    assert sizes == {"train": [90, 45, 45], "dev": [10, 5, 5], "test": [100, 50, 50]}
    ids = [example.id for found in splits.values() for example in found]
    assert len(set(ids)) == 400


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"final_decision": "perhaps"}, r"record 1000: 'final_decision' is 'perhaps'; yes, no or maybe expected"),
        ({"QUESTION": ""}, "record 1000: 'QUESTION' is ''; text expected"),
        ({"CONTEXTS": "First."}, "record 1000: 'CONTEXTS' must be a list of texts"),
    ],
)
def test_malformed_record_is_refused(tmp_path: Path, change: dict[str, object], expected: str) -> None:
    path = small_corpora.pubmedqa(tmp_path) / "ori_pqal.json"
    corpus = json.loads(path.read_text())
    corpus["1000"] |= change
    path.write_text(json.dumps(corpus))
    with pytest.raises(UserError, match=rf"ori_pqal\.json.*{expected}"):
        pubmedqa.prepare(tmp_path, PUBMEDQA)


def test_broken_json_is_refused_with_its_line(tmp_path: Path) -> None:
    path = small_corpora.pubmedqa(tmp_path) / "ori_pqal.json"
    path.write_text(path.read_text()[:300])
    with pytest.raises(UserError, match=r"ori_pqal\.json, line \d+: not JSON"):
        pubmedqa.prepare(tmp_path, PUBMEDQA)


def test_listed_pmid_must_be_in_the_corpus_once(tmp_path: Path) -> None:
    small_corpora.pubmedqa(tmp_path, lists=True)
    small_corpora.put(tmp_path / "fold0_pmids" / "dev.txt", "1001\n1001\n")
    with pytest.raises(UserError, match=r"dev\.txt: lists '1001' twice"):
        pubmedqa.prepare(tmp_path, PUBMEDQA)
    small_corpora.put(tmp_path / "fold0_pmids" / "dev.txt", "7\n")
    with pytest.raises(UserError, match=r"dev\.txt: lists '7', which the corpus does not have"):
        pubmedqa.prepare(tmp_path, PUBMEDQA)


def test_bioasq_files_by_split(tmp_path: Path) -> None:
    splits = bioasq.prepare(small_corpora.bioasq(tmp_path), BIOASQ).splits
    expected = [
        TextExample("a", "Is a?", 0, pair="First snippet. Second."),
        TextExample("b", "Is b?", 1, pair="First snippet. Second."),
    ]
    assert splits == {"train": expected, "dev": expected, "test": expected}


def organisers_files() -> dict[str, list[dict[str, object]]]:
    training = [question(f"q{number}", "yes" if number % 3 else "no") for number in range(120)]
    return {"trainining7b": training, "7B1_golden": [question("g1")], "7B2_golden": [question("g2"), question("q7")]}


def test_bioasq_as_the_organisers_give_it(tmp_path: Path) -> None:
    prepared = bioasq.prepare(small_corpora.bioasq(tmp_path, **organisers_files()), BIOASQ)
    ids = {split: {example.id for example in found} for split, found in prepared.splits.items()}
    assert ids["test"] == {"g1", "g2", "q7"}
    assert len(ids["dev"]) == bioasq.DEV_QUESTIONS
    assert not ids["dev"] & ids["train"]
    assert not ids["test"] & (ids["train"] | ids["dev"])
    assert ids["train"] | ids["dev"] == {f"q{number}" for number in range(120)} - {"q7"}
    assert "not the benchmark's own choice" in prepared.notes["dev"]


def test_bioasq_dev_does_not_depend_on_the_order_of_the_file(tmp_path: Path) -> None:
    files = organisers_files()
    first = bioasq.prepare(small_corpora.bioasq(tmp_path / "a", **files), BIOASQ).splits["dev"]
    files["trainining7b"].reverse()
    second = bioasq.prepare(small_corpora.bioasq(tmp_path / "b", **files), BIOASQ).splits["dev"]
    assert {example.id for example in first} == {example.id for example in second}


def test_bioasq_dev_follows_a_list(tmp_path: Path) -> None:
    small_corpora.bioasq(tmp_path, **organisers_files())
    small_corpora.put(tmp_path / "indexing" / "dev.txt", "q3\nq5\n")
    prepared = bioasq.prepare(tmp_path, BIOASQ)
    assert [example.id for example in prepared.splits["dev"]] == ["q3", "q5"]
    assert prepared.notes == {}


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (question("a", "maybe"), r"question 1: id a: label 'maybe' is not a label of bioasq"),
        (question("a", ["yes", "no"]), r"'exact_answer' is \['yes', 'no'\]; yes or no expected"),
        ({**question("a"), "snippets": ["text"]}, "'snippets' must be a list of objects with 'text'"),
        ({**question("a"), "snippets": [{}]}, "'text' is None; text expected"),
        ({**question("a"), "id": 3}, "'id' is 3; text expected"),
    ],
)
def test_malformed_question_is_refused(tmp_path: Path, wrong: dict[str, object], expected: str) -> None:
    small_corpora.bioasq(tmp_path, train=[wrong], dev=[question("b")], test=[question("c")])
    with pytest.raises(UserError, match=rf"train\.json.*{expected}"):
        bioasq.prepare(tmp_path, BIOASQ)


def test_bioasq_without_yes_no_questions_or_golden_files_is_refused(tmp_path: Path) -> None:
    small_corpora.bioasq(tmp_path / "a", train=[question("a", kind="list")])
    with pytest.raises(UserError, match="has no question of type 'yesno'"):
        bioasq.prepare(tmp_path / "a", BIOASQ)
    small_corpora.bioasq(tmp_path / "b", training7b=[question("a")])
    with pytest.raises(MissingFilesError, match="golden"):
        bioasq.prepare(tmp_path / "b", BIOASQ)


def test_boolqs_dev_file_is_test_and_a_tenth_of_train_is_dev(tmp_path: Path) -> None:
    prepared = boolq.prepare(small_corpora.boolq(tmp_path), BOOLQ)
    assert {split: len(found) for split, found in prepared.splits.items()} == {"train": 54, "dev": 6, "test": 30}
    assert prepared.splits["test"][0] == TextExample("1", "is dev 0 it", 1, pair="It is dev 0.")
    assert prepared.splits["test"][1] == TextExample("2", "is dev 1 it", 0, pair="It is dev 1.")
    assert sum(example.label for example in prepared.splits["dev"]) == 2
    assert prepared.notes["dev"].startswith("a tenth of train.jsonl")


def test_boolq_without_train_is_split_and_says_so(tmp_path: Path) -> None:
    prepared = boolq.prepare(small_corpora.boolq(tmp_path, train=False), BOOLQ)
    assert {split: len(found) for split, found in prepared.splits.items()} == {"train": 24, "dev": 3, "test": 3}
    assert "train.jsonl is missing" in prepared.notes["train"]
    (tmp_path / "dev.jsonl").unlink()
    with pytest.raises(MissingFilesError, match=r"dev\.jsonl is missing"):
        boolq.prepare(tmp_path, BOOLQ)


@pytest.mark.parametrize("train", [True, False])
def test_questions_on_one_boolq_passage_are_in_one_of_the_splits_that_are_drawn(tmp_path: Path, train: bool) -> None:
    for name in ("train", "dev")[not train :]:
        found = [
            {"question": f"is {name} {n} it", "answer": n % 2 > 0, "passage": f"It is {name} {n % 25}."}
            for n in range(75)
        ]
        small_corpora.put(tmp_path / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in found))
    splits = boolq.prepare(tmp_path, BOOLQ).splits
    passages = [{example.pair for example in found} for found in splits.values()]  # type: ignore[union-attr]
    assert all(passages)
    assert len(set.union(*passages)) == sum(map(len, passages))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ('{"question": "a"', "line 1: not JSON"),
        ("[1]", r"line 1: found '\[1\]'; one JSON object expected"),
        ('{"question": "a", "passage": "b", "answer": "yes"}', "line 1: 'answer' is 'yes'; true or false expected"),
        ('{"question": "a", "answer": true}', "line 1: 'passage' is None; text expected"),
        ("", "holds no rows"),
    ],
)
def test_malformed_boolq_is_refused(tmp_path: Path, row: str, expected: str) -> None:
    small_corpora.put(small_corpora.boolq(tmp_path) / "dev.jsonl", row + "\n")
    with pytest.raises(UserError, match=rf"dev\.jsonl.*{expected}"):
        boolq.prepare(tmp_path, BOOLQ)
