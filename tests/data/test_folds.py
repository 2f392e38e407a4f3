"""Folds: a partition by label and text, the same whatever the order; the task's own partition where it has one."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.data import corpora, folds, jsonl, sources, tasks
from trainables.data.examples import SPLITS, Splits, TextExample
from trainables.errors import UserError

GAD = tasks.get("gad")


def examples(*labels: int, texts: str = "text {}") -> list[TextExample]:
    return [TextExample(f"train/{number}", texts.format(number), label) for number, label in enumerate(labels)]


def identities(parts: folds.Partition) -> list[set[str]]:
    return [{example.id for example in part} for part in parts]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """GAD in miniature, as a folder: its files can be changed."""
    for split in SPLITS:
        file = tmp_path / GAD.folder / f"{split}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        jsonl.write(file, GAD, [TextExample(str(number), f"{split} {number}", number % 2) for number in range(8)])
    return tmp_path


def give(source: Path, partition: object, count: int = 4) -> Path:
    file = folds.file(source / GAD.folder, count)
    file.parent.mkdir(exist_ok=True)
    file.write_text(partition if isinstance(partition, str) else json.dumps(partition))
    return file


def quarters() -> list[list[str]]:
    everything = [f"{split}/{number}" for split in SPLITS for number in range(8)]
    return [everything[place::4] for place in range(4)]


@pytest.mark.parametrize("name", ["gad", "chemprot", "hoc", "pubmedqa", "fts"])
def test_the_folds_test_splits_partition_the_task(name: str) -> None:
    whole = sources.load("mini", name)
    expected = {f"{split}/{example.id}": example for split in SPLITS for example in whole[split]}
    tested: Counter[str] = Counter()
    for fold in tasks.folds(f"{name}@5"):
        splits = sources.load("mini", fold)
        found = [example for split in SPLITS for example in splits[split]]
        assert {example.id for example in found} == set(expected)
        assert len(found) == len(expected)
        for example in splits["test"]:
            assert isinstance(example, TextExample)
            original = expected[example.id]
            assert isinstance(original, TextExample)
            assert (example.text, example.label, example.pair) == (original.text, original.label, original.pair)
        tested.update(example.id for example in splits["test"])
    assert tested == Counter(set(expected))


def test_dev_is_the_next_folds_test_and_the_last_ones_is_the_first() -> None:
    loaded = [sources.load("mini", fold) for fold in tasks.folds("gad@4")]
    for place, splits in enumerate(loaded):
        assert splits["dev"] == loaded[(place + 1) % 4]["test"]


@given(st.lists(st.integers(0, 3), min_size=12, max_size=60), st.integers(3, 6), st.randoms(use_true_random=False))
def test_parts_are_even_by_label_and_do_not_depend_on_the_order(
    labels: list[int], count: int, source: random.Random
) -> None:
    given_examples = examples(*labels)
    parts = folds.partition(given_examples, count)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    for label in set(labels):
        with_label = [sum(example.label == label for example in part) for part in parts]
        assert max(with_label) - min(with_label) <= 1
    shuffled = list(given_examples)
    source.shuffle(shuffled)
    assert identities(folds.partition(shuffled, count)) == identities(parts)


def test_several_labels_are_shared_out_as_sets() -> None:
    documents = [TextExample(str(number), f"text {number}", (number % 2, number // 2 % 2)) for number in range(24)]
    for part in folds.partition(documents, 3):
        assert Counter(example.label for example in part) == {(0, 0): 2, (0, 1): 2, (1, 0): 2, (1, 1): 2}


def test_the_same_text_is_never_trained_and_tested_on() -> None:
    twice = [*examples(*[0, 1] * 10), TextExample("dev/0", "text 0", 1), TextExample("dev/1", "text 1", 1)]
    for part in folds.partition(twice, 3):
        ids = {example.id for example in part}
        assert ("train/0" in ids) == ("dev/0" in ids)
        assert ("train/1" in ids) == ("dev/1" in ids)


def test_fewer_texts_than_folds_are_refused() -> None:
    with pytest.raises(UserError, match="3 different texts cannot be divided into 4 folds"):
        folds.partition(examples(0, 1, 0), 4)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gad@2", "2 folds are too few; one is the test split.*at least 3 \\(gad@3\\)"),
        ("gad@1/1", "1 folds are too few"),
        ("gad@101", "101 folds are too many.*at most 100 \\(gad@100\\)"),
        ("gad@3/1000000", "1000000 folds are too many"),
        (f"gad@{'9' * 5000}", "gad@3/10 is the third of ten folds"),
        ("bc5chem@1/10", "bc5chem labels words; folds are of tasks that label texts"),
        ("gad@11/10", "gad@3/10 is the third of ten folds"),
        ("gad@0/10", "gad@3/10 is the third of ten folds"),
        ("gda@1/10", "did you mean 'gad'"),
    ],
)
def test_folds_that_cannot_be_are_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        tasks.get(name)


def test_a_mean_over_folds_has_no_data() -> None:
    for reads in (sources.load, sources.fingerprint):
        with pytest.raises(UserError, match="'gad@10' is the mean over 10 folds; train gad@1/10"):
            reads("mini", "gad@10")
    with pytest.raises(UserError, match="'gad@10' is the mean over 10 folds"):
        corpora.fingerprint("task:gad@10", "mini")


def test_a_fold_has_the_settings_of_its_task() -> None:
    assert sources.settings("mini", tasks.get("gad@3/10")) == sources.settings("mini", GAD)
    assert sources.settings("elsewhere", tasks.get("gad@3/10")) == GAD.settings


def test_a_folds_corpus_is_its_training_texts() -> None:
    texts = list(corpora.read("task:gad@2/4", "mini"))
    assert texts == [example.text for example in sources.load("mini", "gad@2/4")["train"]]  # type: ignore[union-attr]
    assert corpora.fingerprint("task:gad@2/4", "mini") != corpora.fingerprint("task:gad", "mini")


def test_tasks_of_the_same_files_have_fingerprints_of_their_own(tmp_path: Path) -> None:
    task = tasks.get("pubmedqa")
    for split in SPLITS:
        file = tmp_path / task.folder / f"{split}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        jsonl.write(file, task, [TextExample("0", f"{split} ?", 0, "yes"), TextExample("1", f"{split} ?", 2, "maybe")])
    assert sources.fingerprint(str(tmp_path), "pubmedqa") != sources.fingerprint(str(tmp_path), "pubmedqa_yesno")
    assert [len(found) for found in sources.load(str(tmp_path), "pubmedqa_yesno").values()] == [1, 1, 1]


def fresh() -> None:
    for cached in (sources.fingerprint, sources._read, sources._parts):
        cached.cache_clear()


def test_fingerprints_tell_folds_apart_and_follow_data_and_partition(source: Path) -> None:
    def fingerprints() -> tuple[str, ...]:
        fresh()
        return tuple(sources.fingerprint(str(source), name) for name in ("gad", "gad@1/4", "gad@2/4", "gad@1/5"))

    first = fingerprints()
    assert len(set(first)) == 4
    assert fingerprints() == first
    give(source, quarters())
    given_own = fingerprints()
    assert [ours == own for ours, own in zip(first, given_own, strict=True)] == [True, False, False, True]
    file = source / GAD.folder / "test.json"
    file.write_text(file.read_text().replace("test 7", "test seven"))
    assert not set(fingerprints()) & {*first, *given_own}


def test_the_tasks_own_partition_is_used(source: Path) -> None:
    give(source, quarters())
    fresh()
    splits: Splits = sources.load(str(source), "gad@4/4")
    assert [example.id for example in splits["test"]] == quarters()[3]
    assert [example.id for example in splits["dev"]] == quarters()[0]
    assert {example.id for example in splits["train"]} == {*quarters()[1], *quarters()[2]}


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        ("[[", "not JSON"),
        ({"1": []}, "a list of lists of ids"),
        ([["train/0"], [], ["train/1"], ["train/2"]], "a list of lists of ids (text) expected, none of them empty"),
        ([[1], [2], [3], [4]], "a list of lists of ids"),
        (quarters()[:3], "3 folds; 4 expected"),
        ([*quarters()[:3], ["train/9"]], "id 'train/9' is no example of the task; ids are <split>/<id>"),
        ([*quarters()[:3], [*quarters()[3], "train/0"]], "id 'train/0' is there twice"),
        ([*quarters()[:3], quarters()[3][1:]], "1 examples are in no fold, 'train/3' first"),
    ],
)
def test_what_is_no_partition_is_refused_with_its_file(source: Path, partition: object, message: str) -> None:
    give(source, partition)
    fresh()
    with pytest.raises(UserError, match=rf"gad@4: .*folds/4\.json: {re.escape(message)}"):
        sources.load(str(source), "gad@1/4")
