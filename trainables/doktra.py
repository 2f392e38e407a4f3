"""DoKTra: a fine-tuned student learns from a teacher's outputs, then is refined on the gold labels (Algorithm 1).

No step runs the teacher: what it says of every example was kept by :mod:`trainables.teacher_outputs`.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from trainables.context import OUTPUTS, Context, Progress, Run
from trainables.data import tasks
from trainables.stages import ActivationBoundaryDistillation, KLDistillation
from trainables.training import classification, devices, evaluation, losses, models, outputs, projection
from trainables.training.batches import Batch
from trainables.training.classification import Classification
from trainables.training.loop import Training
from trainables.training.optimizer import Recipe

_Stage: TypeAlias = ActivationBoundaryDistillation | KLDistillation


def distil_boundaries(stage: ActivationBoundaryDistillation, context: Context) -> Run:
    """Distils activation boundaries, refines and evaluates; the last epoch is kept.

    Writes what fine-tuning does. Metrics have ``l_at`` (eq. 4), a number of units, at the end, and ``l_at_boundary`` at
    the end of the boundary phase where there is one.

    Raises:
        UserError: For a student that is no classifier of the task, or data that cannot be used.
        StageError: Where the loss is not finite, or the teacher's outputs lack an example.
        OutOfDeviceMemory: Where the device's memory does not suffice.
    """
    student, teacher = _inputs(stage, context)
    objective = BoundaryDistillation(stage, student, teacher, context.device)
    return (yield from _run(stage, objective, student, context))


def distil_probabilities(stage: KLDistillation, context: Context) -> Run:
    """Distils output probabilities, else as :func:`distil_boundaries`.

    Metrics have ``l_at`` only where teacher and student are of one width: nothing here maps one to the other.
    """
    student, teacher = _inputs(stage, context)
    objective = ProbabilityDistillation(stage, student, teacher, context.device)
    return (yield from _run(stage, objective, student, context))


class Distillation(Classification, abc.ABC):
    """A fine-tuned student that learns from its teacher for some epochs, and from the gold labels after them.

    Args:
        stage: Gives task, data and settings.
        folder: Of the student.
        device: Where to train.

    Attributes:
        switch: Number of epochs that distil.
        active: Which of the teacher's units are active (eq. 3), boolean ``[examples, units]`` by split; empty where
            they cannot be compared with the student's.
    """

    def __init__(self, stage: _Stage, folder: Path, device: str) -> None:
        student = models.finetuned(folder, tasks.get(stage.task))
        super().__init__(stage, student, folder, device, stage.confidence_penalty)
        self.switch = stage.switch_epoch
        self.active: dict[str, Tensor] = {}
        self.width = int(self.classifier.config.hidden_size)

    def loss(self, batch: Batch, epoch: int) -> Tensor:
        """The distillation's loss before the switch, that of the gold labels from then on."""
        return self.distil(batch) if epoch < self.switch else super().loss(batch, epoch)

    @abc.abstractmethod
    def distil(self, batch: Batch) -> Tensor:
        """The scalar that brings the student closer to its teacher."""

    def compared(self, vectors: Tensor) -> Tensor:
        """The student's CLS vectors as they are held against the teacher's."""
        return vectors

    def evaluate(self, epoch: int) -> Generator[Progress, None, dict[str, float]]:
        """Metrics on dev; L_AT on test too at the switch; ``resource`` counts the epochs of refinement."""
        found = yield from self.score("dev")
        if epoch + 1 == self.switch and self.active:
            boundary = found | (yield from self.score("test"))
            del self.logits["test"]  # the student goes on changing
            found |= {f"{name}_boundary": value for name, value in boundary.items() if name.endswith("/l_at")}
        if epoch >= self.switch:
            found["resource"] = float(epoch + 1 - self.switch)
        return found

    def score(self, name: str) -> Generator[Progress, None, dict[str, float]]:
        """As its base, with ``l_at`` where vectors can be compared."""
        split = self.splits[name]
        logits, vectors = yield from evaluation.outputs(self.classifier, split, self.device, name)
        if name not in self.active:
            return self.scored(name, logits.cpu().numpy())
        # A learned projection is trained in the device's format, so that is what it is judged in.
        with torch.inference_mode(), devices.autocast(self.device):
            different = losses.activation_difference(self.compared(vectors), self.active[name])
        return self.scored(name, logits.cpu().numpy(), l_at=float(different.double().mean()))

    def _compare_with(self, teacher: Path, fixed: nn.Linear | None = None) -> None:
        for name, split in self.splits.items():
            if split.ids:
                said = outputs.vectors(teacher, split.ids, name)
                self.active[name] = projection.activations(said, fixed).to(self.device)


