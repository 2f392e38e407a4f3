"""Stages that learn from a teacher: its outputs, and what a student makes of them."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import Any, ClassVar

from trainables.data import sources, tasks
from trainables.data.examples import SPLITS
from trainables.errors import UserError
from trainables.expression import LOCATED, Stage
from trainables.stages import rules
from trainables.stages.finetuning import start_of

#: Far more than what a product of floats is off by, far less than what it could be meant to be.
_ROUNDING = 1e-9
#: How vectors of different widths are compared; see :class:`ActivationBoundaryDistillation`.
PROJECTIONS = ("fixed", "learned")


def distilling_epochs(epochs: int, rate: float) -> int:
    """How many epochs distil: 57 of 100 at a rate of 0.57, though their product is a little less."""
    return math.floor(epochs * rate + _ROUNDING)


def fewest_epochs(rate: float) -> int:
    """The fewest epochs of which one distils, at a rate above 0."""
    return math.ceil((1 - _ROUNDING) / max(rate, sys.float_info.min))


@dataclass(frozen=True)
class TeacherOutputs(Stage):
    """One pass of a finished teacher over a task's splits: CLS vectors of the last layer, and logits.

    Where words are labelled, the logits of every word, and no vectors.

    A stage of its own, so that whatever learns from this teacher shares it and no training step runs a teacher. The
    examples are found again by their ids, so a student may have another tokenizer.

    Attributes:
        teacher: A classifier of texts or words: a stage that trains on a task.
        task: Whose texts are read; the teacher's own task unless given.
        data: Source of the task; the teacher's unless given.
        max_length: Word pieces per example; the teacher's unless given.
        train_limit: Of the training examples, as in :class:`FineTune`; the teacher's unless given.
        splits: That are read, in any order; all unless given. Students on transfer data need ``train`` alone.
    """

    teacher: Stage
    task: str | None = None
    data: str | None = field(default=None, metadata=LOCATED)
    max_length: int | None = None
    train_limit: int | None = None
    splits: tuple[str, ...] = SPLITS

    implementation: ClassVar[str] = "trainables.teacher_outputs:run"
    makes_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Fills in what is the teacher's, so that naming it or not makes no difference to the key."""
        rules.starts_from_model(self, self.teacher, "teacher")
        solves, name = getattr(self.teacher, "task", None), type(self.teacher).__name__
        if solves is None:
            raise UserError(f"TeacherOutputs.teacher={name} solves no task; give a stage that does, such as FineTune")
        rules.fill(self, self.teacher, "task", "data", "max_length", "train_limit")
        super().__post_init__()

    def check(self) -> None:
        """Refuses values out of range, and a teacher of texts on a task that labels words, or the other way round.

        Splits are put into their usual order, so that naming them in another one makes no difference to the key.
        """
        rules.at_least(self, rules.SHORTEST, "max_length")
        rules.at_least(self, 1, "train_limit")
        if not self.splits or len(set(self.splits)) < len(self.splits) or not set(self.splits) <= set(SPLITS):
            raise UserError(f"TeacherOutputs.splits={self.splits!r} must be some of {', '.join(SPLITS)}, each once")
        object.__setattr__(self, "splits", tuple(split for split in SPLITS if split in self.splits))
        solves: str = self.teacher.task  # type: ignore[attr-defined]  # checked
        on_words = {name: tasks.get(name).on_tokens for name in (solves, str(self.task))}
        if len(set(on_words.values())) > 1:
            kinds = " and ".join(f"{name} labels {'words' if words else 'texts'}" for name, words in on_words.items())
            raise UserError(
                f"TeacherOutputs.task={self.task!r} does not fit its teacher: {kinds}; give tasks of a kind"
            )

    def fingerprints(self) -> dict[str, str]:
        """Hash of the task's three splits."""
        return {"data": sources.fingerprint(str(self.data), str(self.task))}

    def label(self) -> str:
        """Whose outputs, on which task."""
        return f"outputs on {self.task} of {self.teacher.label()}"[:79]


