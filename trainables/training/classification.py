"""What training on a task's labels is made of, whatever else a method trains for: the splits, the loss, the end."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy
from torch import Tensor, nn

from trainables.context import MODEL, PREDICTIONS, Context, Progress, Result
from trainables.data import tasks
from trainables.data.examples import SPLITS
from trainables.data.tasks import Task
from trainables.errors import UserError
from trainables.training import batches, class_metrics, encoding, evaluation, losses, models, predictions, tokenizers
from trainables.training.batches import Batch
from trainables.training.encoding import Split
from trainables.training.loop import Training


class TaskStage(Protocol):
    """The fields of a stage that trains on a task; :class:`trainables.stages.FineTune` says what each means."""

    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def data(self) -> str: ...  # noqa: D102
    @property
    def batch_size(self) -> int | None: ...  # noqa: D102
    @property
    def max_length(self) -> int | None: ...  # noqa: D102
    @property
    def train_limit(self) -> int | None: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


class Classification:
    """A classifier and the three splits of its task; an :class:`~trainables.training.loop.Objective`.

    Args:
        stage: Gives task, data and settings.
        classifier: A transformers model for the task.
        folder: That it was loaded from; its tokenizer lies there.
        device: Where to train.
        penalty: Weight of the negative entropy of the predictions (DoKTra, eq. 2).
        steps: Steps of training, where the stage does not count epochs; evaluated after each of a few parts of them.

    Attributes:
        classifier: The model that is evaluated and saved.
        model: Everything that is trained: the classifier, and what a method adds to it.
        max_length: Word pieces per row: the stage's, or the model's limit where that is lower.
        logits: Of the splits evaluated last, ``[units, labels]`` by split.
    """

    def __init__(
        self,
        stage: TaskStage,
        classifier: Any,
        folder: Path,
        device: str,
        penalty: float = 0.0,
        steps: int | None = None,
    ) -> None:
        self.task: Task = tasks.get(stage.task)
        self.classifier = classifier
        self.model: nn.Module = classifier
        self.splits, self.max_length = splits_for(
            self.classifier, folder, stage.data, self.task, given(stage.max_length), stage.train_limit, device
        )
        if not self.splits["train"].ids:
            raise UserError(f"task {stage.task!r} has no training examples in {stage.data!r}; give data with some")
        self.settings = {"task": stage.task, "batch_size": stage.batch_size, "max_length": self.max_length}
        self.logits: dict[str, numpy.ndarray] = {}
        self.device = device
        self._stage = stage
        self._penalty = penalty
        self._steps = steps
        self.classifier.to(device)

    def batches(self, epoch: int) -> Sequence[Batch]:
        """Every row of the training split once; where steps are counted, a part of them."""
        packed, seed = self.splits["train"].packed, self._stage.seed
        size = given(self._stage.batch_size)
        if self._steps is None:
            return batches.for_training(packed.planned, size, packed.limit, seed, epoch)
        steps = self._steps // batches.parts_of(self._steps)
        return batches.for_steps(packed.planned, size, packed.limit, seed, epoch, steps)

    def loss(self, batch: Batch, epoch: int) -> Tensor:
        """Cross-entropy against the gold labels, with the confidence penalty."""
        train = self.splits["train"]
        logits = self.classifier(**train.packed.inputs(batch, self.device)).logits
        targets = train.targets_of(batch).to(self.device)
        return losses.classification(logits, targets, self.task.multi_label, self._penalty)

    def evaluate(self, epoch: int) -> Generator[Progress, None, dict[str, float]]:
        """Metrics on dev."""
        return (yield from self.score("dev"))

    def score(self, name: str) -> Generator[Progress, None, dict[str, float]]:
        """Evaluates a split and keeps its logits; metrics are named ``split/metric``."""
        split = self.splits[name]
        logits = yield from evaluation.predict(self.classifier, split, self.device, name)
        return self.scored(name, logits)

    def scored(self, name: str, logits: numpy.ndarray, **more: float) -> dict[str, float]:
        """Keeps a split's logits; their metrics and further ones, named ``split/metric``."""
        self.logits[name] = logits
        found = evaluation.score(self.task, self.splits[name], logits) | more
        return {f"{name}/{metric}": value for metric, value in found.items()}

    def class_accuracies(self) -> dict[str, dict[str, float]]:
        """By split, the share right of each label that a unit has; nothing where an example may have several."""
        if self.task.multi_label:
            return {}
        return {
            name: class_metrics.class_accuracies(
                self.task, self.splits[name].gold, evaluation.per_example(self.splits[name], decided)
            )
            for name, decided in ((name, evaluation.decide(self.task, self.logits[name])) for name in ("dev", "test"))
        }

    def write_predictions(self, path: Path) -> None:
        """Writes the predictions of dev and test."""
        parts = []
        for name in ("dev", "test"):
            split, logits = self.splits[name], self.logits[name]
            decided = evaluation.per_example(split, evaluation.decide(self.task, logits))
            parts.append(predictions.table(name, split, decided, evaluation.per_example(split, logits)))
        predictions.write(parts, path)


