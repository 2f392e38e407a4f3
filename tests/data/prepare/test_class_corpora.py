"""The corpora of the multi-teacher paper: EMOTION, TweetEval and MIND."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.data.prepare import small_corpora
from tests.data.prepare.small_corpora import article
from trainables.data import tasks
from trainables.data.examples import Example, TextExample
from trainables.data.prepare import draws, emotion, mind, tweeteval
from trainables.data.prepare.corpus import MissingFilesError
from trainables.errors import UserError

EMOTION, TWEETS, MIND = tasks.get("emotion"), tasks.get("tweet_emotion"), tasks.get("mind")


def rows(examples: list[Example], task: tasks.Task) -> list[tuple[str, str, str]]:
    found = [example for example in examples if isinstance(example, TextExample)]
    return [(example.id, example.text, task.labels[int(str(example.label))]) for example in found]


def test_a_message_ends_at_the_last_semicolon(tmp_path: Path) -> None:
    splits = emotion.prepare(small_corpora.emotion(tmp_path), EMOTION).splits
    assert rows(splits["dev"], EMOTION) == [("1", "i feel a;b val", "joy"), ("2", "i am alone", "sadness")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no label\n", "line 1: found 'no label'; text;label expected"),
        ("a;joy\n ;joy\n", "line 2: found ' ;joy'; text;label expected"),
        ("a;hope\n", "line 1: label 'hope' is not a label of emotion"),
        ("\n", "holds no rows"),
    ],
)
def test_malformed_messages_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    small_corpora.put(small_corpora.emotion(tmp_path) / "val.txt", text)
    with pytest.raises(UserError, match=rf"val\.txt.*{expected}"):
        emotion.prepare(tmp_path, EMOTION)


def test_tweets_and_labels_are_read_line_by_line(tmp_path: Path) -> None:
    prepared = tweeteval.prepare(small_corpora.tweets(tmp_path), TWEETS)
    assert rows(prepared.splits["test"], TWEETS) == [("1", "@user so test", "joy"), ("2", "fine | 😀", "optimism")]


def test_numbers_mean_what_the_mapping_says(tmp_path: Path) -> None:
    small_corpora.tweets(tmp_path, "2\tanger\n1\tsadness\n0\toptimism\n3\tjoy\n")
    splits = tweeteval.prepare(tmp_path, TWEETS).splits
    assert [label for _, _, label in rows(splits["train"], TWEETS)] == ["sadness", "anger"]


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("mapping.txt", "0\tanger\n", r"mapping\.txt: names anger; anger, joy, optimism, sadness expected"),
        ("val_labels.txt", "1\n", r"val_text\.txt: 2 texts for 1 labels in val_labels\.txt"),
        ("val_labels.txt", "1\n4\n", r"val_labels\.txt, line 2: label '4'; one of 0, 1, 2, 3 expected"),
        ("val_text.txt", "a\n \n", r"val_text\.txt, line 2: no text"),
    ],
)
def test_malformed_tweets_are_refused(tmp_path: Path, file: str, text: str, expected: str) -> None:
    small_corpora.put(small_corpora.tweets(tmp_path) / file, text)
    with pytest.raises(UserError, match=expected):
        tweeteval.prepare(tmp_path, TWEETS)


def test_labels_without_texts_are_missing_files(tmp_path: Path) -> None:
    (small_corpora.tweets(tmp_path) / "train_text.txt").unlink()
    with pytest.raises(MissingFilesError, match=r"train_text\.txt is missing in .*, where train_labels\.txt has only"):
        tweeteval.prepare(tmp_path, TWEETS)


def test_articles_of_the_five_categories_are_pooled_once_each(tmp_path: Path) -> None:
    prepared = mind.prepare(small_corpora.mind(tmp_path), MIND, classes="all")
    found = [row for split in prepared.splits.values() for row in rows(split, MIND)]
    assert Counter(label for _, _, label in found) == dict.fromkeys(MIND.labels, 20) | {"finance": 21}
    assert ("N0", "Title 0 of day", "food_drink") in found
    assert len({name for name, _, _ in found}) == len({text for _, text, _ in found}) == 101


def test_balanced_classes_are_as_large_as_the_smallest(tmp_path: Path) -> None:
    small_corpora.mind(tmp_path)
    small_corpora.put(tmp_path / "news.tsv", "".join(article(n, "travel", f"Trip {n}") for n in range(1000, 1040)))
    splits = mind.prepare(tmp_path, MIND).splits
    assert {split: len(examples) for split, examples in splits.items()} == {"train": 62, "dev": 25, "test": 13}
    by_label = Counter(label for split in splits.values() for _, _, label in rows(split, MIND))
    assert by_label == dict.fromkeys(MIND.labels, 20)
    for split, size in (("train", 62), ("dev", 25), ("test", 13)):
        shares = Counter(label for _, _, label in rows(splits[split], MIND)).values()
        assert max(shares) - min(shares) <= 1, (split, size)


def test_two_editions_that_number_their_articles_each_by_itself_are_pooled_by_title(tmp_path: Path) -> None:
    """Each has titles of its own, and half of them are the other's, too; the ids are all the same."""
    categories = [name for name in small_corpora.MIND_CATEGORIES if name != "sports"]
    titles = [(categories[number % 5], f"Title {number} of day") for number in range(200)]
    for name, some in (("MINDlarge_train", titles[149::-1]), ("MINDsmall_train", titles[50:])):
        lines = [article(number, category, title) for number, (category, title) in enumerate(some)]
        small_corpora.put(tmp_path / name / "news.tsv", "".join(lines))
    small_corpora.put(tmp_path / "more" / "news.tsv", "".join(article(n, "travel", f"Trip {n}") for n in range(30)))
    splits = mind.prepare(tmp_path, MIND).splits
    assert sum(map(len, splits.values())) == 200
    found = {split: rows(examples, MIND) for split, examples in splits.items()}
    every = [row for some in found.values() for row in some]
    assert len({text for _, text, _ in every}) == len(every) == len({name for name, _, _ in every})
    for some in found.values():
        shares = Counter(label for _, _, label in some).values()
        assert len(shares) == 5
        assert max(shares) - min(shares) <= 1
    whole = [row for some in mind.prepare(tmp_path, MIND, classes="all").splits.values() for row in rows(some, MIND)]
    assert Counter(label for _, _, label in whole) == dict.fromkeys(MIND.labels, 40) | {"travel": 70}
    assert {"N0", "N0-2"} <= {name for name, _, _ in whole}


