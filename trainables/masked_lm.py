"""Masked-language modelling: pretraining from scratch, or further pretraining on domain or task text."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.context import MODEL, PIECES, Context, Progress, Result, Run
from trainables.data import corpora
from trainables.errors import UserError
from trainables.stages import MaskedLanguageModel, TokenizedCorpus
from trainables.training import batches, devices, losses, models, packed_corpus, seeds, tokenizers
from trainables.training.batches import Batch, Packed
from trainables.training.classification import given
from trainables.training.loop import Training
from trainables.training.masking import Masking
from trainables.training.optimizer import Recipe
from trainables.training.tokenizers import Tokenizer


class MaskedModelling:
    """A masked-language model and its text; an :class:`~trainables.training.loop.Objective`.

    Args:
        stage: Gives corpus and settings.
        folder: Of the model to start from.
        context: Of the stage.
    """

    def __init__(self, stage: MaskedLanguageModel, folder: Path, context: Context) -> None:
        device = context.device
        self.model: Any = models.masked_lm(folder, stage.seed)
        tokenizer = tokenizers.load(folder)
        models.check_tokenizer(self.model, tokenizer, folder)
        if tokenizer.wrapped.mask_token_id is None:
            raise UserError(f"the tokenizer in {str(folder)!r} has no mask token; give one of a masked-language model")
        longest = models.longest_input(self.model)
        if isinstance(stage.corpus, TokenizedCorpus):
            self.packed = _tokenized(stage, stage.corpus, tokenizer, longest, context)
        else:
            max_length = min(stage.max_length, longest or stage.max_length)
            self.packed = packed_corpus.pack(corpora.read(stage.corpus, stage.data), tokenizer, max_length).to(device)
        self.max_length = self.packed.limit
        corpus = stage.corpus.label() if isinstance(stage.corpus, TokenizedCorpus) else stage.corpus
        self.settings = {"corpus": corpus, "batch_size": stage.batch_size, "max_length": self.max_length}
        self._train_rows, self._held_out_rows = packed_corpus.hold_out(len(self.packed.planned))
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


def _tokenized(
    stage: MaskedLanguageModel, corpus: TokenizedCorpus, own: Tokenizer, longest: int | None, context: Context
) -> Packed:
    """The rows of a tokenized corpus, if they are of the model's own pieces and no longer than it takes."""
    theirs = tokenizers.load(context.tokenizer_folder(corpus))
    tokenizers.check_same(theirs, f"the corpus ({corpus.label()})", own, f"init ({stage.init.label()})")
    return packed_corpus.load(context.input_file(corpus, PIECES), longest)


def run(stage: MaskedLanguageModel, context: Context) -> Run:
    """Trains and writes ``model/``; the last epoch is kept. Where steps are counted, an epoch is a part of them.

    Raises:
        UserError: For a model or corpus that cannot be used.
        StageError: Where the loss is not finite.
        OutOfDeviceMemory: Where the device's memory does not suffice.
    """
    start = context.model_folder(stage.init)
    objective = MaskedModelling(stage, start, context)
    recipe = Recipe(
        epochs=given(stage.epochs) if stage.steps is None else batches.parts_of(stage.steps),
        learning_rate=stage.learning_rate,
        warmup_ratio=stage.warmup_ratio,
        weight_decay=stage.weight_decay,
        clip_norm=stage.clip_norm,
        seed=stage.seed,
        micro_batch_size=stage.micro_batch_size,
    )
    training = Training(objective, recipe, context)
    yield from training.run()
    if context.keep_model:
        models.save(objective.model, start, context.folder / MODEL)
    last = training.history[-1]
    metrics = {name: value for name, value in last.items() if name.startswith("dev/")}
    facts = {**training.facts(), "max_length": objective.max_length, "examples": objective.sequences}
    return Result(metrics, training.history, facts)
