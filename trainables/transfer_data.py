"""Distillation on transfer data: a student learns what a teacher says of other texts than its own task's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import Tensor

from trainables.context import OUTPUTS, PREDICTIONS, Context, Result, Run
from trainables.data import tasks
from trainables.stages import Evaluation, SoftLabelDistillation
from trainables.training import batches, classification, devices, evaluation, losses, models, outputs
from trainables.training.batches import Batch
from trainables.training.classification import Classification, given
from trainables.training.loop import Training
from trainables.training.optimizer import Recipe


def distil(stage: SoftLabelDistillation, context: Context) -> Run:
    """Trains on the teacher's soft labels and evaluates on the teacher's task.

    Writes what fine-tuning does, of the teacher's task. An epoch of its history is a part of the steps.

    Raises:
        UserError: For a model or data that cannot be used.
        StageError: Where the loss is not finite, or the teacher's outputs lack an example.
        OutOfDeviceMemory: Where the device's memory does not suffice.
    """
    start = context.model_folder(stage.init)
    said = context.input_file(stage.teacher_outputs, OUTPUTS)
    objective = SoftLabels(stage, start, said, context.device)
    recipe = Recipe(
        epochs=batches.parts_of(stage.steps),
        learning_rate=stage.learning_rate,
        weight_decay=stage.weight_decay,
        clip_norm=stage.clip_norm,
        seed=stage.seed,
    )
    training = Training(objective, recipe, context)
    yield from training.run()
    result = yield from classification.finish(objective, training, stage.target_length, start, context)
    return dataclasses.replace(result, facts={**result.facts, "transfer_length": objective.transfer_length})


class SoftLabels(Classification):
    """A student with a new head, evaluated on one task and trained on another one's texts and a teacher's logits.

    Args:
        stage: Gives tasks, data and settings.
        folder: Of the model that it starts from.
        said: File of the teacher's outputs.
        device: Where to train.

    Attributes:
        transfer_length: Word pieces per row of the transfer data.
    """

    def __init__(self, stage: SoftLabelDistillation, folder: Path, said: Path, device: str) -> None:
        target = tasks.get(stage.task)
        student = models.classifier(folder, target, stage.seed)
        super().__init__(
            _OfTarget(stage.task, stage.data, stage.batch_size, stage.target_length, None, stage.seed),
            student,
            folder,
            device,
            steps=stage.steps,
        )
        transfer, self.transfer_length = classification.splits_for(
            student,
            folder,
            str(stage.teacher_outputs.data),
            tasks.get(stage.transfer_task),
            given(stage.max_length),
            stage.train_limit,
            device,
            ("train",),
        )
        train = transfer["train"]
        self.splits = {**self.splits, "train": train}
        logits = outputs.logits(said, train.ids, "train", len(target.labels))
        self._temperature = stage.temperature
        self._soft = (logits / stage.temperature).softmax(dim=-1).to(device)

    def loss(self, batch: Batch, epoch: int) -> Tensor:
        """Cross-entropy against the teacher's distribution (section 4.1; of two labels that of q = sigmoid(z / T))."""
        logits = self.classifier(**self.splits["train"].packed.inputs(batch, self.device)).logits
        return losses.soft_cross_entropy(logits, self._soft[batch.rows.to(self.device)], self._temperature)


@dataclasses.dataclass(frozen=True)
class _OfTarget:
    """The target's side of a stage; see :class:`trainables.training.classification.TaskStage`."""

    task: str
    data: str
    batch_size: int | None
    max_length: int | None
    train_limit: int | None
    seed: int


def evaluate(stage: Evaluation, context: Context) -> Run:
    """Evaluates a model; writes ``predictions.parquet``."""
    task = tasks.get(stage.task)
    folder = context.model_folder(stage.model)
    model = models.classifier(folder, task, stage.seed) if stage.solves is None else models.finetuned(folder, task)
    side = _OfTarget(stage.task, stage.data, None, stage.max_length, None, stage.seed)
    objective = Classification(side, model, folder, context.device)
    plans = {name: len(objective.splits[name].plan()) for name in ("dev", "test")}
    found: dict[str, float] = {}
    done = 0
    for name, steps in plans.items():
        found |= yield from evaluation.counted(objective.score(name), done, sum(plans.values()), context)
        done += steps
    objective.write_predictions(context.folder / PREDICTIONS)
    facts = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "steps": 0,
        "tokens": 0,
        "precision": devices.precision(context.device),
        "max_length": objective.max_length,
        "max_length_asked": stage.max_length,
        "examples": {name: len(split.ids) for name, split in objective.splits.items()},
        "class_accuracy": objective.class_accuracies(),
    }
    return Result(found, facts=facts)
