"""Financial PhraseBank and FinTextSen: formats, classes for scores, and splits where none are distributed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.prepare import small_corpora
from tests.data.prepare.small_corpora import microblog
from trainables.data import tasks
from trainables.data.examples import Example, TextExample
from trainables.data.prepare import clusters, fpb, fts
from trainables.data.prepare.corpus import MissingFilesError
from trainables.errors import UserError

FPB, FTS = tasks.get("fpb"), tasks.get("fts")


def rows(splits: dict[str, list[Example]], task: tasks.Task) -> dict[str, tuple[str, str]]:
    """Text and label by id, of all splits."""
    found = [example for examples in splits.values() for example in examples if isinstance(example, TextExample)]
    return {example.id: (example.text, task.labels[int(str(example.label))]) for example in found}


def test_sentences_end_at_the_last_at_sign_and_are_latin1(tmp_path: Path) -> None:
    found = rows(fpb.prepare(small_corpora.fpb(tmp_path), FPB).splits, FPB)
    assert len(found) == 31
    assert found["1"] == ("Net sales of cafés rose 0 @ EUR .", "neutral")
    assert found["2"] == ("Net sales of cafés rose 1 @ EUR .", "positive")
    assert found["31"] == ("It fell .", "negative")


def test_a_tenth_is_test_and_dev_with_the_labels_in_their_shares(tmp_path: Path) -> None:
    prepared = fpb.prepare(small_corpora.fpb(tmp_path, 300), FPB)
    sizes = {split: Counter(example.label for example in found) for split, found in prepared.splits.items()}
    assert sizes["test"][0] == sizes["dev"][0] == 10
    assert sizes["test"][1] == sizes["dev"][1] == 20
    assert "301 sentences in all, 4846 published" in prepared.notes["train"]


def test_the_draw_does_not_depend_on_the_order_of_the_file(tmp_path: Path) -> None:
    path = small_corpora.fpb(tmp_path) / "Sentences_50Agree.txt"
    before = {example.text for example in fpb.prepare(tmp_path, FPB).splits["test"]}  # type: ignore[union-attr]
    path.write_bytes(b"".join(reversed(path.read_bytes().splitlines(keepends=True))))
    assert {example.text for example in fpb.prepare(tmp_path, FPB).splits["test"]} == before  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("no label", "line 1: found 'no label'; sentence@label expected"),
        ("@neutral", "line 1: found '@neutral'; sentence@label expected"),
        ("It rose .@up", "line 1: label 'up' is not a label of fpb; choices: negative, neutral, positive"),
        ("It rose .@positive", r"Agree\.txt: 1 different texts cannot be divided into 10 folds"),
    ],
)
def test_malformed_sentences_are_refused(tmp_path: Path, line: str, expected: str) -> None:
    small_corpora.put(tmp_path / "Sentences_50Agree.txt", line + "\r\n")
    with pytest.raises(UserError, match=expected):
        fpb.prepare(tmp_path, FPB)


def test_without_the_file_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFilesError, match=r"Sentences_50Agree\.txt is missing"):
        fpb.prepare(tmp_path, FPB)
    with pytest.raises(MissingFilesError, match=r"holds no JSON file of microblogs"):
        fts.prepare(tmp_path, FTS)


def filled(*records: dict[str, object]) -> list[dict[str, object]]:
    """Records among others of clear sentiment, so that there is something to cluster and to split."""
    return [*records, *(microblog(f"x{n}", (-0.8, 0.0, 0.8)[n % 3], text=f"message {n}") for n in range(30))]


def test_a_messages_text_is_itself_or_else_its_spans(tmp_path: Path) -> None:
    records = filled(
        microblog("whole", 0.7, text=" Buy \n banks ", spans=["Buy"]),
        microblog("body", -0.9, message={"body": "Sell it"}),
        microblog(17, 0.01, spans=["time to", " ", "wait"]),
        microblog("one span", "0.65", spans="to the moon"),
    )
    found = rows(fts.prepare(small_corpora.fts(tmp_path, records), FTS).splits, FTS)
    assert found["whole"] == ("Buy banks", "positive")
    assert found["body"] == ("Sell it", "negative")
    assert found["17"] == ("time to wait", "neutral")
    assert found["one span"] == ("to the moon", "positive")


def test_records_without_text_are_left_out_and_counted_and_repeated_ones_count_once(tmp_path: Path) -> None:
    records = filled(
        microblog("none", 0.1, spans=[]),
        microblog("null", 0.1, message=None, text=None),
        microblog("twice", 0.9, text="up"),
        microblog("twice", -0.9, text="down") | {"cashtag": "$B"},
    )
    small_corpora.put(tmp_path / "Headlines.json", "no JSON")
    small_corpora.fts(tmp_path / "trial", records[2:3])
    prepared = fts.prepare(small_corpora.fts(tmp_path, records), FTS)
    found = rows(prepared.splits, FTS)
    assert len(found) == 32
    assert {found["twice"], found["twice-2"]} == {("up", "positive"), ("down", "negative")}
    assert "32 messages in all, 2 left out for want of a text; 2488 published" in prepared.notes["train"]


def test_by_sign_only_zero_is_neutral(tmp_path: Path) -> None:
    records = filled(microblog("up", 0.001, text="a"), microblog("down", -0.001, text="b"))
    found = rows(fts.prepare(small_corpora.fts(tmp_path, records), FTS, classes="sign").splits, FTS)
    assert (found["up"][1], found["down"][1], found["x1"][1]) == ("positive", "negative", "neutral")


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ({"a": 1}, r"Microblog_Trainingdata\.json: a list of records expected"),
        ([3], "record 1: an object with id, cashtag"),
        ([microblog("", 0.1, text="a")], "record 1: 'id' is ''; text or a number expected"),
        ([microblog("a", 1.5, text="a")], "record 1: 'sentiment score' is 1.5; a number from -1 to 1 expected"),
        ([microblog("a", "up", text="a")], "record 1: 'sentiment score' is 'up'; a number from -1 to 1 expected"),
        ([microblog("a", None, text="a")], "record 1: 'sentiment score' is None"),
        ([microblog("a", 0.5)], "none of the 1 records has a text"),
        ([microblog("a", 0.5, text="a")], "1 different scores cannot be clustered into 3 classes"),
    ],
)
def test_malformed_microblogs_are_refused(tmp_path: Path, records: object, expected: str) -> None:
    with pytest.raises(UserError, match=expected):
        fts.prepare(small_corpora.fts(tmp_path, records), FTS)


def test_boundaries_fall_into_the_gaps() -> None:
    assert clusters.kmeans_boundaries([-0.9, -0.8, -0.7, 0.0, 0.1, 0.6, 0.7, 0.7]) == (0.0, 0.6)


@given(st.lists(st.integers(-20, 20), min_size=3, max_size=12).filter(lambda scores: len(set(scores)) > 2))
def test_no_other_boundaries_are_better(scores: list[int]) -> None:
    def cost(first: float, second: float) -> float:
        parts = (
            [score for score in scores if score < first],
            [score for score in scores if first <= score < second],
            [score for score in scores if score >= second],
        )
        return sum((score - sum(part) / len(part)) ** 2 for part in parts for score in part)

    ordered = sorted(set(scores))
    best = min(cost(first, second) for first in ordered[1:] for second in ordered if second > first)
    assert cost(*clusters.kmeans_boundaries(scores)) == pytest.approx(best, abs=1e-6)
