"""Distillation from several teachers at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainables.data import sources, tasks
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.stages import rules
from trainables.stages.distillation import TeacherOutputs
from trainables.stages.finetuning import start_of

#: By what a student is told; :mod:`trainables.training.strategies` says what each does.
STRATEGIES = ("expertise", "average_logits", "random_teacher", "ca_mkd", "best_teacher")
#: On which a teacher's expertise may be measured; nobody was trained on them.
EXPERTISE_SPLITS = ("dev", "test")
#: Strategies that go by the teachers' accuracies; to the others it is all one where these are measured.
BY_EXPERTISE = frozenset({"expertise", "best_teacher"})


@dataclass(frozen=True)
class MultiTeacherDistillation(Stage):
    """Distillation of several teachers' outputs into a fine-tuned student (Hossain 2022, chapter 4).

    The loss is ``alpha`` times the cross-entropy against the gold labels and ``1 - alpha`` times that against the
    distribution that a strategy makes of the teachers' (section 3.5.1).

    Attributes:
        student: The student, fine-tuned on the task; its head is kept.
        teacher_outputs: What each teacher says of the task's examples; two teachers at least, none twice. Their order
            decides between teachers that are equally good.
        strategy: One of :data:`STRATEGIES`.
        alpha: Weight of the gold labels. The thesis prints none.
        temperature: Of the teachers' and the student's distribution while distilling.
        teacher_loss: Weight of the cross-entropy of the strategy's distribution against the gold labels (the thesis's
            third setting, section 4.11.3). Teachers that are not trained any more make it a constant: it shows in the
            loss and changes nothing.
        expertise_split: On which the teachers' accuracies are measured: ``dev``, or ``test`` as the thesis does, whose
            rows then look at test data to train. Always ``dev`` of a strategy that does not go by them
            (:data:`BY_EXPERTISE`), so that naming it makes no difference to the key and marks no row.
        epochs: Passes over the training split; the last one is kept.
        batch_size: Examples per step; the student's unless given.
        learning_rate: At the first step, with linear decay. The thesis prints none; ours is that of its fine-tuning.
        max_length: Word pieces per example; the student's unless given.
        train_limit: As in :class:`~trainables.stages.FineTune`; the student's unless given.
        weight_decay: Of AdamW; none on biases and norms.
        clip_norm: Largest gradient norm.
        seed: Of order, dropout and random teachers.
    """

    student: Stage
    teacher_outputs: tuple[TeacherOutputs, ...]
    strategy: str = "expertise"
    alpha: float = 0.5
    temperature: float = 1.0
    teacher_loss: float = 0.0
    expertise_split: str = EXPERTISE_SPLITS[0]
    epochs: int = 7
    batch_size: int | None = None
    learning_rate: float = 5e-5
    max_length: int | None = None
    train_limit: int | None = None
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    seed: int = 0

    implementation: ClassVar[str] = "trainables.multi_teacher:run"

    def __post_init__(self) -> None:
        """Fills in what is the student's, so that naming it or not makes no difference to the key."""
        rules.fill(self, self.student, "batch_size", "max_length", "train_limit")
        super().__post_init__()

    @property
    def task(self) -> str:
        """The task that teachers and student solve."""
        return str(self.teacher_outputs[0].task)

    @property
    def data(self) -> str:
        """Source of the task's examples."""
        return str(self.teacher_outputs[0].data)

    @property
    def teachers(self) -> tuple[Stage, ...]:
        """Who is distilled from."""
        return tuple(outputs.teacher for outputs in self.teacher_outputs)

    def check(self) -> None:
        """Refuses values out of range, fewer than two teachers or one twice, and teachers or students that don't fit.

        These are those of other labels, and those that other folds or sources of the task were trained on.
        """
        rules.at_least(self, 1, "epochs", "batch_size", "train_limit")
        rules.at_least(self, rules.SHORTEST, "max_length")
        rules.at_least(self, 0, "weight_decay", "teacher_loss")
        rules.positive(self, "learning_rate", "clip_norm", "temperature")
        rules.share(self, "alpha")
        rules.one_of(self, "strategy", STRATEGIES)
        rules.one_of(self, "expertise_split", EXPERTISE_SPLITS)
        if self.strategy not in BY_EXPERTISE:
            object.__setattr__(self, "expertise_split", EXPERTISE_SPLITS[0])
        self._check_teachers_differ()
        if tasks.get(self.task).multi_label:
            single = [name for name, task in tasks.TASKS.items() if not task.multi_label]
            raise UserError(
                f"MultiTeacherDistillation.task={self.task!r} has several labels per example; its strategies are for "
                f"tasks with one ({', '.join(single)})"
            )
        for outputs in self.teacher_outputs:
            if (outputs.task, outputs.data) != (self.task, self.data):
                raise UserError(
                    f"MultiTeacherDistillation.teacher_outputs are of {outputs.task} from {outputs.data!r} and of "
                    f"{self.task} from {self.data!r}; give outputs on one task"
                )
            rules.same_labels(self, getattr(outputs.teacher, "task", ""), self.task)
            rules.same_division(self, outputs, self.data)
            rules.has_outputs(self, outputs, "train", self.expertise_split)
            rules.within_outputs(self, outputs.train_limit)
        rules.student_solves(self, self.student, self.task, self.data)

    def _check_teachers_differ(self) -> None:
        """Refuses fewer than two teachers, and one that is there twice, whatever else its outputs were asked for."""
        different = set(self.teachers)
        if len(different) < 2:
            raise UserError(
                f"MultiTeacherDistillation.teacher_outputs are of {len(different)} teachers; give two different ones "
                "at least"
            )
        for place, teacher in enumerate(self.teachers):
            first = self.teachers.index(teacher)
            if first < place:
                raise UserError(
                    f"MultiTeacherDistillation.teacher_outputs {first + 1} and {place + 1} are of one teacher, "
                    f"{teacher.label()}; give each teacher once"
                )

    def fingerprints(self) -> dict[str, str]:
        """Hash of the task's three splits."""
        return {"data": sources.fingerprint(self.data, self.task)}

    def label(self) -> str:
        """Strategy, task, seed and all models."""
        teachers = " + ".join(start_of(teacher).label() for teacher in self.teachers)
        return f"{self.strategy} {self.task} seed {self.seed} ({teachers} -> {start_of(self.student).label()})"[:79]