@dataclass(frozen=True)
class _SwitchedDistillation(Stage):
    """DoKTra's schedule (Algorithm 1): distillation for the first epochs, refinement on the gold labels after them.

    Attributes:
        student: The student, fine-tuned on the task; its head is kept.
        teacher_outputs: What the teacher says of the task's examples.
        switch_rate: Share of the epochs that distil (gamma); see :attr:`switch_epoch`, which the key has instead: of
            5 epochs 0.6 and 0.7 are the same 3.
        confidence_penalty: Weight of the negative entropy while refining (beta 2, eq. 2).
        epochs: Passes over the training split in both phases together; the last one is kept.
        batch_size: Examples per step; the student's unless given.
        learning_rate: At the first step; one linear decay over both phases.
        max_length: Word pieces per example; the student's unless given.
        train_limit: As in :class:`FineTune`; the student's unless given.
        weight_decay: Of AdamW; none on biases and norms.
        clip_norm: Largest gradient norm.
        seed: Of order, dropout and projection.
    """

    student: Stage
    teacher_outputs: TeacherOutputs
    switch_rate: float = 0.8
    confidence_penalty: float = 0.0
    epochs: int = 10
    batch_size: int | None = None
    learning_rate: float = 1e-5
    max_length: int | None = None
    train_limit: int | None = None
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    seed: int = 0

    prunable: ClassVar[bool] = True
    short_name: ClassVar[str] = "distil"

    def __post_init__(self) -> None:
        """Fills in what is the student's, so that naming it or not makes no difference to the key."""
        rules.fill(self, self.student, "batch_size", "max_length", "train_limit")
        super().__post_init__()

    @property
    def task(self) -> str:
        """The task that teacher and student solve."""
        return str(self.teacher_outputs.task)

    @property
    def data(self) -> str:
        """Source of the task's examples."""
        return str(self.teacher_outputs.data)

    @property
    def teacher(self) -> Stage:
        """Who is distilled from."""
        return self.teacher_outputs.teacher

    @property
    def switch_epoch(self) -> int:
        """Number of epochs that distil."""
        return distilling_epochs(self.epochs, self.switch_rate)

    @property
    def unkeyed(self) -> dict[str, Any]:
        """The switch rate as it was asked for."""
        return {"switch_rate": self.switch_rate}

    def canonical(self) -> dict[str, Any]:
        """As its base, with the epoch of the switch in place of the rate: rates that mean the same are one training."""
        form = super().canonical()
        form["fields"].pop("switch_rate", None)
        form["fields"]["switch_epoch"] = self.switch_epoch
        return form

    @property
    def schedule(self) -> str:
        """How many epochs distil and how many refine: the learning rate decays over both."""
        return f"{self.switch_epoch} + {self.epochs - self.switch_epoch}"

    def check(self) -> None:
        """Refuses values out of range, a student without weights, and one of another task than the teacher's.

        So it does with teachers and students that other folds or sources of the task were trained on. A rate above 0 of
        so few epochs that none of them distils is out of range, too.
        """
        rules.on_texts(self, self.task)
        rules.at_least(self, 1, "epochs", "batch_size", "train_limit")
        rules.at_least(self, rules.SHORTEST, "max_length")
        rules.at_least(self, 0, "weight_decay", "confidence_penalty")
        rules.positive(self, "learning_rate", "clip_norm")
        rules.share(self, "switch_rate")
        self._check_that_it_distils()
        rules.student_solves(self, self.student, self.task, self.data)
        rules.same_division(self, self.teacher_outputs, self.data)
        rules.has_outputs(self, self.teacher_outputs, *SPLITS)
        rules.within_outputs(self, self.teacher_outputs.train_limit)

    def _check_that_it_distils(self) -> None:
        """Refuses refinement alone that calls itself a distillation."""
        if self.switch_rate > 0 and self.switch_epoch == 0:
            raise UserError(
                f"{type(self).__name__}.switch_rate={self.switch_rate} of epochs={self.epochs} leaves no whole epoch "
                f"to distil in; give at least {fewest_epochs(self.switch_rate)} epochs, or switch_rate=0 for "
                "refinement alone"
            )

    def fingerprints(self) -> dict[str, str]:
        """Hash of the task's three splits."""
        return {"data": sources.fingerprint(self.data, self.task)}

    def label(self) -> str:
        """Task, seed and both models."""
        student, teacher = start_of(self.student).label(), start_of(self.teacher).label()
        return f"{self.short_name} {self.task} seed {self.seed} ({teacher} -> {student})"[:79]


@dataclass(frozen=True)
class ActivationBoundaryDistillation(_SwitchedDistillation):
    """Activation boundary distillation with refinement (DoKTra, eq. 3-5 and Algorithm 1).

    Attributes:
        margin: Of the squared hinge around each unit's boundary (mu).
        projection: Where the widths differ: ``fixed`` maps the teacher's vectors to the student's width by a random
            layer that is never trained (as released); ``learned`` trains a layer from the student's width to the
            teacher's, as Heo et al. (2019) do (the indicator of eq. 3 gives a layer on the teacher's side no gradient).
        boundary_scale: Factor on the boundary loss; the released code has 0.001, which matters to clipping only.
    """

    margin: float = 1.0
    projection: str = "fixed"
    boundary_scale: float = 1.0

    implementation: ClassVar[str] = "trainables.doktra:distil_boundaries"
    short_name: ClassVar[str] = "ABD"

    def check(self) -> None:
        """As its base; and refuses an unknown projection."""
        super().check()
        rules.at_least(self, 0, "margin")
        rules.positive(self, "boundary_scale")
        rules.one_of(self, "projection", PROJECTIONS)


@dataclass(frozen=True)
class KLDistillation(_SwitchedDistillation):
    """Distillation of output probabilities on the same schedule: the KLD ablation of DoKTra's Table 6."""

    implementation: ClassVar[str] = "trainables.doktra:distil_probabilities"
    short_name: ClassVar[str] = "KLD"

    def check(self) -> None:
        """As its base; and refuses a teacher of other labels."""
        super().check()
        rules.same_labels(self, getattr(self.teacher, "task", ""), self.task)
