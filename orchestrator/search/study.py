"""One phase's Optuna study: opened or continued, asked for trials, told of results."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from orchestrator.search.phase import Phase, Search
from trainables.errors import UserError

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, Trial

#: Hyperparameters by name, in the space's order.
Point: TypeAlias = tuple[tuple[str, Any], ...]

_IDENTITY = "search"
#: Of a study whose trials are stopped early by something else than the dev score: what, and by which steps.
WATCHED = "watched"
_SCHEDULE = "schedule"  # of a trial: only those of the same one are compared on the way
_NOT_BEGUN = "not_begun"  # of a trial that failed since what it starts from had failed before
_GIVEN_UP = "given_up"  # at which step, of a trial that is to be stopped early
#: Trials that must have come to their end before any is stopped early, and the share that ASHA lets go on.
PRUNING_BEGINS = 4
REDUCTION = 3


class PhaseStudy:
    """The study of a phase.

    Args:
        search: The whole search.
        phase: The phase.
        fixed: What the phases before it chose.
        storage: Optuna's.

    Attributes:
        study: Optuna's study.
        target: How many trials are wanted in all.

    Raises:
        UserError: Where the study was begun with something else that its scores depend on.
    """

    def __init__(
        self, search: Search, phase: Phase, fixed: Mapping[str, Any], storage: optuna.storages.BaseStorage
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.phase = phase
        self.fixed = dict(fixed)
        self._search = search
        self.name = study_name(search, phase, fixed)
        self.study = optuna.create_study(
            storage=storage,
            study_name=self.name,
            direction="maximize",
            load_if_exists=True,
            pruner=_pruner(search.pruner),
        )
        self._check_identity()
        if search.watch is not None:  # for whoever shows the study, who knows nothing of the search
            self.study.set_user_attr(WATCHED, [search.watch.title, search.watch.step])
        size = phase.space.size
        self.target = search.trials if size is None else min(search.trials, size)
        self._failed_here: set[int] = set()
        self._blocked_here: set[int] = set()  # of these, those that could not even be begun
        self._points: dict[int, Point] = {}  # of trials that have ended, by number

    # --- asking ----------------------------------------------------------------------------------------------

    def trials(self, *states: str) -> list[FrozenTrial]:
        """Its trials in some states (``RUNNING``, ``COMPLETE``, ``PRUNED``, ``FAIL``), or all, by number."""
        from optuna.trial import TrialState

        wanted = tuple(TrialState[state] for state in states) or None
        found: list[FrozenTrial] = self.study.get_trials(deepcopy=False, states=wanted)
        return found

    @property
    def ended(self) -> int:
        """Trials that need not be run any more; one that failed in an earlier run is tried again.

        Of a finite space, its combinations: a repeat is no trial more, since its score is known. As a sampler may
        come to see nothing else that is worth a try, thrice as many trials as are wanted end a search all the same.
        Trials that could not be begun, since something that they start from had failed before, tell nothing and take
        no time: they do not count until there are as many of them as trials are wanted.
        """
        size = self.phase.space.size
        if size is not None and len(self.trials()) < 3 * self.target:
            tried = self._tried("COMPLETE", "PRUNED")
            return len(tried) if len(tried) >= size else len(tried - self._uncounted())
        return len(self.trials("COMPLETE", "PRUNED")) + len(self._failed_here) - len(self._uncounted_trials())

    @property
    def best(self) -> FrozenTrial | None:
        """The complete trial with the highest value, the first of equals; None where there is none."""
        complete = self.trials("COMPLETE")
        return max(complete, key=lambda trial: (trial.value, -trial.number)) if complete else None

    def chosen(self, trial: FrozenTrial) -> dict[str, Any]:
        """All hyperparameters of a trial, those of the phases before it among them."""
        return {**self.fixed, **self.phase.space.check_params(trial.params)}

    def adopted(self) -> list[Trial]:
        """The trials that a driver before this one left under way."""
        import optuna

        return [optuna.trial.Trial(self.study, trial._trial_id) for trial in self.trials("RUNNING")]

    def begin(self) -> None:
        """Queues what is to be tried first: the phase's picks, and what failed in an earlier run.

        Not what could not even be begun then: others were tried in its place.
        """
        for pick in self.phase.picks:
            self.study.enqueue_trial(dict(self.phase.space.check_params(pick)), skip_if_exists=True)
        others = [trial.params for trial in self.trials("COMPLETE", "PRUNED", "RUNNING")]
        queued = [trial.system_attrs.get("fixed_params") for trial in self.trials("WAITING")]
        for trial in self.trials("FAIL"):
            begun = _NOT_BEGUN not in trial.user_attrs
            if begun and trial.params and trial.params not in others and trial.params not in queued:
                self.study.enqueue_trial(trial.params, user_attrs={"retry_of": trial.number})
                queued.append(trial.params)

    def ask(self) -> Trial:
        """The next trial, its hyperparameters not yet chosen; see :meth:`suggest`."""
        if self._walks_grid() and not self.trials("WAITING"):
            self.study.enqueue_trial(self._next_combination())
        return self.study.ask()

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """A trial's hyperparameters, those of the phases before among them.

        The sampler's chance depends on the number of the trial alone, so that a search that was interrupted goes on
        as it would have gone on (given the same results by then); with random and TPE even in the middle of a choice.
        """
        sampler = self.study.sampler = _sampler(self._search.sampler, self._search.sampler_seed, trial.number)
        frozen = self.study._storage.get_trial(trial._trial_id)
        drawn = frozen.params.keys() - frozen.system_attrs.get("fixed_params", {}).keys() - trial.relative_params.keys()
        for name, distribution in self.phase.space.distributions().items():
            if name in drawn and not distribution.single():  # by a driver that was killed: the others come after it
                sampler.sample_independent(self.study, frozen, name, distribution)
        return {**self.fixed, **self.phase.space.suggest(trial)}

    def known(self, trial: Trial) -> FrozenTrial | None:
        """An earlier trial with the same hyperparameters that was stopped early: its fate is this one's, too."""
        same = [one for one in self.trials("PRUNED") if one.params == trial.params]
        return same[0] if same else None

    # --- telling ---------------------------------------------------------------------------------------------

    def report(self, trial: Trial, value: float, step: int, schedule: str = "") -> bool:
        """Notes an intermediate value; one of a step that has one already is ignored.

        A stage that goes on from a checkpoint tells of the epochs before it again. Of the last one that is known the
        pruner is asked all the same: the driver before may have been killed between noting it and asking. Whoever was
        asked about it then is not asked twice, since it notes itself which values it has judged.

        Args:
            trial: Whose.
            value: Dev score in percent.
            step: Comparable epochs so far.
            schedule: Only trials of the same one are compared.

        Returns:
            Whether the trial should be stopped early.
        """
        frozen = self.study._storage.get_trial(trial._trial_id)
        known = step in frozen.intermediate_values
        if known and step != frozen.last_step:
            return False
        if frozen.user_attrs.get(_SCHEDULE) != schedule:
            trial.set_user_attr(_SCHEDULE, schedule)
        if not known:
            trial.report(value, step)
        # Asked even where the answer does not count: the pruner thereby learns of the value.
        prune = trial.should_prune()
        return prune and len(self.trials("COMPLETE")) >= PRUNING_BEGINS

    def give_up(self, trial: Trial) -> None:
        """Notes that a trial is to be stopped early: its pruner answers but once."""
        if not self.given_up(trial):
            trial.set_user_attr(_GIVEN_UP, trial.study._storage.get_trial(trial._trial_id).last_step)

    def given_up(self, trial: Trial) -> bool:
        """Whether a trial is to be stopped early, in this run or since one before."""
        return _GIVEN_UP in trial.user_attrs

    def complete(self, trial: Trial, value: float) -> None:
        """A trial came to its end with a value; one that is no number makes it a failure."""
        if not math.isfinite(value):
            self.fail(trial, f"its mean dev score is {value}")
            return
        self.study.tell(trial.number, value, skip_if_finished=True)

    def prune(self, trial: Trial) -> None:
        """A trial was stopped early."""
        from optuna.trial import TrialState

        self.study.tell(trial.number, state=TrialState.PRUNED, skip_if_finished=True)

    def fail(self, trial: Trial, why: str, begun: bool = True) -> None:
        """A trial could not be run.

        Args:
            trial: Which one.
            why: What went wrong.
            begun: Whether something of it was tried; else it only needed what had failed already.
        """
        from optuna.trial import TrialState

        trial.set_user_attr("error", why)
        if not begun:
            trial.set_user_attr(_NOT_BEGUN, True)
            self._blocked_here.add(trial.number)
        self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
        self._failed_here.add(trial.number)

    # --- inside ----------------------------------------------------------------------------------------------

    def _walks_grid(self) -> bool:
        """Whether combinations are tried one after the other: by wish, or since all of them will be tried anyway."""
        size = self.phase.space.size
        return self._search.sampler == "grid" or (size is not None and self._search.trials >= size)

    @functools.cached_property
    def _combinations(self) -> list[dict[str, Any]]:
        """All combinations of a finite space, in an order of the sampler's seed."""
        found = list(self.phase.space.combinations())
        random.Random(f"grid {self._search.sampler_seed}").shuffle(found)
        return found

    def _next_combination(self) -> dict[str, Any]:
        tried = self._tried("COMPLETE", "PRUNED", "RUNNING")
        return next((one for one in self._combinations if tuple(one.items()) not in tried), self._combinations[0])

    def _tried(self, *states: str) -> set[Point]:
        """The hyperparameters of trials in some states, and of those that failed in this run."""
        failed = [trial for trial in self.trials("FAIL") if trial.number in self._failed_here]
        return {self._point(trial) for trial in [*self.trials(*states), *failed]}

    def _point(self, trial: FrozenTrial) -> Point:
        """A trial's hyperparameters as the space gives them; as they are where it was killed while it chose them."""
        if trial.number in self._points:
            return self._points[trial.number]
        inside = self.phase.space.contains(trial.params)
        point = tuple((self.phase.space.check_params(trial.params) if inside else trial.params).items())
        if trial.state.is_finished():
            self._points[trial.number] = point
        return point

    def _uncounted_trials(self) -> set[int]:
        return self._blocked_here if len(self._blocked_here) < self.target else set()

    def _uncounted(self) -> set[Point]:
        numbers = self._uncounted_trials()
        return {self._point(trial) for trial in self.trials("FAIL") if trial.number in numbers}

    def _check_identity(self) -> None:
        identity = {
            **self._search.identity,
            "seeds": list(self._search.seeds),
            "space": self.phase.space.describe(),
            "fixed": dict(self.fixed),
        }
        before = self.study.user_attrs.get(_IDENTITY)
        if before is None:
            self.study.set_user_attr(_IDENTITY, identity)
            return
        for name in sorted(identity.keys() | before.keys()):
            if before.get(name) != _as_stored(identity.get(name)):
                raise UserError(
                    f"study {self.name!r} was begun with {name}={before.get(name)!r}, now it is "
                    f"{identity.get(name)!r}; scores of both cannot be compared: give another --sweep, or what it was "
                    "begun with"
                )


def _as_stored(value: Any) -> Any:
    return json.loads(json.dumps(value))


def study_name(search: Search, phase: Phase, fixed: Mapping[str, Any]) -> str:
    """Of the study; where phases before it chose something, that is part of the name."""
    if not fixed:
        return f"{search.name}.{phase.name}"
    digest = hashlib.sha256(json.dumps(dict(fixed), sort_keys=True).encode()).hexdigest()
    return f"{search.name}.{phase.name}.{digest[:6]}"


def _sampler(name: str, seed: int, number: int) -> optuna.samplers.BaseSampler:
    import warnings

    import optuna

    drawn = int.from_bytes(hashlib.sha256(f"{seed}/{number}".encode()).digest()[:4], "big")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "gp":
            return optuna.samplers.GPSampler(seed=drawn)
        if name == "tpe":
            return optuna.samplers.TPESampler(seed=drawn)
        return optuna.samplers.RandomSampler(seed=drawn)


def _pruner(name: str) -> optuna.pruners.BasePruner:
    import optuna

    if name == "none":
        return optuna.pruners.NopPruner()
    from orchestrator.search.pruning import AmongLike

    halving = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)
    return AmongLike(halving, _SCHEDULE, least=REDUCTION)
