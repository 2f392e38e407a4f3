"""What GPT-2 and T5 are asked for, by hand on small vocabularies."""

from __future__ import annotations

import types
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainables.errors import UserError
from trainables.training.losses import IGNORED
from trainables.training.pretraining_tasks import Exercise, FillInTheBlank, NextWord
from trainables.training.students import AddedPieces
from trainables.training.tokenizers import Tokenizer

#: Numbers of pieces: 0 pads and begins a decoder, 1 ends a text, 2 is unknown, 3 to 9 are general, then sentinels.
PAD, END, UNKNOWN = 0, 1, 2
SENTINELS = (10, 11, 12, 13)
KNOWN = 14
#: Two new words; the teacher's tokenizer makes two and three pieces of them.
ADDED = AddedPieces(KNOWN, ((3, 4), (5, 6, 7)))
PLAIN = AddedPieces(KNOWN, ())


def tokenizer(sentinels: tuple[int, ...] = SENTINELS, unknown: int | None = UNKNOWN) -> Tokenizer:
    names = {f"<extra_id_{place}>": number for place, number in enumerate(sentinels)}
    wrapped = types.SimpleNamespace(
        all_special_ids=[PAD, END, UNKNOWN, *sentinels],
        pad_token_id=PAD,
        eos_token_id=END,
        unk_token_id=unknown,
        get_vocab=lambda: names,
    )
    return Tokenizer("", wrapped, (), (END,), 2)


def exercise(task: Any, *rows: list[int]) -> Exercise:
    width = max(map(len, rows))
    pieces = torch.tensor([[*row, *[PAD] * (width - len(row))] for row in rows])
    there = torch.tensor([[place < len(row) for place in range(width)] for row in rows])
    made: Exercise = task.exercise(pieces, there, torch.Generator().manual_seed(0))
    return made


def cut(row: Tensor) -> list[int]:
    return [number for number in row.tolist() if number != IGNORED]


def test_the_next_word_without_new_ones_is_ordinary_language_modelling() -> None:
    made = exercise(NextWord(tokenizer(), PLAIN), [3, 4, 5, 1, 6], [7, 8])
    assert made.text["input_ids"].tolist() == [[3, 4, 5, 1, 6], [7, 8, 0, 0, 0]]
    assert made.text["attention_mask"].tolist() == [[1] * 5, [1, 1, 0, 0, 0]]
    assert made.targets.tolist() == [[4, 5, 1, 6, IGNORED], [8, *[IGNORED] * 4]]
    assert made.taught.tolist() == [[True] * 4 + [False], [True, *[False] * 4]]
    assert made.answer is made.teachers_answer is None


def test_new_words_and_as_many_general_ones_are_hidden_from_gpt2() -> None:
    made = exercise(NextWord(tokenizer(), ADDED), [3, 14, 4, 5, 15, 6, 7, 8], [3, 4, 5])
    seen = made.text["input_ids"][0].tolist()
    assert seen[1] == seen[4] == UNKNOWN
    assert seen.count(UNKNOWN) == 4, "two new ones, two general ones"
    assert made.text["input_ids"][1, :3].tolist() == [3, 4, 5], "where nothing is new, nothing is hidden"
    assert made.targets[0].tolist() == [14, 4, 5, 15, 6, 7, 8, IGNORED], "the true pieces"
    # Neither where a new word stands nor where one is to be said.
    assert made.taught[0].tolist() == [False, False, True, False, False, True, True, False]
    assert torch.equal(made.taught, made.teaching)


def test_of_two_general_pieces_no_more_can_be_hidden() -> None:
    made = exercise(NextWord(tokenizer(), ADDED), [3, 14, 15, 14, 1, 4])
    assert made.text["input_ids"].tolist() == [[2, 2, 2, 2, 1, 2]], "and what ends a text is never"


