"""Random text: the same from the same seed and source, of the originals' lengths and words, whatever the source."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from tests.data.test_folds import fresh
from trainables.data import corpora, jsonl, randomized, sources, tasks
from trainables.data.examples import SPLITS, Splits, TextExample
from trainables.errors import UserError

BOOLQ, GAD = tasks.get("boolq"), tasks.get("gad")
WORDS = st.lists(st.sampled_from(["a", "b", "c", "@GENE$", "."]), min_size=1, max_size=12).map(" ".join)


def pairs(*rows: tuple[str, str]) -> Splits:
    return {split: [TextExample(str(n), text, n % 2, pair) for n, (text, pair) in enumerate(rows)] for split in SPLITS}


def texts(splits: Splits, split: str = "train") -> list[tuple[str, str | None]]:
    return [(example.text, example.pair) for example in splits[split] if isinstance(example, TextExample)]


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8), st.integers(0, 3))
def test_lengths_ids_and_labels_stay_and_questions_are_of_their_passage(rows: list[tuple[str, str]], seed: int) -> None:
    original = pairs(*rows)
    found = randomized.splits(original, BOOLQ, seed)
    starters = {question.split()[0] for question, _ in rows}
    vocabulary = {word for _, passage in rows for word in passage.split()}
    for split in SPLITS:
        for old, new in zip(original[split], found[split], strict=True):
            assert isinstance(old, TextExample)
            assert isinstance(new, TextExample)
            assert (new.id, new.label) == (old.id, old.label)
            assert new.pair is not None
            assert old.pair is not None
            assert len(new.pair.split()) == len(old.pair.split())
            assert len(new.text.split()) == len(old.text.split())
            first, *rest = new.text.split()
            assert first in starters
            assert set(rest) <= set(new.pair.split()) <= vocabulary
    assert randomized.splits(original, BOOLQ, seed) == found
    assert randomized.splits(pairs(*rows), BOOLQ, seed + 1) != found or len(vocabulary) == 1


def test_words_and_starters_are_as_frequent_as_in_the_training_split() -> None:
    original = pairs(*[("is it", "a a a b"), ("is it", "a a a b"), ("how so", "a a a c"), ("is it", "a a a b")] * 100)
    original["test"] = [TextExample("0", "why not", 0, " ".join(["z"] * 4000))]
    found = randomized.splits(original, BOOLQ, 0)
    assert set(texts(found, "test")[0][1].split()) == {"a", "b", "c"}  # type: ignore[union-attr]
    passages = Counter(word for _, passage in texts(found) for word in str(passage).split())
    starters = Counter(question.split()[0] for question, _ in texts(found))
    assert chisquare([passages[word] for word in "abc"], [1200, 300, 100]).pvalue > 1e-3
    assert chisquare([starters["is"], starters["how"]], [300, 100]).pvalue > 1e-3


def test_an_example_does_not_depend_on_the_others_order() -> None:
    original = pairs(*[(f"is {n} it", f"it is {n} indeed") for n in range(20)])
    turned = {split: list(reversed(examples)) for split, examples in original.items()}
    ours, theirs = randomized.splits(original, BOOLQ, 1), randomized.splits(turned, BOOLQ, 1)  # type: ignore[arg-type]
    assert {example.id: example for example in ours["dev"]} == {example.id: example for example in theirs["dev"]}


def test_a_passage_may_be_empty_but_not_all_of_them() -> None:
    found = randomized.splits(pairs(("is it", ""), ("is it", "a b")), BOOLQ, 0)
    assert texts(found)[0] == ("is", "")
    with pytest.raises(UserError, match="'boolq' has no words in its training split"):
        randomized.splits(pairs(("is it", "")), BOOLQ, 0)


@pytest.mark.parametrize("name", ["boolq", "bioasq", "gad", "hoc", "emotion"])
def test_every_task_on_texts_has_random_text_in_miniature(name: str) -> None:
    whole, found = sources.load("mini", name), sources.load("random:3:mini", name)
    for split in SPLITS:
        assert [(e.id, e.label) for e in found[split]] == [(e.id, e.label) for e in whole[split]]  # type: ignore[union-attr]
        assert texts(found, split) != texts(whole, split)
    assert sources.settings("random:3:mini", tasks.get(name)) == sources.settings("mini", tasks.get(name))


def test_folds_of_random_text_are_folds_of_the_whole() -> None:
    whole = sources.load("random:3:mini", "gad")
    expected = {f"{split}/{example.id}": example.text for split in SPLITS for example in whole[split]}  # type: ignore[union-attr]
    fold = sources.load("random:3:mini", "gad@2/5")
    assert {e.id: e.text for split in SPLITS for e in fold[split]} == expected  # type: ignore[union-attr]
    assert next(corpora.read("task:gad@2/5", "random:3:mini")) == fold["train"][0].text  # type: ignore[union-attr]


def test_fingerprints_tell_seeds_sources_tasks_and_folds_apart() -> None:
    names = ["mini", "random:0:mini", "random:1:mini", "random:0:random:1:mini"]
    found = [sources.fingerprint(name, task) for name in names for task in ("gad", "gad@1/5", "euadr")]
    assert len(set(found)) == len(found)


def write(folder: Path, word: str) -> str:
    for split in SPLITS:
        file = folder / GAD.folder / f"{split}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        jsonl.write(file, GAD, [TextExample(str(n), f"{word} {split} {n}", n % 2) for n in range(8)])
    fresh()
    return sources.fingerprint(f"random:0:{folder}", "gad")


def test_the_fingerprint_follows_the_source(tmp_path: Path) -> None:
    first = write(tmp_path / "one", "first")
    assert write(tmp_path / "two", "first") == first
    assert write(tmp_path / "one", "second") != first
    assert sources.folder(f"random:0:{tmp_path / 'one'}") == tmp_path / "one"


@pytest.mark.parametrize("source", ["random:", "random:mini", "random:a:mini", "random:-1:mini", "random:0:"])
def test_random_text_needs_a_seed_and_a_source(source: str) -> None:
    for reads in (sources.load, sources.fingerprint):
        with pytest.raises(UserError, match="random:SEED:SOURCE expected, such as random:0:mini"):
            reads(source, "gad")


def test_tasks_on_words_are_refused_by_name() -> None:
    for reads in (sources.load, sources.fingerprint):
        with pytest.raises(UserError, match="task 'bc5chem' labels words"):
            reads("random:0:mini", "bc5chem")
