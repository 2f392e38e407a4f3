"""How fast finished models are: facts about a machine, not scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainables.data import sources, tasks
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.stages import rules
from trainables.stages.finetuning import FineTune


@dataclass(frozen=True)
class InferenceSpeed(Stage):
    """How fast a fine-tuned model reads its task's test split, beside another one in the same process.

    Its metrics are the model's own, so they depend on the key alone as any stage's. The speeds are measured where and
    when it is run, and lie with its cost: both models take turns, so that what else the machine does slows both down,
    and the ratio of each turn is that of the two. It is measured once; for another device use another storage.

    Attributes:
        model: A fine-tuned model.
        baseline: What it is compared with, fine-tuned on the same task.
        examples: Of the test split at most, chosen at random.
        rounds: Turns of each; before them is one that does not count.
    """

    model: FineTune
    baseline: FineTune
    examples: int = 1_000
    rounds: int = 5

    implementation: ClassVar[str] = "trainables.inference_speed:run"
    makes_model: ClassVar[bool] = False

    @property
    def task(self) -> str:
        """The task that both solve."""
        return self.model.task

    @property
    def data(self) -> str:
        """Source of the examples."""
        return self.model.data

    def check(self) -> None:
        """Refuses values out of range, and models of two tasks."""
        rules.at_least(self, 1, "examples", "rounds")
        if self.baseline.task != self.model.task:
            raise UserError(
                f"InferenceSpeed.baseline solves {self.baseline.task}, its model {self.model.task}; give a baseline "
                f"that is fine-tuned on {self.model.task}"
            )

    def fingerprints(self) -> dict[str, str]:
        """Hash of the task's three splits."""
        return {"data": sources.fingerprint(self.data, self.task)}

    def label(self) -> str:
        """What is measured."""
        return f"speed of {self.model.label()} on {tasks.get(self.task).title}"[:79]