class BoundaryDistillation(Distillation):
    """Activation boundaries (eq. 5). While they are distilled, head and pooler get no gradient and do not change.

    A learned projection is trained with the student up to the switch, and stays as it is from then on.
    """

    def __init__(self, stage: ActivationBoundaryDistillation, folder: Path, teacher: Path, device: str) -> None:
        super().__init__(stage, folder, device)
        self._margin, self._scale = stage.margin, stage.boundary_scale
        self._projection: nn.Linear | None = None
        fixed = None
        width = outputs.vectors(teacher, self.splits["train"].ids, "train").shape[1]
        if width != self.width and stage.projection == "learned":
            self._projection = projection.layer(self.width, width, stage.seed).to(device)
            self.model = nn.ModuleDict({"student": self.classifier, "projection": self._projection})
        elif width != self.width:
            fixed = projection.layer(width, self.width, stage.seed)
        self._compare_with(teacher, fixed)

    def distil(self, batch: Batch) -> Tensor:
        """The boundary loss, scaled."""
        vectors = models.cls_vectors(self.classifier, self.splits["train"].packed.inputs(batch, self.device))
        active = self.active["train"][batch.rows.to(self.device)]
        return self._scale * losses.boundary_loss(self.compared(vectors), active, self._margin)

    def compared(self, vectors: Tensor) -> Tensor:
        """The vectors, at the teacher's width where a projection is learned."""
        return vectors if self._projection is None else self._projection(vectors)


class ProbabilityDistillation(Distillation):
    """Output probabilities (the KLD ablation): the divergence from the teacher's distribution."""

    def __init__(self, stage: KLDistillation, folder: Path, teacher: Path, device: str) -> None:
        super().__init__(stage, folder, device)
        ids = self.splits["train"].ids
        self._logits = outputs.logits(teacher, ids, "train", len(self.task.labels)).to(device)
        if outputs.vectors(teacher, ids, "train").shape[1] == self.width:
            self._compare_with(teacher)

    def distil(self, batch: Batch) -> Tensor:
        """Kullback-Leibler divergence, of each label's decision where an example may have several."""
        logits = self.classifier(**self.splits["train"].packed.inputs(batch, self.device)).logits
        teacher = self._logits[batch.rows.to(self.device)]
        return (losses.binary_divergence if self.task.multi_label else losses.divergence)(logits, teacher)


def _inputs(stage: _Stage, context: Context) -> tuple[Path, Path]:
    """The student's folder and the file of the teacher's outputs."""
    return context.model_folder(stage.student), context.input_file(stage.teacher_outputs, OUTPUTS)


def _run(stage: _Stage, objective: Distillation, student: Path, context: Context) -> Run:
    """Both phases under one optimiser and one decay of the learning rate."""
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
    at_switch: dict[str, float] = training.history[objective.switch - 1] if objective.switch else {}
    boundary = {name: value for name, value in at_switch.items() if name.endswith("/l_at_boundary")}
    facts: dict[str, Any] = {**result.facts, "switch_epoch": objective.switch, "width": objective.width}
    return dataclasses.replace(result, metrics=result.metrics | boundary, facts=facts)