def splits_for(
    model: Any,
    folder: Path,
    data: str,
    task: Task,
    max_length: int,
    train_limit: int | None,
    device: str,
    names: Sequence[str] = SPLITS,
) -> tuple[dict[str, Split], int]:
    """A task's splits as a model reads them.

    Args:
        model: A transformers model.
        folder: Of its tokenizer.
        data: Source of the examples.
        task: The task.
        max_length: Word pieces per row at most.
        train_limit: Number of training examples, see :func:`trainables.training.encoding.prepared`.
        device: Where the model runs.
        names: Of the splits that are wanted.

    Returns:
        The splits by name, and the word pieces per row: ``max_length``, or the model's limit where that is lower.

    Raises:
        UserError: For a tokenizer that does not fit the model, or data that cannot be read.
    """
    tokenizer = tokenizers.load(folder, on_words=task.on_tokens)
    models.check_tokenizer(model, tokenizer, folder)
    length = min(max_length, models.longest_input(model) or max_length)
    types = models.distinguishes_types(model)
    limits = {"train": train_limit}
    return {
        name: encoding.prepared(data, task, name, tokenizer, length, device, types=types, limit=limits.get(name))
        for name in names
    }, length


def finish(
    objective: Classification, training: Training, max_length_asked: int | None, folder: Path, context: Context
) -> Generator[Progress, None, Result]:
    """What every stage does once its training is over: evaluates, writes predictions and, where wanted, the model.

    Args:
        objective: What was trained.
        training: How; run to its end.
        max_length_asked: The stage's.
        folder: Of the model that it started from; its tokenizer goes along.
        context: Of the stage.
    """
    metrics: dict[str, float] = {}
    for name in ("dev", "test"):
        if name in objective.logits:  # dev was evaluated at the end of the last epoch, unless that was before a restart
            metrics |= {key: value for key, value in training.history[-1].items() if key.startswith(f"{name}/")}
        else:
            metrics |= yield from training.guarded(objective.score(name))
    objective.write_predictions(context.folder / PREDICTIONS)
    if context.keep_model:
        models.save(objective.classifier, folder, context.folder / MODEL)
    facts = {
        **training.facts(),
        "parameters": sum(parameter.numel() for parameter in objective.classifier.parameters()),
        "max_length": objective.max_length,
        "max_length_asked": max_length_asked,
        "examples": {name: len(split.ids) for name, split in objective.splits.items()},
        "class_accuracy": objective.class_accuracies(),
    }
    return Result(metrics, training.history, facts)


def given(value: Any) -> Any:
    """A setting of the stage that is declared optional, but was filled in when the stage was made."""
    if value is None:
        raise UserError("the stage lacks a setting that its task should have given; name it")
    return value