def test_blanks_of_t5_and_both_answers() -> None:
    """The paper's example: a new word of two old pieces, and a general piece; both are blanks."""
    made = exercise(FillInTheBlank(tokenizer(), ADDED, PAD), [14, 8, 9, 1])
    text = made.text["input_ids"][0].tolist()
    own, told = cut(made.targets[0]), made.teachers_answer
    assert told is not None
    assert made.answer is not None
    hidden = 8 if 8 not in text else 9
    if hidden == 8:  # a neighbour of the new word: one blank
        assert text == [10, 9, 1]
        assert own == [10, 14, 8, 11, 1]
        assert told[0].tolist() == [0, 10, 3, 4, 8, 11]
        assert made.taught[0].tolist() == [False, False, True, False, True]
        assert made.teaching[0].tolist() == [False, False, False, True, False, True]
    else:
        assert text == [10, 8, 11, 1]
        assert own == [10, 14, 11, 9, 12, 1]
        assert told[0].tolist() == [0, 10, 3, 4, 11, 9, 12]
        assert made.taught[0].tolist() == [False, False, False, True, False, True]
        assert made.teaching[0].tolist() == [False, False, False, False, True, False, True]
    assert made.answer[0].tolist() == [0, *own[:-1]]


def test_without_new_words_a_share_of_the_general_ones_are_blanks_and_both_answers_are_one() -> None:
    row = [3, 4, 5, 6, 7, 8, 9] * 6 + [1]
    made = exercise(FillInTheBlank(tokenizer(tuple(range(10, 40))), AddedPieces(40, ()), PAD, 0.5), row)
    hidden = [number for number in cut(made.targets[0])[:-1] if number < 10]
    assert len(hidden) == 21
    assert made.teachers_answer is not None
    assert torch.equal(made.answer, made.teachers_answer)  # type: ignore[arg-type]
    assert torch.equal(made.taught, made.teaching)
    assert int(made.taught.sum()) == 22, "and the end"
    least = exercise(FillInTheBlank(tokenizer(), PLAIN, PAD, 0.01), [3, 4, 1])
    assert len(cut(least.targets[0])) == 4, "a sentinel, one piece, a sentinel, the end"


def test_a_row_is_read_as_far_as_sentinels_last() -> None:
    """Three blanks and the end have four; of all pieces hidden as one blank none is left over."""
    row = [14, 3, 15, 4, 14, 5, 15, 6, 14, 7, 1]
    made = exercise(FillInTheBlank(tokenizer(), ADDED, PAD), row)
    own = cut(made.targets[0])
    assert own[-2:] in ([12, 1], [13, 1], [11, 1])
    assert set(own) & set(SENTINELS[:-1])
    assert len({number for number in own if number in SENTINELS}) <= len(SENTINELS)
    assert int(made.taught.sum()) == int(made.teaching.sum())


_ROWS = st.lists(st.lists(st.sampled_from([3, 4, 5, 6, 7, 8, 9, 14, 15]), min_size=1, max_size=20), min_size=1)


@given(_ROWS, st.booleans())
@settings(max_examples=60)
def test_the_teacher_reads_no_new_word_and_says_the_same_general_pieces(rows: list[list[int]], expands: bool) -> None:
    if not expands:
        rows = [[min(number, 9) for number in row] for row in rows]
    added = ADDED if expands else PLAIN
    made = exercise(FillInTheBlank(tokenizer(tuple(range(10, 14))), added, PAD), *[[*row, END] for row in rows])
    assert made.answer is not None
    assert made.teachers_answer is not None
    assert int(made.text["input_ids"].max()) < KNOWN
    assert int(made.teachers_answer.max()) < KNOWN
    assert torch.equal(made.taught.sum(dim=1), made.teaching.sum(dim=1))
    own = made.targets[made.taught]
    # What the teacher says at a position is what it reads at the next one; the end it never reads.
    following = torch.cat([made.teachers_answer[:, 1:], torch.full_like(made.answer[:, :1], END)], dim=1)
    last = made.teaching.cumsum(dim=1) == made.teaching.sum(dim=1, keepdim=True)
    following = following.masked_fill(last & made.teaching, END)
    assert torch.equal(own, following[made.teaching])
    assert not torch.isin(own, torch.tensor([*SENTINELS, 14, 15])).any()


def test_tokenizers_that_cannot_hide_are_refused() -> None:
    with pytest.raises(UserError, match="has no unknown piece to hide new ones behind"):
        NextWord(tokenizer(unknown=None), ADDED)
    with pytest.raises(UserError, match=r"has 1 sentinels .* two sentinels and such a piece"):
        FillInTheBlank(tokenizer((10,)), PLAIN, PAD)
