"""DoKTra's expressions: calibrated teacher, fine-tuned student, and what is distilled from one into the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from orchestrator.recipe import Recipe, over_folds
from trainables.expression import Stage
from trainables.stages import (
    ActivationBoundaryDistillation,
    FineTune,
    KLDistillation,
    MaskedLanguageModel,
    TeacherOutputs,
)

#: A choice of hyperparameters by name; see :mod:`search_spaces.doktra`.
Parameters = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all recipes of an experiment have in common.

    Attributes:
        data: Source of the task's examples.
        batch_size: Examples per step of every stage.
        max_length: Word pieces per example of every stage.
        train_limit: Training examples at most.
        method: Other fields of :class:`ActivationBoundaryDistillation` (margin, projection, boundary_scale).
        weight_decay: Of every stage; the released code has none.
        warmup_ratio: Of fine-tuning; the released code has none.
    """

    data: str
    batch_size: int
    max_length: int
    train_limit: int | None = None
    method: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weight_decay: float = 0.0
    warmup_ratio: float = 0.0

    def fine_tuning(self) -> dict[str, Any]:
        """Arguments of every fine-tuning: all that is not the paper's stays out of it, such as a task's warm-up."""
        return {
            **self.distilling(),
            "data": self.data,
            "warmup_steps": 0,
            "warmup_ratio": self.warmup_ratio,
        }

    def distilling(self) -> dict[str, Any]:
        """Arguments of every distillation."""
        return {
            "batch_size": self.batch_size,
            "max_length": self.max_length,
            "train_limit": self.train_limit,
            "weight_decay": self.weight_decay,
        }


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One teacher, one student, one task.

    Attributes:
        task: Key of the task; ``gad@10`` is cross-validated over ten folds.
        teacher: The teacher's name and pretrained model.
        student: The student's name and pretrained model.
        setting: What all recipes have in common.
    """

    task: str
    teacher: tuple[str, Stage]
    student: tuple[str, Stage]
    setting: Setting

    def teacher_recipe(self, chosen: Parameters, seed: int, **labels: Any) -> Recipe:
        """The calibrated teacher's row."""
        stage = over_folds(self.task, lambda task: self._teacher(task, chosen, seed))
        return Recipe(stage, "finetune", self.teacher[0], self.task, seed, **labels)

    def student_recipe(self, chosen: Parameters, seed: int, penalty: float = 0.0, **labels: Any) -> Recipe:
        """The row of the student's own fine-tuning; with a penalty that of the ablation ``ft_cpl``."""
        stage = over_folds(self.task, lambda task: self._student(task, chosen, seed, penalty))
        return Recipe(stage, "ft_cpl" if penalty else "finetune", self.student[0], self.task, seed, **labels)

    def distilled_recipe(
        self, chosen: Parameters, seed: int, *, calibrated: bool = True, boundaries: bool = True, **labels: Any
    ) -> Recipe:
        """The distilled student's row.

        Args:
            chosen: All hyperparameters.
            seed: Of every stage.
            calibrated: Whether the teacher is trained with the confidence penalty (``CTT`` in the paper's tables).
            boundaries: Whether activation boundaries are distilled, else probabilities (``KLD``).
            labels: Further labels of the row.
        """
        if not calibrated:
            chosen = {**chosen, "beta1": 0.0}
        stage = over_folds(self.task, lambda task: self._distilled(task, chosen, seed, boundaries))
        method = {
            (True, True): "doktra",
            (False, True): "doktra_no_ctt",
            (True, False): "ctt_kld",
            (False, False): "kld",
        }[calibrated, boundaries]
        return Recipe(stage, method, self.student[0], self.task, seed, teachers=(self.teacher[0],), **labels)

    def tapt_recipe(self, chosen: Parameters, seed: int, method: str, **pretraining: Any) -> Recipe:
        """Task-adaptive pretraining of the student, then its fine-tuning (the comparison of Table 4)."""

        def make(task: str) -> Stage:
            corpus = f"task:{task}"
            adapted = MaskedLanguageModel(corpus, self.student[1], data=self.setting.data, seed=seed, **pretraining)
            return self._student(task, chosen, seed, start=adapted)

        return Recipe(over_folds(self.task, make), method, self.student[0], self.task, seed)

    def _teacher(self, task: str, chosen: Parameters, seed: int) -> FineTune:
        return FineTune(
            task,
            self.teacher[1],
            epochs=chosen["teacher_epochs"],
            learning_rate=chosen["teacher_learning_rate"],
            confidence_penalty=chosen["beta1"],
            seed=seed,
            **self.setting.fine_tuning(),
        )

    def _student(
        self, task: str, chosen: Parameters, seed: int, penalty: float = 0.0, start: Stage | None = None
    ) -> FineTune:
        return FineTune(
            task,
            start or self.student[1],
            epochs=chosen["student_epochs"],
            learning_rate=chosen["student_learning_rate"],
            confidence_penalty=penalty,
            seed=seed,
            **self.setting.fine_tuning(),
        )

    def _distilled(self, task: str, chosen: Parameters, seed: int, boundaries: bool) -> Stage:
        given = {
            "student": self._student(task, chosen, seed),
            "teacher_outputs": TeacherOutputs(self._teacher(task, chosen, seed)),
            "epochs": chosen["epochs"],
            "learning_rate": chosen["learning_rate"],
            "confidence_penalty": chosen["beta2"],
            "switch_rate": chosen["gamma"],
            "seed": seed,
            **self.setting.distilling(),
        }
        return ActivationBoundaryDistillation(**given, **self.setting.method) if boundaries else KLDistillation(**given)
