"""Word pieces packed end to end, and the plan of which rows make up which batch.

A split lies as flat tensors on the device where it fits; a batch is cut out of them there, so no data-loader
process is needed. Plans are made on the CPU from lengths and seeds alone, so every device trains on the same batches.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.training import seeds

#: Widths are rounded up to a multiple of 8, narrow ones of 4: tensor cores like it, and rows whose lengths round
#: alike may be mixed freely. A coarser step would waste a fifth of short rows, a finer one save little on long ones.
_NARROW, _FINE, _COARSE = 64, 4, 8
#: Sorting by length spans at most this many batches, so that order stays close to random.
_SORTED_TOGETHER = 50


@dataclasses.dataclass(frozen=True)
class Packed:
    """Rows of word pieces, packed end to end.

    Attributes:
        pieces: Piece numbers of all rows ``[total]``, int32.
        types: Token types ``[total]``, int8, or None where the model has none.
        starts: Where each row begins ``[rows]``, int64, on the device of ``pieces``.
        lengths: Pieces per row ``[rows]``, int64, on that device.
        planned: The same lengths on the CPU, for planning.
        limit: Longest row that the model takes.
        pad: The piece that fills rows up.
    """

    pieces: Tensor
    types: Tensor | None
    starts: Tensor
    lengths: Tensor
    planned: Tensor
    limit: int
    pad: int

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None, limit: int, pad: int) -> Packed:
        """Packs rows of piece numbers (special pieces included) and their token types."""
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        pieces = torch.tensor([piece for row in rows for piece in row], dtype=torch.int32)
        kinds = None if types is None else torch.tensor([kind for row in types for kind in row], dtype=torch.int8)
        return cls(pieces, kinds, lengths.cumsum(0) - lengths, lengths, lengths, limit, pad)

    def to(self, device: str) -> Packed:
        """The same rows on another device; ``planned`` stays where it is."""
        return dataclasses.replace(
            self,
            pieces=self.pieces.to(device),
            types=None if self.types is None else self.types.to(device),
            starts=self.starts.to(device),
            lengths=self.lengths.to(device),
        )

    @property
    def size(self) -> int:
        """Bytes of the tensors."""
        return size(self.pieces, self.types, self.starts, self.lengths)

    def positions(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Where a batch's pieces lie.

        Returns:
            Indices into the flat tensors ``[rows, width]``, and whether there is a piece ``[rows, width]``.
        """
        rows = batch.rows.to(self.starts.device)
        offsets = torch.arange(batch.width, device=self.starts.device)
        there = offsets < self.lengths[rows, None]
        return (self.starts[rows, None] + offsets).clamp(max=self.pieces.shape[0] - 1), there

    def inputs(self, batch: Batch, device: str) -> dict[str, Tensor]:
        """A batch as the model takes it: ``input_ids``, ``attention_mask``, ``token_type_ids`` ``[rows, width]``."""
        positions, there = self.positions(batch)
        found = {
            "input_ids": self.pieces[positions].masked_fill(~there, self.pad).long(),
            "attention_mask": there.long(),
        }
        if self.types is not None:
            found["token_type_ids"] = self.types[positions].masked_fill(~there, 0).long()
        return {name: tensor.to(device) for name, tensor in found.items()}


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows that go through the model together.

    Attributes:
        rows: Their numbers, on the CPU.
        width: Pieces that each is padded to.
        tokens: Pieces without padding.
        lengths: Pieces of each row ``[rows]``, on the CPU.
    """

    rows: Tensor
    width: int
    tokens: int
    lengths: Tensor

    @property
    def padded(self) -> int:
        """Pieces with padding."""
        return self.width * len(self.rows)

    def split(self, size: int) -> list[Batch]:
        """Micro-batches of so many consecutive rows, the last one perhaps of fewer; each as wide as its rows need."""
        parts = zip(torch.split(self.rows, size), torch.split(self.lengths, size), strict=True)
        return [_of(rows, lengths, self.width) for rows, lengths in parts]


def for_training(lengths: Tensor, batch_size: int, limit: int, seed: int, epoch: int) -> list[Batch]:
    """Every row once, in random batches of rows of like length, in random order.

    Rows are shuffled, then sorted by length within stretches of up to 50 batches (a quarter of the split where it is
    short), so that padding is small and yet no batch is made of the same rows in every epoch.

    Args:
        lengths: Pieces per row, on the CPU.
        batch_size: Rows per batch; the last one may be smaller.
        limit: Largest width.
        seed: The stage's.
        epoch: Counted from 0.
    """
    chance = seeds.generator(seed, "order", epoch)
    order = torch.randperm(len(lengths), generator=chance)
    stretch = batch_size * max(1, min(_SORTED_TOGETHER, len(lengths) // (batch_size * 4)))
    batches: list[Batch] = []
    for part in torch.split(order, stretch):
        ordered = part[_rounded(lengths[part]).argsort(descending=True, stable=True)]
        batches.extend(_batch(rows, lengths, limit) for rows in torch.split(ordered, batch_size))
    return [batches[index] for index in torch.randperm(len(batches), generator=chance).tolist()]


def for_steps(lengths: Tensor, batch_size: int, limit: int, seed: int, part: int, steps: int) -> list[Batch]:
    """A part of a training of so many steps, however many passes over the rows these are.

    Args:
        lengths: Pieces per row, on the CPU.
        batch_size: Rows per batch; the last one of a pass may be smaller.
        limit: Largest width.
        seed: The stage's.
        part: Counted from 0.
        steps: Batches per part.
    """
    found: list[Batch] = []
    in_pass = -(-len(lengths) // batch_size)
    first, last = part * steps, (part + 1) * steps
    for number in range(first // in_pass, -(-last // in_pass)):
        planned = for_training(lengths, batch_size, limit, seed, number)
        found += planned[max(0, first - number * in_pass) : last - number * in_pass]
    return found


def parts_of(steps: int, most: int = 4) -> int:
    """How many parts of equal size a training of so many steps is cut into, to evaluate after each."""
    return next(parts for parts in range(most, 0, -1) if steps % parts == 0)


def for_evaluation(lengths: Tensor, limit: int, tokens: int = 8192) -> list[Batch]:
    """Every row once, longest first, in batches of up to so many tokens with padding."""
    order = lengths.argsort(descending=True, stable=True)
    batches: list[Batch] = []
    start = 0
    while start < len(order):
        width = min(limit, int(_rounded(lengths[order[start]])))
        rows = order[start : start + max(1, tokens // width)]
        batches.append(_batch(rows, lengths, limit))
        start += len(rows)
    return batches


def padding_share(batches: Sequence[Batch]) -> float:
    """The share of computed positions that hold no piece."""
    padded = sum(batch.padded for batch in batches)
    return 1 - sum(batch.tokens for batch in batches) / padded if padded else 0.0


def size(*tensors: Tensor | None) -> int:
    """Bytes of tensors."""
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def _rounded(lengths: Tensor) -> Tensor:
    step = torch.where(lengths > _NARROW, _COARSE, _FINE)
    return (lengths + step - 1) // step * step


def _batch(rows: Tensor, lengths: Tensor, limit: int) -> Batch:
    return _of(rows, lengths[rows], limit)


def _of(rows: Tensor, lengths: Tensor, limit: int) -> Batch:
    return Batch(rows, min(limit, int(_rounded(lengths.max()))), int(lengths.sum()), lengths)