def test_articles_without_title_or_category_are_left_out(tmp_path: Path) -> None:
    small_corpora.mind(tmp_path)
    small_corpora.put(tmp_path / "news.tsv", article(990, "travel", " ") + article(991, "", "No category"))
    prepared = mind.prepare(tmp_path, MIND, classes="all")
    assert "101 of 101 articles" in prepared.notes["train"]


def test_without_articles_or_with_other_columns_mind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFilesError, match=r"holds no news\.tsv"):
        mind.prepare(tmp_path, MIND)
    small_corpora.put(tmp_path / "news.tsv", "N1\ttravel\tTitle\n")
    with pytest.raises(UserError, match=r"news\.tsv, line 1: 3 fields; 8 expected: id <TAB> category"):
        mind.prepare(tmp_path, MIND)


def test_splits_of_given_sizes_go_by_texts_not_ids() -> None:
    examples = [TextExample(str(number % 10), f"text {number}", number % 2) for number in range(40)]
    splits = draws.sized(examples, {"train": 10, "dev": 6, "test": 4})
    assert [len(found) for found in splits.values()] == [10, 6, 4]
    texts = [example.text for found in splits.values() for example in found]  # type: ignore[union-attr]
    assert len(set(texts)) == 20


def test_splits_of_given_sizes_leave_out_what_they_have_no_room_for() -> None:
    examples = [TextExample(str(number), f"text {number}", number % 2) for number in range(40)]
    sizes = {"train": 10, "dev": 6, "test": 4}
    splits = draws.sized(examples, sizes)
    assert {split: len(found) for split, found in splits.items()} == sizes
    assert all(2 * sum(example.label for example in found) == len(found) for found in splits.values())
    ids = [example.id for found in splits.values() for example in found]
    assert len(set(ids)) == 20
    again = draws.sized(examples[::-1], sizes)
    assert {split: {e.id for e in found} for split, found in again.items()} == {
        split: {e.id for e in found} for split, found in splits.items()
    }
    with pytest.raises(UserError, match="1 examples are too few for a train split"):
        draws.sized(examples[:1], sizes)
