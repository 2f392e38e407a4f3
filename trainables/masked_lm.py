"""Masked-language modelling: pretraining from scratch, or further pretraining on domain or task text."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from trainables.context import MODEL, Context, Progress, Result, Run
from trainables.data import corpora
from trainables.errors import UserError
from trainables.stages import MaskedLanguageModel
from trainables.training import batches, devices, losses, models, seeds, tokenizers
from trainables.training.batches import Batch, Packed
from trainables.training.classification import given
from trainables.training.loop import Training
from trainables.training.masking import Masking
from trainables.training.optimizer import Recipe
from trainables.training.tokenizers import Tokenizer

#: Share of the sequences that is held out for ``dev/loss``; at least one.
HELD_OUT = 0.02
_TEXTS_AT_ONCE = 4_096


class MaskedModelling:
    """A masked-language model and its text; an :class:`~trainables.training.loop.Objective`.

    Args:
        stage: Gives corpus and settings.
        folder: Of the model to start from.
        device: Where to train.
    """

    def __init__(self, stage: MaskedLanguageModel, folder: Path, device: str) -> None:
        self.model: Any = models.masked_lm(folder, stage.seed)
        tokenizer = tokenizers.load(folder)
        models.check_tokenizer(self.model, tokenizer, folder)
        if tokenizer.wrapped.mask_token_id is None:
            raise UserError(f"the tokenizer in {str(folder)!r} has no mask token; give one of a masked-language model")
        self.max_length = min(stage.max_length, models.longest_input(self.model) or stage.max_length)
        self.settings = {"corpus": stage.corpus, "batch_size": stage.batch_size, "max_length": self.max_length}
        packed = pack(corpora.read(stage.corpus, stage.data), tokenizer, self.max_length)
        self._train_rows, self._held_out_rows = hold_out(len(packed.planned))
        self.packed = packed.to(device)
        self._masking = Masking.of(tokenizer, stage.mask_rate)
        self._stage = stage
        self._device = device
        self.model.to(device)

    @property
    def sequences(self) -> dict[str, int]:
        """Number of sequences by use."""
        return {"train": len(self._train_rows), "dev": len(self._held_out_rows)}

    def batches(self, epoch: int) -> Sequence[Batch]:
        """Every sequence but those held out, once; where steps are counted, a part of them."""
        lengths = self.packed.planned[self._train_rows]
        size, seed, steps = self._stage.batch_size, self._stage.seed, self._stage.steps
        if steps is None:
            plan = batches.for_training(lengths, size, self.max_length, seed, epoch)
        else:
            plan = batches.for_steps(lengths, size, self.max_length, seed, epoch, steps // batches.parts_of(steps))
        return [dataclasses.replace(batch, rows=self._train_rows[batch.rows]) for batch in plan]

    def loss(self, batch: Batch, epoch: int) -> Tensor:
        """Cross-entropy of the masked pieces; which they are depends on seed, epoch and the batch's first row."""
        chance = seeds.generator(self._stage.seed, "mask", epoch, int(batch.rows[0]))
        logits, targets = self._predict(batch, chance)
        return losses.cross_entropy(logits, targets)

    def evaluate(self, epoch: int) -> Generator[Progress, None, dict[str, float]]:
        """Loss and accuracy on the sequences held out, masked alike in every epoch and for every seed."""
        self.model.eval()
        lengths = self.packed.planned[self._held_out_rows]
        plan = batches.for_evaluation(lengths, self.max_length)
        sums = torch.zeros(3, dtype=torch.float64, device=self._device)
        for step, batch in enumerate(plan, start=1):
            own = dataclasses.replace(batch, rows=self._held_out_rows[batch.rows])
            with devices.memory_errors(f"evaluating on {len(own.rows)} x {own.width} word pieces"):
                sums += self._held_out_sums(own)
            yield Progress(step, len(plan), "dev")
        loss, right, count = sums.tolist()
        return {"dev/loss": loss / max(1.0, count), "dev/accuracy": right / max(1.0, count)}

    @torch.inference_mode()
    def _held_out_sums(self, batch: Batch) -> Tensor:
        with devices.autocast(self._device):
            logits, targets = self._predict(batch, seeds.generator(0, "held out", int(batch.rows[0])))
        count = torch.tensor(len(targets), device=self._device)
        right = (logits.argmax(dim=-1) == targets).sum()
        return torch.stack([losses.cross_entropy(logits, targets) * count, right, count]).double()

    def _predict(self, batch: Batch, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """Logits ``[chosen, vocabulary]`` and the pieces that should come out ``[chosen]``."""
        inputs = self.packed.inputs(batch, self._device)
        pieces = inputs["input_ids"]
        inputs["input_ids"], chosen = self._masking.apply(pieces, inputs["attention_mask"], chance)
        return models.masked_logits(self.model, inputs, chosen), pieces[chosen]


def pack(texts: Iterable[str], tokenizer: Tokenizer, max_length: int) -> Packed:
    """Lays all texts end to end, with the separator between them, and cuts rows of ``max_length`` out of that.

    Raises:
        UserError: For a corpus that does not fill two rows.
    """
    backend = tokenizer.backend
    separator = numpy.array(tokenizer.suffix, dtype=numpy.int32)
    parts: list[numpy.ndarray] = []
    source = iter(texts)
    while some := list(itertools.islice(source, _TEXTS_AT_ONCE)):
        for encoding in backend.encode_batch(some, add_special_tokens=False):
            parts.extend((numpy.array(encoding.ids, dtype=numpy.int32), separator))
    stream = numpy.concatenate(parts) if parts else separator
    capacity = max_length - len(tokenizer.prefix) - len(tokenizer.suffix)
    rows = numpy.split(stream, range(capacity, len(stream), capacity))
    if len(rows) < 2:
        raise UserError(
            f"the corpus has {len(stream)} word pieces; masked-language modelling at max_length={max_length} "
            f"needs more than {capacity}, so that a sequence can be held out. Give more text or a smaller max_length"
        )
    framed = [numpy.concatenate([tokenizer.prefix, row, tokenizer.suffix]).astype(numpy.int32) for row in rows]
    lengths = torch.tensor([len(row) for row in framed])
    pieces = torch.from_numpy(numpy.concatenate(framed))
    return Packed(pieces, None, lengths.cumsum(0) - lengths, lengths, lengths, max_length, tokenizer.pad)


def hold_out(rows: int) -> tuple[Tensor, Tensor]:
    """Rows to train on and rows held out; the same for every seed."""
    order = torch.randperm(rows, generator=seeds.generator(0, "hold out"))
    count = max(1, round(rows * HELD_OUT))
    return order[count:].sort().values, order[:count].sort().values


def run(stage: MaskedLanguageModel, context: Context) -> Run:
    """Trains and writes ``model/``; the last epoch is kept. Where steps are counted, an epoch is a part of them.

    Raises:
        UserError: For a model or corpus that cannot be used.
        StageError: Where the loss is not finite.
        OutOfDeviceMemory: Where the device's memory does not suffice.
    """
    start = context.model_folder(stage.init)
    objective = MaskedModelling(stage, start, context.device)
    recipe = Recipe(
        epochs=given(stage.epochs) if stage.steps is None else batches.parts_of(stage.steps),
        learning_rate=stage.learning_rate,
        warmup_ratio=stage.warmup_ratio,
        weight_decay=stage.weight_decay,
        clip_norm=stage.clip_norm,
        seed=stage.seed,
    )
    training = Training(objective, recipe, context)
    yield from training.run()
    if context.keep_model:
        models.save(objective.model, start, context.folder / MODEL)
    last = training.history[-1]
    metrics = {name: value for name, value in last.items() if name.startswith("dev/")}
    facts = {**training.facts(), "max_length": objective.max_length, "examples": objective.sequences}
    return Result(metrics, training.history, facts)
