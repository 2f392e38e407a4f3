"""Which of Optuna's plots a search's trials allow, and what both their renderings have in common."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.search import report
from orchestrator.search.study import WATCHED

if TYPE_CHECKING:
    from optuna.study import Study

OBJECTIVE = "mean dev score (%)"
IN_A_ROW = 5  # hyperparameters in one row of slices; more cannot be read
LEGIBLE = 12  # curves that a legend can tell apart


@dataclasses.dataclass(frozen=True)
class Plot:
    """One of Optuna's plots.

    Attributes:
        name: Of the function in ``optuna.visualization``, without ``plot_``.
        title: What people read above it.
        arguments: For that function, besides the study.
    """

    name: str
    title: str
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def params(self) -> tuple[str, ...]:
        """The hyperparameters that it is about, where it was told."""
        return tuple(self.arguments.get("params", ()))


def planned(study: Study) -> tuple[list[Plot], list[str]]:
    """Which plots a study's trials allow.

    Returns:
        The plots, and a sentence for each thing that is left out.
    """
    trials = report.finished(study)
    plots, notes = [], []
    varying, constant = _varying(trials)
    if trials:
        plots.append(Plot("optimization_history", "Every trial, and the best so far", {"target_name": OBJECTIVE}))
    else:
        notes.append("No trial is complete yet, so there is nothing to plot but what running trials reported.")
    if len(trials) == 1:
        notes.append("One trial is complete; two different ones are needed to compare hyperparameters.")
    if len(trials) > 1 and constant:
        notes.append("The same in every complete trial, and left out: " + report.settings(constant) + ".")
    if varying:
        if len({trial.value for trial in trials}) > 1:
            plots.append(Plot("param_importances", "How much each hyperparameter matters", {"params": varying}))
        else:
            notes.append("Every complete trial has the same score, so no hyperparameter can be said to matter.")
        arguments = {"target_name": OBJECTIVE}
        for start in range(0, len(varying), IN_A_ROW):
            some = {"params": varying[start : start + IN_A_ROW], **arguments}
            plots.append(Plot("slice", "Score by each hyperparameter" if not start else "", some))
        every = {"params": varying, **arguments}
        plots.append(Plot("parallel_coordinate", "Every trial as a line through its hyperparameters", every))
    if any(trial.intermediate_values for trial in study.get_trials(deepcopy=False)):
        name, step = watched(study)
        title = f"{name.partition(' (')[0]} by {step}, pruned trials too"
        plots.append(Plot("intermediate_values", title[0].upper() + title[1:]))
    return plots, notes


def watched(study: Study) -> tuple[str, str]:
    """What trials of a study are stopped early by, and what its steps are."""
    title, step = study.user_attrs.get(WATCHED, ("dev score (%)", "epoch of refinement"))
    return str(title), str(step)


def _varying(trials: Sequence[Any]) -> tuple[list[str], dict[str, object]]:
    """The names of hyperparameters that differ between trials, and the values of those that do not."""
    values: dict[str, set[Any]] = {}
    for trial in trials:
        for name, value in trial.params.items():
            values.setdefault(name, set()).add(value)
    varying = [name for name, seen in values.items() if len(seen) > 1]
    return varying, {name: next(iter(seen)) for name, seen in values.items() if len(seen) == 1}


def is_continuous_rate(study: Study, name: str) -> bool:
    """Whether a hyperparameter is a learning rate from a range; those from a set are drawn at equal distances."""
    from optuna.distributions import FloatDistribution

    if not name.endswith("learning_rate"):
        return False
    return all(isinstance(trial.distributions.get(name), FloatDistribution) for trial in report.finished(study))


def values(study: Study, name: str) -> list[float]:
    """A numeric hyperparameter in every complete trial that has it."""
    return [trial.params[name] for trial in report.finished(study) if name in trial.params]


def ticks(rates: Sequence[float]) -> list[float]:
    """Where a logarithmic axis of learning rates is labelled: at a few values themselves, else at 1, 3, 10, ..."""
    distinct = sorted(set(rates))
    if len(distinct) <= IN_A_ROW:
        return distinct
    decades = range(math.floor(math.log10(distinct[0])), math.ceil(math.log10(distinct[-1])) + 1)
    steps = [factor * 10.0**power for power in decades for factor in (1, 3)]
    inside = [step for step in steps if distinct[0] <= step <= distinct[-1]]
    return inside if len(inside) > 1 else [distinct[0], distinct[-1]]
