from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainables import tiny
from trainables.data import tasks
from trainables.data.examples import TextExample, TokenExample
from trainables.training import encoding, tokenizers
from trainables.training.batches import for_evaluation
from trainables.training.losses import IGNORED

NER = tasks.get("ncbi_disease")
QUESTION, NBME = tasks.get("pubmedqa"), tasks.get("nbme")


def _rows(split: encoding.Split) -> list[list[int]]:
    packed = split.packed
    return [
        packed.pieces[start : start + length].tolist()
        for start, length in zip(packed.starts.tolist(), packed.lengths.tolist(), strict=True)
    ]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 300), st.integers(1, 60))
def test_windows_cover_everything_and_overlap(length: int, capacity: int) -> None:
    spans = encoding.windows(length, capacity)
    assert {place for start, end in spans for place in range(start, end)} == set(range(length))
    if length > capacity:
        assert all(end - start == capacity for start, end in spans)
        assert spans[-1][1] == length
        assert all(
            after[0] <= before[1] - int(capacity * encoding.OVERLAP) for before, after in itertools.pairwise(spans)
        )


def test_a_word_belongs_to_the_window_that_shows_most_around_it() -> None:
    spans = [(0, 8), (6, 14)]
    assert [encoding.owner(place, spans) for place in (0, 5, 6, 7, 8, 13)] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("model", ["bert", "roberta"])
@pytest.mark.parametrize("max_length", [12, 20, 64])
def test_every_word_is_trained_on_and_predicted_once(
    model: str, max_length: int, request: pytest.FixtureRequest
) -> None:
    tokenizer = tokenizers.load(request.getfixturevalue(model), on_words=True)
    lengths = (1, 9, 10, 40, 133)
    examples = [
        TokenExample(str(n), tuple(f"w{n}-{i}" for i in range(n)), tuple(i % 3 for i in range(n))) for n in lengths
    ]
    split = encoding.encode(examples, NER, tokenizer, max_length)
    assert split.words is not None
    shown = split.words[split.words >= 0].tolist()
    assert sorted(shown) == list(range(sum(lengths)))
    gold = [tag for example in examples for tag in example.tags]
    for word, target in zip(split.words.tolist(), split.targets.tolist(), strict=True):
        assert target == (gold[word] if word >= 0 else IGNORED)
    assert max(map(len, _rows(split))) <= max_length
    for row in _rows(split):
        assert row[0] == tokenizer.wrapped.cls_token_id
        assert row[-1] == tokenizer.wrapped.sep_token_id


def test_the_label_stands_on_the_first_piece(bert: Path) -> None:
    tokenizer = tokenizers.load(bert)
    example = TokenExample("0", ("Qq", "a"), (1, 2))
    split = encoding.encode([example], NER, tokenizer, 16)
    assert tokenizer.wrapped.convert_ids_to_tokens(_rows(split)[0]) == ["[CLS]", "q", "##q", "a", "[SEP]"]
    assert split.targets.tolist() == [IGNORED, 1, IGNORED, 2, IGNORED]


def test_a_word_without_pieces_leaves_no_target_and_shifts_nothing(bert: Path) -> None:
    tokenizer = tokenizers.load(bert)
    example = TokenExample("0", ("a", "\u200b", "\x00", "b"), (1, 2, 2, 1))
    split = encoding.encode([example], NER, tokenizer, 16)
    assert split.words is not None
    assert split.words[split.words >= 0].tolist() == [0, 3]
    assert split.units == 4


