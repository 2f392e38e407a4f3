"""The pretraining tasks of generative models, with new pieces hidden from both models (Gao et al. 2024, appendix E).

Teacher and student read the same text. Where a piece is new, the teacher cannot read it, so another one stands there
for both, and for as many general pieces, too. The student must say all pieces that the task asks for; its teacher is
heard at general ones alone.

* Next word (GPT-2): the unknown piece stands for the hidden ones, and each position says the piece after it. GPT-2's
  unknown piece is the one that ends texts. Without new pieces nothing is hidden.
* Fill in the blank (T5): neighbouring hidden pieces are one blank, for which a sentinel stands. The answer has every
  blank's sentinel and pieces, one more sentinel and the end, as in T5's baseline (Raffel et al. 2020, section 3.1.4).
  A new piece is several ones to the teacher, so its answer is longer; the pieces of both that are general come in the
  same order. Without new pieces a share of the general ones is hidden.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import torch
from torch import Tensor

from trainables.errors import UserError
from trainables.training.losses import IGNORED
from trainables.training.students import AddedPieces
from trainables.training.tokenizers import Tokenizer

#: Share of the general pieces that are blanks where none is new (Raffel et al. 2020).
BLANK_RATE = 0.15


@dataclasses.dataclass(frozen=True)
class Exercise:
    """What a batch asks of both models.

    Attributes:
        text: ``input_ids`` and ``attention_mask`` ``[rows, width]`` that both read.
        answer: The student's decoder input ``[rows, answer]``, of models that have a decoder apart.
        teachers_answer: The teacher's ``[rows, teacher's answer]``, alike.
        targets: The piece that each of the student's positions must say ``[rows, answer]`` (``[rows, width]`` without a
            decoder apart), :data:`~trainables.training.losses.IGNORED` where none is asked for.
        taught: At which of the student's positions its teacher is heard, boolean, of the same shape.
        teaching: At which of the teacher's it speaks; as many in each row, in the same order.
    """

    text: dict[str, Tensor]
    answer: Tensor | None
    teachers_answer: Tensor | None
    targets: Tensor
    taught: Tensor
    teaching: Tensor


class Task(Protocol):
    """Makes exercises."""

    def exercise(self, pieces: Tensor, there: Tensor, chance: torch.Generator) -> Exercise:
        """Hides pieces of a batch.

        Args:
            pieces: ``[rows, width]``, on any device.
            there: Whether a position holds a piece, boolean.
            chance: On the CPU, so that every device hides alike.
        """
        ...


@dataclasses.dataclass(frozen=True)
class _Hiding:
    """Which pieces are hidden.

    Attributes:
        special: Pieces that are never hidden.
        known: Number of the first new piece; None where none is new.
    """

    special: Tensor
    known: int | None

    @classmethod
    def of(cls, tokenizer: Tokenizer, added: AddedPieces) -> _Hiding:
        special = torch.tensor(sorted(set(tokenizer.wrapped.all_special_ids)))
        return cls(special, added.known if added.parts else None)

    def new(self, pieces: Tensor) -> Tensor:
        """Which pieces the teacher does not know."""
        return torch.zeros_like(pieces, dtype=torch.bool) if self.known is None else pieces >= self.known

    def hidden(self, pieces: Tensor, there: Tensor, chance: torch.Generator, least: int, rate: float) -> Tensor:
        """Every new piece, and in each row as many general ones at random, as far as it has them.

        Args:
            pieces: ``[rows, width]``.
            there: Whether a position holds a piece.
            chance: On the CPU.
            least: General ones in a row at least.
            rate: Share of the general ones where the vocabulary has no new ones.
        """
        draws = torch.rand(pieces.shape, generator=chance).to(pieces.device)
        new = there & self.new(pieces)
        may = there & ~new & ~torch.isin(pieces, self.special.to(pieces.device))
        wanted = may.sum(dim=1) * rate if self.known is None else new.sum(dim=1)
        rank = draws.masked_fill(~may, 2.0).argsort(dim=1).argsort(dim=1)
        return new | may & (rank < wanted.round().clamp(min=least)[:, None])


class NextWord:
    """Saying the piece after each position.

    Args:
        tokenizer: Of the corpus.
        added: What it has beyond the teacher's.

    Raises:
        UserError: For a tokenizer without an unknown piece, where there are new ones to be hidden behind it.
    """

    def __init__(self, tokenizer: Tokenizer, added: AddedPieces) -> None:
        self._hiding = _Hiding.of(tokenizer, added)
        unknown = tokenizer.wrapped.unk_token_id
        if added.parts and unknown is None:
            raise UserError("the corpus's tokenizer has no unknown piece to hide new ones behind; give one that has")
        self._unknown = unknown

    def exercise(self, pieces: Tensor, there: Tensor, chance: torch.Generator) -> Exercise:
        """See :class:`Task`. The teacher is heard where both the piece and the one to say are general."""
        seen = pieces
        if self._hiding.known is not None:
            hidden = self._hiding.hidden(pieces, there, chance, least=0, rate=0.0)
            seen = pieces.masked_fill(hidden, self._unknown)
        last = torch.full_like(pieces[:, :1], IGNORED)
        following = torch.cat([pieces.masked_fill(~there, IGNORED)[:, 1:], last], dim=1)
        new = self._hiding.new(pieces)
        taught = (following != IGNORED) & ~new & ~self._hiding.new(following)
        text = {"input_ids": seen, "attention_mask": there.long()}
        return Exercise(text, None, None, following, taught, taught)


class FillInTheBlank:
    """Saying what stood in the blanks of a text.

    A row with more blanks than sentinels is read up to the first blank that there is none for.

    Args:
        tokenizer: Of the corpus.
        added: What it has beyond the teacher's.
        start: The piece that a decoder begins with.
        rate: Share of the general pieces that are blanks where none is new.

    Raises:
        UserError: For a tokenizer without two sentinels, or without a piece that ends a text.
    """

    def __init__(self, tokenizer: Tokenizer, added: AddedPieces, start: int, rate: float = BLANK_RATE) -> None:
        self._hiding = _Hiding.of(tokenizer, added)
        self._start = start
        self._rate = rate
        self._pad = tokenizer.pad
        numbers = tokenizer.wrapped.get_vocab()
        sentinels: list[int] = []
        while (number := numbers.get(f"<extra_id_{len(sentinels)}>")) is not None:
            sentinels.append(number)
        end = tokenizer.wrapped.eos_token_id
        if len(sentinels) < 2 or end is None:
            raise UserError(
                f"the corpus's tokenizer has {len(sentinels)} sentinels (<extra_id_0>, <extra_id_1>, ...) and "
                f"{'no' if end is None else 'a'} piece that ends a text; filling in blanks needs two sentinels and "
                "such a piece. Give a tokenizer of T5"
            )
        self._sentinels = torch.tensor(sentinels)
        self._end = int(end)
        longest = max(map(len, added.parts), default=1)
        self._parts = torch.tensor([[*part, *[self._pad] * (longest - len(part))] for part in added.parts])
        self._lengths = torch.tensor([len(part) for part in added.parts])

    def exercise(self, pieces: Tensor, there: Tensor, chance: torch.Generator) -> Exercise:
        """See :class:`Task`. The teacher is heard where the piece to say is general or the end of the answer."""
        hidden = self._hiding.hidden(pieces, there, chance, least=1, rate=self._rate)
        first = hidden & ~torch.nn.functional.pad(hidden, (1, 0))[:, :-1]
        number = first.cumsum(dim=1) - 1  # of the blank that a piece is in, or that is before it
        last = len(self._sentinels) - 1  # of the sentinels: it ends the answer
        begun = number < last
        there, hidden, first = there & begun, hidden & begun, first & begun
        sentinels = self._sentinels.to(pieces.device)[number.clamp(min=0, max=last)]
        shown = there & (~hidden | first)
        text = _packed(torch.where(first, sentinels, pieces), shown, self._pad)
        new = self._hiding.new(pieces)
        ones = torch.ones_like(pieces)
        own, general = self._answer(pieces[..., None], ones, new, hidden, first, sentinels)
        told, generals = own, general
        if self._hiding.known is not None:
            spelt, lengths = pieces[..., None].repeat(1, 1, self._parts.shape[1]), ones.clone()
            which = pieces[new] - self._hiding.known
            spelt[new] = self._parts.to(pieces.device)[which]
            lengths[new] = self._lengths.to(pieces.device)[which]
            told, generals = self._answer(spelt, lengths, new, hidden, first, sentinels)
        return Exercise(
            {"input_ids": text, "attention_mask": _packed(torch.ones_like(pieces), shown, 0)},
            self._shifted(own),
            self._shifted(told),
            own,
            general,
            generals,
        )

    def _answer(
        self, spelt: Tensor, lengths: Tensor, new: Tensor, hidden: Tensor, first: Tensor, sentinels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """An answer, and where it is general.

        Args:
            spelt: What stands for each piece ``[rows, width, most]``.
            lengths: How much of that does ``[rows, width]``.
            new: Whether a piece is new.
            hidden: Whether it is in a blank.
            first: Whether a blank begins with it.
            sentinels: Of the blank that it is in.
        """
        most = spelt.shape[2]
        parts = torch.arange(most, device=spelt.device) < lengths[..., None]
        line = torch.cat([sentinels[..., None], spelt], dim=2)
        said = torch.cat([first[..., None], parts & hidden[..., None]], dim=2)
        general = said & ~new[..., None]
        general[..., 0] = False
        closing = self._sentinels.to(spelt.device)[first.sum(dim=1)]
        ends = torch.stack([closing, torch.full_like(closing, self._end)], dim=1)
        yes = torch.ones_like(ends, dtype=torch.bool)
        line, said = torch.cat([line.flatten(1), ends], dim=1), torch.cat([said.flatten(1), yes], dim=1)
        of_ends = yes & torch.tensor([False, True], device=spelt.device)
        general = torch.cat([general.flatten(1), of_ends], dim=1)
        return _packed(line, said, IGNORED), _packed(general.long(), said, 0).bool()

    def _shifted(self, answer: Tensor) -> Tensor:
        """What a decoder reads that must say an answer."""
        begin = torch.full_like(answer[:, :1], self._start)
        return torch.cat([begin, answer[:, :-1].masked_fill(answer[:, :-1] == IGNORED, self._pad)], dim=1)


def _packed(values: Tensor, wanted: Tensor, fill: int) -> Tensor:
    """The wanted values of each row at its beginning ``[rows, most wanted]``."""
    width = max(1, int(wanted.sum(dim=1).max()))
    found = torch.full((len(values), width), fill, dtype=values.dtype, device=values.device)
    rows = torch.arange(len(values), device=values.device)[:, None].expand_as(values)
    found[rows[wanted], (wanted.cumsum(dim=1) - 1)[wanted]] = values[wanted]
    return found
