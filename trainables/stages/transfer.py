"""Stages that train on one task and are evaluated on another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from trainables.data import sources, tasks
from trainables.errors import UserError
from trainables.expression import LOCATED, Stage
from trainables.stages import rules
from trainables.stages.distillation import TeacherOutputs
from trainables.stages.finetuning import start_of


@dataclass(frozen=True)
class SoftLabelDistillation(Stage):
    """A student learns a teacher's probabilities on transfer data, and is evaluated on the teacher's own task.

    No gold label of the transfer data is looked at (transfer-data paper, section 4.1). The student has a new head.

    Attributes:
        init: The model to start from.
        teacher_outputs: What the teacher says of the transfer data: ``TeacherOutputs(teacher, task="boolq", ...)``. Of
            them those on the training split are read, so ``splits=("train",)`` saves the others.
        steps: Steps of training, whatever the size of the transfer data; the last one is kept.
        temperature: Of both distributions.
        batch_size: Examples per step.
        learning_rate: Of AdamW; linear decay.
        max_length: Word pieces per example of the transfer data; that of the teacher's outputs unless given.
        target_length: The same of the teacher's own task; the teacher's unless given.
        train_limit: Of the transfer examples, as in :class:`~trainables.stages.FineTune`.
        weight_decay: Of AdamW; none on biases and norms.
        clip_norm: Largest gradient norm.
        seed: Of the head, order and dropout.
    """

    init: Stage
    teacher_outputs: TeacherOutputs
    steps: int = 1_100
    temperature: float = 1.0
    batch_size: int = 12
    learning_rate: float = 8e-6
    max_length: int | None = None
    target_length: int | None = None
    train_limit: int | None = None
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    seed: int = 0

    implementation: ClassVar[str] = "trainables.transfer_data:distil"

    def __post_init__(self) -> None:
        """Fills in what is the teacher's, so that naming it or not makes no difference to the key."""
        rules.fill(self, self.teacher_outputs, "max_length", "train_limit")
        if self.target_length is None:
            object.__setattr__(self, "target_length", getattr(self.teacher, "max_length", None))
        super().__post_init__()

    @property
    def teacher(self) -> Stage:
        """Who is distilled from."""
        return self.teacher_outputs.teacher

    @property
    def task(self) -> str:
        """The teacher's own task, on which the student is evaluated."""
        return str(getattr(self.teacher, "task", ""))

    @property
    def data(self) -> str:
        """Source of that task's examples."""
        return str(getattr(self.teacher, "data", ""))

    @property
    def transfer_task(self) -> str:
        """Whose texts are the transfer data."""
        return str(self.teacher_outputs.task)

    def check(self) -> None:
        """Refuses values out of range, tasks that label words, and transfer data without pairs for a pair task.

        Transfer data that are another fold of the target hold the texts of its test split, and are refused, too; not
        random text, which holds none.
        """
        rules.at_least(self, 1, "steps", "batch_size", "train_limit")
        rules.at_least(self, rules.SHORTEST, "max_length", "target_length")
        rules.at_least(self, 0, "weight_decay")
        rules.positive(self, "learning_rate", "clip_norm", "temperature")
        rules.starts_from_model(self, self.init)
        rules.on_texts(self, self.task)
        target, transfer = tasks.get(self.task), tasks.get(self.transfer_task)
        if target.multi_label:
            raise UserError(
                f"SoftLabelDistillation.teacher_outputs are of a teacher of {target.name}, which has several labels "
                "per example; give a teacher of a task with one"
            )
        if target.pair != transfer.pair:
            fitting = [name for name, one in tasks.TASKS.items() if one.pair == target.pair and not one.on_tokens]
            kinds = ("pairs of texts", "single texts") if target.pair else ("single texts", "pairs of texts")
            raise UserError(
                f"SoftLabelDistillation: {target.name} is of {kinds[0]}, the transfer data {transfer.name} of "
                f"{kinds[1]}; give transfer data like it ({', '.join(fitting)})"
            )
        if sources.unwrapped(str(self.teacher_outputs.data))[0] is None:
            rules.other_fold(self, "teacher_outputs are on texts", self.transfer_task, self.task, "transfer set")
        rules.has_outputs(self, self.teacher_outputs, "train")
        rules.within_outputs(self, self.teacher_outputs.train_limit)

    def fingerprints(self) -> dict[str, str]:
        """Hashes of the target's and the transfer data's splits."""
        return {
            "data": sources.fingerprint(self.data, self.task),
            "transfer": sources.fingerprint(str(self.teacher_outputs.data), self.transfer_task),
        }

    def label(self) -> str:
        """Both tasks, seed and both models."""
        models = f"{start_of(self.teacher).label()} -> {start_of(self.init).label()}"
        return f"{self.task} from soft labels on {self.transfer_task} seed {self.seed} ({models})"[:79]


@dataclass(frozen=True)
class Evaluation(Stage):
    """A model on a task's dev and test splits, without training on it.

    Of a classifier the head is kept, so its labels must be those of the task; any other model has a new, untrained one.

    Attributes:
        model: What is evaluated.
        task: The task.
        data: Source of its examples.
        max_length: Word pieces per example; the task's published setting unless given.
        seed: Of a new head.
    """

    model: Stage
    task: str
    data: str = field(metadata=LOCATED)
    max_length: int | None = None
    seed: int = 0

    implementation: ClassVar[str] = "trainables.transfer_data:evaluate"
    makes_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Fills in the published length, so that naming it or not makes no difference to the key."""
        tasks.fold_of(self.task)  # refuses a mean over folds
        if self.max_length is None:
            published = sources.settings(self.data, tasks.get(self.task))
            object.__setattr__(self, "max_length", published.max_length)
        super().__post_init__()

    @property
    def solves(self) -> str | None:
        """The task that the model was trained on, if it is a classifier."""
        task: str | None = getattr(self.model, "task", None)
        return task

    def check(self) -> None:
        """Refuses an input without weights, tasks that label words, and a classifier of other labels."""
        rules.at_least(self, rules.SHORTEST, "max_length")
        rules.starts_from_model(self, self.model, "model")
        rules.on_texts(self, self.task)
        if self.solves is not None and tasks.get(self.solves).labels != tasks.get(self.task).labels:
            own, wanted = (", ".join(tasks.get(name).labels) for name in (self.solves, self.task))
            raise UserError(
                f"Evaluation.model is a classifier of {self.solves} with the labels {own}; {self.task} has {wanted}: "
                "give a classifier with these, or one without a head"
            )

    def fingerprints(self) -> dict[str, str]:
        """Hash of the task's three splits."""
        return {"data": sources.fingerprint(self.data, self.task)}

    def label(self) -> str:
        """What is evaluated, and on what."""
        return f"{self.model.label()} on {self.task}"[:79]
