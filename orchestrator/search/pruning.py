"""Which trials a trial is compared with when it may be stopped early: those of the same schedule.

A learning rate that decays makes the epochs of two schedules unlike: the first epoch of refinement is the last one of
the training for a trial that distils long, with next to no learning rate left, and comes early for one that distils
briefly. Were they compared, whatever scores sooner would win, and long refinement would always be stopped.

Of two or three trials ASHA lets but the best go on. So it decides only where there are as many comparable ones as it
would let one of go on: the first few of a schedule are not stopped for being a little worse than each other.
"""

from __future__ import annotations

from typing import Any

import optuna
from optuna.trial import FrozenTrial


class AmongLike(optuna.pruners.BasePruner):
    """Another pruner, shown only the trials whose schedule is that of the trial in question.

    Args:
        pruner: Decides.
        attribute: The user attribute of a trial that names its schedule.
        least: Trials of a schedule that must have come as far before one of them is stopped.
    """

    def __init__(self, pruner: optuna.pruners.BasePruner, attribute: str, least: int = 1) -> None:
        self._pruner = pruner
        self._attribute = attribute
        self._least = least

    def prune(self, study: optuna.study.Study, trial: FrozenTrial) -> bool:
        """See :class:`optuna.pruners.BasePruner`."""
        like: Any = _Like(study, self._attribute, trial.user_attrs.get(self._attribute))
        pruned: bool = self._pruner.prune(like, trial)  # asked in any case: it thereby learns of the value
        as_far = sum(one.last_step is not None and one.last_step >= (trial.last_step or 0) for one in like.get_trials())
        return pruned and as_far >= self._least


class _Like:
    """A study that seems to have only the trials of one schedule."""

    def __init__(self, study: optuna.study.Study, attribute: str, schedule: object) -> None:
        self._study = study
        self._attribute = attribute
        self._schedule = schedule

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(self, *arguments: Any, **named: Any) -> list[FrozenTrial]:
        found: list[FrozenTrial] = self._study.get_trials(*arguments, **named)
        return [trial for trial in found if trial.user_attrs.get(self._attribute) == self._schedule]
