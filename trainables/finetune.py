"""Fine-tuning on a task: a pretrained encoder, a new head, the task's published settings."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy
from torch import Tensor

from trainables.context import MODEL, PREDICTIONS, Context, Progress, Result, Run
from trainables.data import tasks
from trainables.data.tasks import Task
from trainables.errors import UserError
from trainables.stages import FineTune
from trainables.training import batches, encoding, evaluation, losses, models, predictions, tokenizers
from trainables.training.batches import Batch
from trainables.training.encoding import Split
from trainables.training.loop import Training
from trainables.training.optimizer import Recipe


class Classification:
    """A classifier and the three splits of its task; an :class:`~trainables.training.loop.Objective`.

    Args:
        stage: Gives task, data and settings.
        folder: Of the model to start from.
        device: Where to train.

    Attributes:
        max_length: Word pieces per row: the stage's, or the model's limit where that is lower.
        logits: Of the splits evaluated last, ``[units, labels]`` by split.
    """

    def __init__(self, stage: FineTune, folder: Path, device: str) -> None:
        self.task: Task = tasks.get(stage.task)
        self.model: Any = models.classifier(folder, self.task, stage.seed)
        tokenizer = tokenizers.load(folder, on_words=self.task.on_tokens)
        models.check_tokenizer(self.model, tokenizer, folder)
        self.max_length = min(_given(stage.max_length), models.longest_input(self.model) or _given(stage.max_length))
        self.settings = {"task": stage.task, "batch_size": stage.batch_size, "max_length": self.max_length}
        self.logits: dict[str, numpy.ndarray] = {}
        self._stage = stage
        self._device = device
        types = models.distinguishes_types(self.model)
        self.splits: dict[str, Split] = {
            name: encoding.prepared(
                stage.data,
                self.task,
                name,
                tokenizer,
                self.max_length,
                device,
                types=types,
                limit=stage.train_limit if name == "train" else None,
            )
            for name in ("train", "dev", "test")
        }
        if not self.splits["train"].ids:
            raise UserError(f"task {stage.task!r} has no training examples in {stage.data!r}; give data with some")
        self.model.to(device)

    def batches(self, epoch: int) -> Sequence[Batch]:
        """Every row of the training split once."""
        packed = self.splits["train"].packed
        return batches.for_training(
            packed.planned, _given(self._stage.batch_size), packed.limit, self._stage.seed, epoch
        )

    def loss(self, batch: Batch, epoch: int) -> Tensor:
        """Cross-entropy against the gold labels."""
        train = self.splits["train"]
        logits = self.model(**train.packed.inputs(batch, self._device)).logits
        targets = train.targets_of(batch).to(self._device)
        return (
            losses.binary_cross_entropy(logits, targets)
            if self.task.multi_label
            else losses.cross_entropy(logits, targets)
        )

    def evaluate(self) -> Generator[Progress, None, dict[str, float]]:
        """Metrics on dev."""
        return (yield from self.score("dev"))

    def score(self, name: str) -> Generator[Progress, None, dict[str, float]]:
        """Evaluates a split and keeps its logits; metrics are named ``split/metric``."""
        split = self.splits[name]
        self.logits[name] = yield from evaluation.predict(self.model, split, self._device, name)
        found = evaluation.score(self.task, split, self.logits[name])
        return {f"{name}/{metric}": value for metric, value in found.items()}

    def write_predictions(self, path: Path) -> None:
        """Writes the predictions of dev and test."""
        parts = []
        for name in ("dev", "test"):
            split, logits = self.splits[name], self.logits[name]
            decided = evaluation.per_example(split, evaluation.decide(self.task, logits))
            parts.append(predictions.table(name, split, decided, evaluation.per_example(split, logits)))
        predictions.write(parts, path)


def run(stage: FineTune, context: Context) -> Run:
    """Fine-tunes and evaluates; the last epoch is kept.

    Yields after every step and evaluation batch. Writes ``predictions.parquet`` and, where wanted, ``model/``.

    Raises:
        UserError: For a model or data that cannot be used.
        StageError: Where the loss is not finite.
        OutOfDeviceMemory: Where the device's memory does not suffice.
    """
    start = context.model_folder(stage.init)
    objective = Classification(stage, start, context.device)
    recipe = Recipe(
        epochs=_given(stage.epochs),
        learning_rate=_given(stage.learning_rate),
        warmup_steps=stage.warmup_steps or 0,
        warmup_ratio=stage.warmup_ratio or 0.0,
        weight_decay=stage.weight_decay,
        clip_norm=stage.clip_norm,
        seed=stage.seed,
    )
    training = Training(objective, recipe, context)
    yield from training.run()
    metrics: dict[str, float] = {}
    for name in ("dev", "test"):
        if name in objective.logits:  # dev was evaluated at the end of the last epoch, unless that was before a restart
            metrics |= {key: value for key, value in training.history[-1].items() if key.startswith(f"{name}/")}
        else:
            metrics |= yield from training.guarded(objective.score(name))
    objective.write_predictions(context.folder / PREDICTIONS)
    if context.keep_model:
        models.save(objective.model, start, context.folder / MODEL)
    facts = {
        **training.facts(),
        "max_length": objective.max_length,
        "max_length_asked": stage.max_length,
        "examples": {name: len(split.ids) for name, split in objective.splits.items()},
    }
    return Result(metrics, training.history, facts)


def _given(value: Any) -> Any:
    """A setting of the stage that is declared optional, but was filled in when the stage was made."""
    if value is None:
        raise UserError("the stage lacks a setting that its task should have given; name it")
    return value
