"""What learning from a tokenized corpus is made of, whatever is learned: its batches, and the sequences held out."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Generator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from trainables.context import Progress
from trainables.errors import UserError
from trainables.stages import TokenizedCorpus
from trainables.training import batches, devices, models, packed_corpus
from trainables.training.batches import Batch, Packed


class CorpusStage(Protocol):
    """The fields of a stage that learns from a corpus."""

    @property
    def corpus(self) -> TokenizedCorpus: ...  # noqa: D102
    @property
    def batch_size(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


class CorpusObjective(abc.ABC):
    """A corpus and what is trained on it; a subclass is an :class:`~trainables.training.loop.Objective`.

    Args:
        stage: Gives corpus name, batch size and seed.
        packed: The corpus.
        known: Pieces with numbers from this one on are new; None where none is.

    Attributes:
        packed: The corpus.
        settings: Named in errors.
    """

    model: nn.Module

    def __init__(self, stage: CorpusStage, packed: Packed, known: int | None) -> None:
        self.packed = packed
        self.settings: dict[str, Any] = {
            "corpus": stage.corpus.name,
            "batch_size": stage.batch_size,
            "max_length": packed.limit,
        }
        self._order = (stage.batch_size, stage.seed)
        self._known = known
        self._train_rows, self._held_out_rows = packed_corpus.hold_out(len(packed.planned))

    @property
    def sequences(self) -> dict[str, int]:
        """Number of sequences by use."""
        return {"train": len(self._train_rows), "dev": len(self._held_out_rows)}

    def batches(self, epoch: int) -> Sequence[Batch]:
        """Every sequence but those held out, once."""
        size, seed = self._order
        plan = batches.for_training(self.packed.planned[self._train_rows], size, self.packed.limit, seed, epoch)
        return [dataclasses.replace(batch, rows=self._train_rows[batch.rows]) for batch in plan]

    def evaluate(self, epoch: int) -> Generator[Progress, None, dict[str, float]]:
        """Every loss that counts, and accuracy, on the sequences held out; hidden alike always, whatever the seed.

        ``dev/loss`` and ``dev/accuracy`` are of all pieces that are to be said; where the vocabulary was expanded,
        those of ordinary and of new pieces come separately, too. ``resource`` counts epochs.
        """
        self.model.eval()
        plan = self._held_out()
        totals: dict[str, Tensor] = {}
        for step, batch in enumerate(plan, start=1):
            with devices.memory_errors(f"evaluating on {len(batch.rows)} x {batch.width} word pieces"):
                for name, sums in self.held_out_sums(batch).items():
                    totals[name] = totals.get(name, torch.zeros_like(sums)) + sums
            yield Progress(step, len(plan), "dev")
        found = {"resource": float(epoch + 1)}
        for name, sums in totals.items():
            value, count = sums.tolist()
            if count:
                found[f"dev/{name}"] = value / count
        return found

    @abc.abstractmethod
    def held_out_sums(self, batch: Batch) -> dict[str, Tensor]:
        """Sums over a batch by name, and what they are to be divided by, ``[2]`` each; without gradients."""

    def new_share(self) -> Generator[Progress, None, float]:
        """Share of the held-out positions that hold a new piece."""
        counts = torch.zeros(2, dtype=torch.int64)
        plan = self._held_out()
        for step, batch in enumerate(plan, start=1):
            inputs = self.packed.inputs(batch, "cpu")
            there = inputs["attention_mask"].bool()
            new = torch.zeros_like(there) if self._known is None else inputs["input_ids"] >= self._known
            counts += torch.stack([(new & there).sum(), there.sum()])
            yield Progress(step, len(plan), "count")
        new_pieces, every = counts.tolist()
        return float(new_pieces / every)

    def _held_out(self) -> list[Batch]:
        plan = batches.for_evaluation(self.packed.planned[self._held_out_rows], self.packed.limit)
        return [dataclasses.replace(batch, rows=self._held_out_rows[batch.rows]) for batch in plan]


def said(each: Tensor, right: Tensor, new: Tensor | None) -> dict[str, Tensor]:
    """Losses and accuracies of pieces that were to be said, as :meth:`CorpusObjective.held_out_sums` wants them.

    Args:
        each: Loss of each ``[pieces]``.
        right: Whether it was said.
        new: Whether it is a new one; None where the vocabulary was not expanded.
    """
    groups = {"": torch.ones_like(right, dtype=torch.bool)}
    if new is not None:
        groups |= {"_ordinary": ~new, "_new": new}
    found = {}
    for suffix, group in groups.items():
        count = group.sum()
        found[f"loss{suffix}"] = torch.stack([each[group].sum(), count])
        found[f"accuracy{suffix}"] = torch.stack([right[group].sum(), count])
    return found


def check_length(length: int, *wanted: Any) -> None:
    """Refuses sequences that are longer than a model takes."""
    for model in wanted:
        longest = models.longest_input(model)
        if longest is not None and length > longest:
            raise UserError(
                f"TokenizedCorpus.max_length={length} is more than the {longest} pieces that the models take; give at "
                f"most {longest}"
            )
