"""Optuna studies in memory whose trials end as they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

RATES = CategoricalDistribution((6e-6, 8e-6, 1e-5))
BETAS = CategoricalDistribution((0.0, 0.3, 0.5, 0.7))
WIDE_RATE = FloatDistribution(1e-6, 1e-4, log=True)
SPACE: dict[str, BaseDistribution] = {"learning_rate": RATES, "beta2": BETAS}


def study(name: str = "doktra-gad-joint") -> optuna.Study:
    return optuna.create_study(study_name=name, direction="maximize")


def add(
    to: optuna.Study,
    value: float | None,
    params: Mapping[str, Any],
    *,
    state: str = "COMPLETE",
    space: Mapping[str, BaseDistribution] = SPACE,
    reports: Sequence[float] = (),
) -> None:
    """Adds a trial with these hyperparameters that ended so."""
    to.add_trial(
        create_trial(
            state=TrialState[state],
            value=value,
            params=dict(params),
            distributions={name: space[name] for name in params},
            intermediate_values=dict(enumerate(reports, 1)),
        )
    )


def mixed(name: str = "doktra-gad-joint") -> optuna.Study:
    """Three complete trials, one pruned, one failed."""
    made = study(name)
    add(made, 78.0, {"learning_rate": 6e-6, "beta2": 0.0}, reports=[70.0, 77.0])
    add(made, None, {"learning_rate": 8e-6, "beta2": 0.3}, state="PRUNED", reports=[61.0])
    add(made, 79.02, {"learning_rate": 1e-5, "beta2": 0.7}, reports=[71.0, 78.5])
    add(made, None, {"learning_rate": 6e-6, "beta2": 0.5}, state="FAIL")
    add(made, 79.02, {"learning_rate": 1e-5, "beta2": 0.5}, reports=[72.0, 78.0])
    return made
