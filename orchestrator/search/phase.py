"""What a search consists of: phases, each an Optuna study over some hyperparameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.recipe import Recipe
from search_spaces.space import Space

#: Makes the recipe of hyperparameters and a seed; further labels of its row come as keywords.
Make = Callable[..., Recipe]

SAMPLERS = ("tpe", "random", "grid", "gp")
PRUNERS = ("asha", "none")


@dataclasses.dataclass(frozen=True)
class Phase:
    """One study of a search.

    Attributes:
        name: ``joint``, or what is searched (``teacher``).
        space: The hyperparameters that it chooses.
        make: Makes a trial's recipe for one seed of these and the ones that the phases before it chose.
        after: Names of the phases that must have ended before it begins; what they chose is fixed in it.
        picks: Hyperparameters that are tried first.
    """

    name: str
    space: Space
    make: Make
    after: tuple[str, ...] = ()
    picks: tuple[Mapping[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True)
class Search:
    """A search.

    Attributes:
        name: Of its studies, each phase's name is added.
        phases: In the order in which they run.
        trials: Per phase; of a finite space at most as many as it has combinations.
        seeds: The objective is the mean dev score over them.
        metric: Of the dev score.
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
