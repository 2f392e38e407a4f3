"""What a search consists of: phases, each an Optuna study over some hyperparameters.

A trial is a recipe for each seed or, where a phase has ``others``, several: one pretraining and what is fine-tuned from
it, say. Its value is made of the dev scores of all of them.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.recipe import Recipe
from search_spaces.space import Space

#: Makes the recipe of hyperparameters and a seed; further labels of its row come as keywords.
Make = Callable[..., Recipe]

SAMPLERS = ("tpe", "random", "grid", "gp")
PRUNERS = ("asha", "none")

#: Makes a trial's value of its dev scores in percent, one per task: the mean over seeds.
Summary = Callable[[Mapping[str, float]], float]


@dataclasses.dataclass(frozen=True)
class Watch:
    """What a trial may be stopped early by: a metric that its deciding stage reports on the way.

    Attributes:
        metric: As reported: ``dev/micro_f1``, ``dev/loss``.
        factor: It is multiplied with this, so that more is better: 100 for a fraction, -1 for a loss.
        title: What people read at its axis.
        step: What is counted.
    """

    metric: str
    factor: float = 100.0
    title: str = "dev score (%)"
    step: str = "epoch of refinement"


@dataclasses.dataclass(frozen=True)
class Phase:
    """One study of a search.

    Attributes:
        name: ``joint``, or what is searched (``teacher``).
        space: The hyperparameters that it chooses.
        make: Makes a trial's recipe for one seed of these and the ones that the phases before it chose.
        after: Names of the phases that must have ended before it begins; what they chose is fixed in it.
        picks: Hyperparameters that are tried first.
        others: Make the other recipes of a trial for a seed, where it has more than one.
    """

    name: str
    space: Space
    make: Make
    after: tuple[str, ...] = ()
    picks: tuple[Mapping[str, Any], ...] = ()
    others: tuple[Make, ...] = ()

    def recipes(self, chosen: Mapping[str, Any], seed: int, **labels: Any) -> list[Recipe]:
        """A trial's recipes for one seed, that of :attr:`make` first."""
        return [make(chosen, seed, **labels) for make in (self.make, *self.others)]


@dataclasses.dataclass(frozen=True)
class Search:
    """A search.

    Attributes:
        name: Of its studies, each phase's name is added.
        phases: In the order in which they run.
        trials: Per phase; of a finite space at most as many as it has combinations.
        seeds: The objective is the mean dev score over them.
        metric: Of the dev score.
        metrics: The same of tasks that have another one.
        summary: Makes a trial's value of its mean dev scores by task; their mean unless given.
        watch: What trials are stopped early by; the dev score unless given.
        folds: Of the task; 1 where it is not cross-validated.
        sampler: One of :data:`SAMPLERS`.
        pruner: One of :data:`PRUNERS`.
        sampler_seed: Of the sampler.
        identity: What makes scores comparable: task, models, data, settings. A study is continued only with the same.
    """

    name: str
    phases: tuple[Phase, ...]
    trials: int
    seeds: tuple[int, ...]
    metric: str
    folds: int = 1
    sampler: str = "tpe"
    pruner: str = "asha"
    sampler_seed: int = 0
    identity: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metrics: Mapping[str, str] = dataclasses.field(default_factory=dict)
    summary: Summary | None = None
    watch: Watch | None = None

    @property
    def watched(self) -> Watch:
        """What trials are stopped early by."""
        return self.watch or Watch(f"dev/{self.metric}")

    def dev_metric(self, task: str) -> str:
        """The dev metric of a task's recipes, as results name it."""
        return f"dev/{self.metrics.get(task, self.metric)}"

    def value(self, scores: Sequence[tuple[str, float]]) -> float:
        """A trial's value.

        Args:
            scores: Task and dev score in percent of each of its recipes.
        """
        by_task: dict[str, list[float]] = {}
        for task, score in scores:
            by_task.setdefault(task, []).append(score)
        means = {task: statistics.fmean(each) for task, each in by_task.items()}
        return statistics.fmean(means.values()) if self.summary is None else self.summary(means)
