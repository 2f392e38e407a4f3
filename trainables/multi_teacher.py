"""Distillation from several teachers: a fine-tuned student learns from the gold labels and from what a strategy says.

No step runs a teacher: what each says of every example was kept by :mod:`trainables.teacher_outputs`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainables.context import OUTPUTS, Context, Run
from trainables.data import tasks
from trainables.stages import MultiTeacherDistillation
from trainables.training import classification, losses, models, outputs, seeds, strategies
from trainables.training.batches import Batch
from trainables.training.classification import Classification
from trainables.training.encoding import Split
from trainables.training.loop import Training
from trainables.training.optimizer import Recipe
from trainables.training.strategies import Expertise, Panel


def run(stage: MultiTeacherDistillation, context: Context) -> Run:
    """Distils and evaluates; the last epoch is kept.

    Writes what fine-tuning does. Facts have the teachers' accuracies (``expertise``, in their order: ``split``,
    ``accuracy``, ``class_accuracy`` by label, 0 where no unit has it, and ``experts``, the number of the best teacher
    by label).

    Raises:
        UserError: For a student that is no classifier of the task, or data that cannot be used.
        StageError: Where the loss is not finite, or a teacher's outputs lack an example.
        OutOfDeviceMemory: Where the device's memory does not suffice.
    """
    student = context.model_folder(stage.student)
    said = [context.input_file(each, OUTPUTS) for each in stage.teacher_outputs]
    objective = MultiTeacher(stage, student, said, context.device)
    recipe = Recipe(
        epochs=stage.epochs,
        learning_rate=stage.learning_rate,
        weight_decay=stage.weight_decay,
        clip_norm=stage.clip_norm,
        seed=stage.seed,
    )
    training = Training(objective, recipe, context)
    yield from training.run()
    result = yield from classification.finish(objective, training, stage.max_length, student, context)
    expertise = described(objective.panel.expertise, objective.task.labels, stage.expertise_split)
    return dataclasses.replace(result, facts={**result.facts, "expertise": expertise})


class MultiTeacher(Classification):
    """A fine-tuned student, its gold labels, and what several teachers say.

    Args:
        stage: Gives task, data and settings.
        folder: Of the student.
        said: Files of the teachers' outputs.
        device: Where to train.

    Attributes:
        panel: The teachers.
    """

    def __init__(self, stage: MultiTeacherDistillation, folder: Path, said: Sequence[Path], device: str) -> None:
        super().__init__(stage, models.finetuned(folder, tasks.get(stage.task)), folder, device)
        self._method = stage
        self._say = strategies.get(stage.strategy)
        labels = len(self.task.labels)
        judged, train = self.splits[stage.expertise_split], self.splits["train"]
        expertise = Expertise.of(_logits(said, judged, stage.expertise_split, labels), _gold(judged))
        self.panel = Panel(_logits(said, train, "train", labels), _gold(train), expertise, stage.temperature)
        self._told = (-1, torch.empty(0))  # of which epoch, and the distributions

    def loss(self, batch: Batch, epoch: int) -> Tensor:
        """Cross-entropies against the gold labels and against what the teachers say, as the stage weighs them."""
        stage, train = self._method, self.splits["train"]
        logits = self.classifier(**train.packed.inputs(batch, self.device)).logits
        targets = train.targets_of(batch).to(self.device)
        own, units = train.units_of(batch, logits)
        told = self.told(epoch)[units]
        loss = stage.alpha * losses.cross_entropy(logits, targets)
        loss = loss + (1 - stage.alpha) * losses.soft_cross_entropy(own, told, stage.temperature)
        if stage.teacher_loss:
            gold = self.panel.gold[units.cpu()].to(self.device)
            loss = loss + stage.teacher_loss * torch.nn.functional.nll_loss(told.clamp_min(1e-12).log(), gold)
        return loss

    def told(self, epoch: int) -> Tensor:
        """The distributions over labels that the student is told in an epoch ``[units, labels]``, on the device."""
        if self._told[0] != epoch:
            chance = seeds.generator(self._method.seed, "teacher", epoch)
            self._told = (epoch, self._say(self.panel, chance).to(self.device))
        return self._told[1]


def described(expertise: Expertise, labels: Sequence[str], split: str) -> dict[str, Any]:
    """The teachers' expertise as it stands in a result."""
    by_label = [dict(zip(labels, row, strict=True)) for row in expertise.class_accuracy.tolist()]
    return {
        "split": split,
        "accuracy": expertise.accuracy.tolist(),
        "class_accuracy": by_label,
        "experts": dict(zip(labels, expertise.experts.tolist(), strict=True)),
    }


def _logits(said: Sequence[Path], split: Split, name: str, labels: int) -> Tensor:
    """All teachers' logits of a split ``[teachers, units, labels]``."""
    return torch.stack([outputs.logits(path, split.ids, name, labels) for path in said])


def _gold(split: Split) -> Tensor:
    """Label indices of a split's units ``[units]``."""
    return torch.tensor([label for labels in split.gold for label in labels], dtype=torch.int64)
