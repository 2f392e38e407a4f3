"""Stages that train on a task's labels, and the mean over folds of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from trainables.data import sources, tasks
from trainables.errors import UserError
from trainables.expression import LOCATED, Stage
from trainables.stages import rules


@dataclass(frozen=True)
class FineTune(Stage):
    """Fine-tuning on a task: the encoder is carried over from ``init``, the head is new.

    Attributes:
        task: Name in :mod:`trainables.data.tasks`.
        init: The model to start from.
        data: Source of the examples; see :mod:`trainables.data.sources`.
        epochs: Passes over the training split; the last epoch is kept. None where ``steps`` are given.
        steps: Steps of training, whatever the size of the training split; instead of ``epochs``.
        batch_size: Examples per step.
        learning_rate: Peak of the linear schedule.
        max_length: Word pieces per example; longer token sequences are read in windows.
        warmup_steps: Steps of linear warm-up.
        warmup_ratio: Warm-up as a share of all steps; used where ``warmup_steps`` is 0.
        train_limit: Train on this many examples, chosen at random but alike for every seed.
        weight_decay: Of AdamW; none on biases and norms.
        clip_norm: Largest gradient norm.
        seed: Of the head, order and dropout.
        confidence_penalty: Weight of the negative entropy in the loss (DoKTra's beta, eq. 2); 0 is plain fine-tuning.
    """

    task: str
    init: Stage
    data: str = field(metadata=LOCATED)
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    max_length: int | None = None
    warmup_steps: int | None = None
    warmup_ratio: float | None = None
    train_limit: int | None = None
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    seed: int = 0
    confidence_penalty: float = 0.0
    steps: int | None = None

    implementation: ClassVar[str] = "trainables.finetune:run"

    def __post_init__(self) -> None:
        """Fills in the published settings, so that naming them or not makes no difference to the key."""
        tasks.fold_of(self.task)  # refuses a mean over folds
        if self.steps is not None and self.epochs is not None:
            raise UserError(f"FineTune has epochs={self.epochs} and steps={self.steps}; give one of both")
        published = asdict(sources.settings(self.data, tasks.get(self.task)))
        if self.steps is not None:
            del published["epochs"]
        for name, value in published.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        super().__post_init__()

    def check(self) -> None:
        """Refuses values out of range and an input without weights."""
        rules.at_least(self, 1, "epochs", "steps", "batch_size", "train_limit")
        rules.at_least(self, rules.SHORTEST, "max_length")
        rules.at_least(self, 0, "warmup_steps", "weight_decay", "confidence_penalty")
        rules.positive(self, "learning_rate", "clip_norm")
        rules.share(self, "warmup_ratio")
        rules.starts_from_model(self, self.init)

    def fingerprints(self) -> dict[str, str]:
        """Hash of the task's three splits."""
        return {"data": sources.fingerprint(self.data, self.task)}

    def label(self) -> str:
        """Task, what it starts from where that is another task, seed, and the model at the beginning."""
        start = f" <- {self.init.task}" if isinstance(self.init, FineTune) else ""
        penalty = f" penalty {self.confidence_penalty:g}" if self.confidence_penalty else ""
        return f"{self.task}{start}{penalty} seed {self.seed} ({start_of(self).label()})"


@dataclass(frozen=True)
class CrossValidation(Stage):
    """The mean over folds of one recipe; its metrics are the means of theirs.

    Attributes:
        folds: The same recipe on each fold of a task (``gad@1/10``, ``gad@2/10``, ...).
    """

    folds: tuple[Stage, ...]

    implementation: ClassVar[str] = "trainables.cross_validation:run"
    makes_model: ClassVar[bool] = False

    @property
    def task(self) -> str:
        """The task with the number of its folds, as ``gad@10``."""
        task: str = self.folds[0].task  # type: ignore[attr-defined]  # checked
        return tasks.whole(task)

    @property
    def unkeyed(self) -> dict[str, Any]:
        """Those of the recipe, which is the same on each fold."""
        return self.folds[0].unkeyed

    @property
    def starts_from(self) -> tuple[Stage, ...]:
        """Nothing: it reads results."""
        return ()

    def check(self) -> None:
        """Refuses anything but every fold of one task, each once."""
        names = [str(getattr(fold, "task", None)) for fold in self.folds]
        if len(names) < 2 or sorted(names) != sorted(tasks.folds(tasks.whole(names[0]))):
            raise UserError(
                f"CrossValidation.folds are of {', '.join(names) or 'nothing'}; give each fold of a task once"
            )

    def label(self) -> str:
        """What it is the mean of."""
        return f"mean of {len(self.folds)} folds: {self.folds[0].label()}"[:79]


def start_of(stage: Stage) -> Stage:
    """The model at the beginning of a chain of stages that train on tasks."""
    while isinstance(stage, FineTune) or hasattr(stage, "student"):
        stage = stage.init if isinstance(stage, FineTune) else stage.student
    return stage
