"""Multi-teacher distillation's expressions: every set of teachers, by every strategy, into every student."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.recipe import Recipe, over_folds
from trainables.expression import Stage
from trainables.stages import FineTune, MultiTeacherDistillation, TeacherOutputs


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What all recipes of a sweep have in common.

    Attributes:
        task: Key of the task; ``gad@10`` is cross-validated over ten folds.
        fine_tuning: Fields of every :class:`FineTune`, its data among them.
        distilling: Fields of every :class:`MultiTeacherDistillation` but its strategy.
    """

    task: str
    fine_tuning: Mapping[str, Any]
    distilling: Mapping[str, Any]

    def fine_tuned(self, name: str, model: Stage, seed: int) -> Recipe:
        """The row of a teacher or of a student before distillation."""
        stage = over_folds(self.task, lambda task: self._fine_tune(task, model, seed))
        return Recipe(stage, "finetune", name, self.task, seed)

    def distilled(self, teachers: Mapping[str, Stage], student: tuple[str, Stage], strategy: str, seed: int) -> Recipe:
        """The row of a student that several teachers were distilled into; its method is the strategy."""

        def make(task: str) -> Stage:
            return MultiTeacherDistillation(
                self._fine_tune(task, student[1], seed),
                tuple(TeacherOutputs(self._fine_tune(task, model, seed)) for model in teachers.values()),
                strategy=strategy,
                seed=seed,
                **self.distilling,
            )

        return Recipe(over_folds(self.task, make), strategy, student[0], self.task, seed, teachers=tuple(teachers))

    def _fine_tune(self, task: str, model: Stage, seed: int) -> FineTune:
        return FineTune(task, model, seed=seed, **self.fine_tuning)


def subsets(teachers: Mapping[str, Stage], smallest: int) -> Iterator[dict[str, Stage]]:
    """Every subset of so many teachers or more, the largest first; teachers keep their order."""
    for size in range(len(teachers), smallest - 1, -1):
        for names in itertools.combinations(teachers, size):
            yield {name: teachers[name] for name in names}


def recipes(
    experiment: Experiment,
    teachers: Mapping[str, Stage],
    students: Mapping[str, Stage],
    strategies: Sequence[str],
    smallest: int,
    seeds: Sequence[int],
) -> list[Recipe]:
    """The sweep: teachers and students by themselves, and every set of teachers in every student.

    Args:
        experiment: What all have in common.
        teachers: Models by name.
        students: Models by name.
        strategies: Of distillation.
        smallest: Size of the smallest set of teachers.
        seeds: One of each for each.
    """
    alone = dict(teachers) | dict(students)
    found = [experiment.fine_tuned(name, model, seed) for seed in seeds for name, model in alone.items()]
    for seed, student, some, strategy in itertools.product(
        seeds, students.items(), list(subsets(teachers, smallest)), strategies
    ):
        found.append(experiment.distilled(some, student, strategy, seed))
    return found