def test_byte_level_words_are_read_as_in_running_text(roberta: Path) -> None:
    tokenizer = tokenizers.load(roberta, on_words=True)
    split = encoding.encode([TokenExample("0", ("the", "the"), (0, 0))], NER, tokenizer, 16)
    row = _rows(split)[0][1:-1]
    assert row[: len(row) // 2] == row[len(row) // 2 :]


@pytest.mark.parametrize("model", ["bert", "roberta"])
def test_pairs_are_those_of_the_tokenizer(model: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    tokenizer = tokenizers.load(folder)
    question, context = "does this act ?", " ".join(["it does so indeed ."] * 20)
    split = encoding.encode([TextExample("0", question, 0, context)], QUESTION, tokenizer, 32)
    plain = transformers.AutoTokenizer.from_pretrained(str(folder))
    expected = plain(question, context, truncation="only_second", max_length=32)
    assert _rows(split) == [expected["input_ids"]]
    assert (split.packed.types is not None) == ("token_type_ids" in expected)
    if split.packed.types is not None:
        assert split.packed.types.tolist() == expected["token_type_ids"]


def test_a_question_that_leaves_no_room_is_shortened_too(bert: Path) -> None:
    tokenizer = tokenizers.load(bert)
    long = " ".join(["a"] * 50)
    examples = [TextExample("0", long, 0, long), TextExample("1", "a b", 1, long), TextExample("2", long, 2, "b")]
    split = encoding.encode(examples, QUESTION, tokenizer, 24)
    rows = _rows(split)
    separator = tokenizer.wrapped.sep_token_id
    assert [len(row) for row in rows] == [24, 24, 24]
    assert all(row[-1] == separator and row.count(separator) == 2 for row in rows)
    assert rows[1].index(separator) == 3
    assert split.gold == [(0,), (1,), (2,)]


def test_several_labels_are_targets_of_their_own(bert: Path) -> None:
    task = tasks.get("hoc")
    labels = (1, 0, 0, 0, 1, 0, 0, 0, 0, 0)
    split = encoding.encode([TextExample("0", "a b", labels)], task, tokenizers.load(bert), 16)
    assert split.targets.tolist() == [list(labels)]
    assert split.gold == [labels]


def test_targets_of_a_batch_are_padded_with_nothing_to_learn(bert: Path) -> None:
    examples = [TokenExample("0", ("a", "b", "c", "d"), (1, 2, 0, 1)), TokenExample("1", ("a",), (1,))]
    split = encoding.encode(examples, NER, tokenizers.load(bert), 16)
    (batch,) = for_evaluation(split.packed.planned, 16)
    targets = split.targets_of(batch)
    assert targets.tolist() == [
        [IGNORED, 1, 2, 0, 1, IGNORED, IGNORED, IGNORED],
        [IGNORED, 1, *[IGNORED] * 6],
    ]


def test_a_limit_chooses_alike_and_larger_choices_contain_smaller_ones() -> None:
    examples = [TextExample(str(index), "a", 0) for index in range(100)]
    some = [example.id for example in encoding.chosen(examples, 10)]
    more = [example.id for example in encoding.chosen(examples, 40)]
    assert len(some) == 10
    assert set(some) < set(more)
    assert some == sorted(some, key=int)
    assert encoding.chosen(examples, None) is examples


def test_encoding_is_done_once_per_content(bert: Path, tmp_path: Path) -> None:
    def split(folder: Path, max_length: int) -> encoding.Split:
        return encoding.prepared("mini", NER, "dev", tokenizers.load(folder), max_length, "cpu")

    copied = tmp_path / "copied"
    tokenizers.copy(bert, copied)
    (copied / "config.json").write_bytes((bert / "config.json").read_bytes())
    assert split(bert, 64) is split(copied, 64)
    assert split(bert, 64) is not split(bert, 32)


def test_moving_a_split_keeps_it(bert: Path) -> None:
    split = encoding.prepared("mini", NER, "dev", tokenizers.load(bert), 64, "cpu")
    moved = split.to("cpu")
    assert torch.equal(moved.packed.pieces, split.packed.pieces)
    assert dataclasses.replace(moved, ids=[]).units == split.units


@pytest.mark.parametrize("make", [tiny.bert, tiny.roberta, tiny.albert, tiny.distilbert])
def test_a_question_stands_before_the_words_as_in_a_pair(make: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = make(tmp_path)
    tokenizer = tokenizers.load(folder, on_words=True)
    words = ("does", "it", "so", ".")
    example = TokenExample("0", words, (0, 1, 0, 0), question="which act")
    split = encoding.encode([example], NBME, tokenizer, 64)
    expected = tokenizer.wrapped(["which", "act"], list(words), is_split_into_words=True)
    assert _rows(split) == [expected["input_ids"]]
    assert (split.packed.types is not None) == ("token_type_ids" in expected)
    if split.packed.types is not None:
        assert split.packed.types.tolist() == expected["token_type_ids"]
    assert encoding.encode([example], NBME, tokenizer, 64, types=False).packed.types is None


@pytest.mark.parametrize("model", ["bert", "roberta"])
@pytest.mark.parametrize("max_length", [16, 40])
def test_every_window_repeats_the_question(model: str, max_length: int, request: pytest.FixtureRequest) -> None:
    tokenizer = tokenizers.load(request.getfixturevalue(model), on_words=True)
    questions = ("a b", "c", " ".join(["a"] * 50))
    examples = [
        TokenExample(str(n), tuple(f"w{i}" for i in range(60 + n)), tuple(i % 2 for i in range(60 + n)), question)
        for n, question in enumerate(questions)
    ]
    split = encoding.encode(examples, NBME, tokenizer, max_length)
    assert split.words is not None
    assert sorted(split.words[split.words >= 0].tolist()) == list(range(60 + 61 + 62))
    gold = [tag for example in examples for tag in example.tags]
    for word, target in zip(split.words.tolist(), split.targets.tolist(), strict=True):
        assert target == (gold[word] if word >= 0 else IGNORED)
    rows = _rows(split)
    assert max(map(len, rows)) <= max_length
    heads = {tuple(row[: row.index(tokenizer.wrapped.sep_token_id)]) for row in rows}
    assert len(heads) == len(questions)
    for head in heads:
        assert len(head) <= 1 + (max_length - tokenizer.pair_overhead) // 2
