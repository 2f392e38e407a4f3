"""A phase's study: who may continue it, which trials it asks for, and when it stops one early."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import optuna
import pytest

from orchestrator.search.phase import Phase, Search
from orchestrator.search.study import PRUNING_BEGINS, PhaseStudy
from search_spaces.doktra import PARAMETERS
from search_spaces.space import Choices, Range, Space
from trainables.errors import UserError

SMALL = Space("small", {"beta2": Choices((0.0, 0.3, 0.5)), "gamma": Choices((0.6, 0.9))}, PARAMETERS)
WIDE = Space("wide", {"beta2": Range(0.0, 1.0), "gamma": Range(0.3, 0.9), "epochs": Choices((10,))}, PARAMETERS)
STEPPED = Space("stepped", {"beta2": Range(0.0, 0.4, step=0.1), "gamma": Choices((0.7,))}, PARAMETERS)


@pytest.fixture
def storage() -> optuna.storages.BaseStorage:
    return optuna.storages.InMemoryStorage()


def opened(
    storage: optuna.storages.BaseStorage,
    space: Space = SMALL,
    fixed: dict[str, Any] | None = None,
    picks: tuple[dict[str, Any], ...] = (),
    **options: Any,
) -> PhaseStudy:
    def make(*arguments: Any, **labels: Any) -> Any:
        raise AssertionError("a study makes no recipes")

    phase = Phase("joint", space, make, picks=picks)
    fields: dict[str, Any] = {"trials": 6, "seeds": (0, 1), "sampler": "random", **options}
    search = Search("search", (phase,), metric="f1", **{"identity": {"data": "abc", "task": "gad"}, **fields})
    study = PhaseStudy(search, phase, fixed or {}, storage)
    study.begin()
    return study


def value(chosen: dict[str, Any]) -> float:
    return 50 + 10 * chosen["beta2"] - abs(chosen["gamma"] - 0.8)


def run(
    study: PhaseStudy, most: int = 1_000, failing: Callable[[dict[str, Any]], bool] = lambda chosen: False
) -> list[dict[str, Any]]:
    """Trials to the study's end, or so many; returns what they were, without what was fixed."""
    tried = []
    while study.ended < study.target and len(tried) < most:
        trial = study.ask()
        chosen = study.suggest(trial)
        tried.append(dict(trial.params))
        if failing(chosen):
            study.fail(trial, "no luck")
        else:
            study.complete(trial, value(chosen))
    return tried


# --- who may continue it -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seeds": (0, 1, 2)}, r"seeds=\[0, 1\], now it is \[0, 1, 2\]"),
        ({"identity": {"data": "xyz", "task": "gad"}}, "data='abc', now it is 'xyz'"),
        ({"identity": {"data": "abc"}}, "task='gad', now it is None"),
        ({"identity": {"data": "abc", "task": "gad", "margin": 2.0}}, "margin=None, now it is 2.0"),
        ({"space": WIDE}, r"space='beta2 \{0(\.0)?, 0.3, 0.5\}.*now it is 'epochs \{10\}.*0..1"),
    ],
)
def test_a_study_is_continued_only_with_what_its_scores_depend_on(
    storage: optuna.storages.BaseStorage, change: dict[str, Any], named: str
) -> None:
    run(opened(storage))
    with pytest.raises(UserError, match=f"study 'search.joint' was begun with {named}.*--sweep"):
        opened(storage, **change)


@pytest.mark.parametrize("change", [{"trials": 3}, {"sampler": "tpe"}, {"pruner": "none"}, {"sampler_seed": 7}])
def test_how_a_study_is_searched_may_change(storage: optuna.storages.BaseStorage, change: dict[str, Any]) -> None:
    run(opened(storage))
    assert opened(storage, **change).trials("COMPLETE")


def test_other_fixed_hyperparameters_are_another_study(storage: optuna.storages.BaseStorage) -> None:
    one = opened(storage, fixed={"epochs": 10})
    run(one)
    other = opened(storage, fixed={"epochs": 5})
    assert other.name != one.name
    assert other.trials() == []
    assert opened(storage, fixed={"epochs": 10}).name == one.name
    assert one.chosen(one.trials()[0])["epochs"] == 10


# --- what is asked for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "killed_after"), [("random", 0), ("random", 1), ("random", 2), ("tpe", 0), ("tpe", 1), ("gp", 0)]
)
def test_a_search_that_was_interrupted_tries_what_it_would_have_tried(sampler: str, killed_after: int) -> None:
    options = {"space": WIDE, "sampler": sampler, "trials": 13}
    alone = run(opened(optuna.storages.InMemoryStorage(), **options))  # type: ignore[arg-type]
    storage = optuna.storages.InMemoryStorage()
    tried = run(opened(storage, **options), most=11)  # type: ignore[arg-type]
    killed = opened(storage, **options)  # type: ignore[arg-type]
    trial = killed.ask()
    if killed_after:
        _choose_some(killed, trial, killed_after)
    again = opened(storage, **options)  # type: ignore[arg-type]
    (adopted,) = again.adopted()
    chosen = again.suggest(adopted)
    tried.append(dict(adopted.params))
    again.complete(adopted, value(chosen))
    tried += run(again)
    assert tried == alone
    repeats = 1 if sampler == "gp" else 0  # it may see most promise in the same corner of the space again
    assert len({tuple(one.items()) for one in tried}) >= 13 - repeats


def _choose_some(study: PhaseStudy, trial: optuna.trial.Trial, count: int) -> None:
    """A driver that is killed when it has chosen so many of a trial's values."""

    class Killed(BaseException):
        pass

    real = study.study._storage.set_trial_param
    done = []

    def until(*arguments: Any) -> None:
        if len(done) == count:
            raise Killed
        real(*arguments)
        done.append(arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study.study._storage, "set_trial_param", until)
        with pytest.raises(Killed):
            study.suggest(trial)


def test_another_seed_of_the_sampler_tries_something_else() -> None:
    tried = [run(opened(optuna.storages.InMemoryStorage(), WIDE, sampler_seed=seed)) for seed in (0, 0, 1)]
    assert tried[0] == tried[1]
    assert tried[0] != tried[2]


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
@pytest.mark.parametrize("space", [SMALL, STEPPED])
@pytest.mark.parametrize("interrupted", [False, True])
def test_enough_trials_try_every_combination_once_and_no_more(
    storage: optuna.storages.BaseStorage, sampler: str, space: Space, interrupted: bool
) -> None:
    options: dict[str, Any] = {"space": space, "sampler": sampler, "trials": 50}
    tried = run(opened(storage, **options), most=2) if interrupted else []
    study = opened(storage, **options)
    tried += run(study)
    assert study.target == space.size == len(tried)
    assert sorted(tuple(study.chosen(trial).items()) for trial in study.trials()) == sorted(
        tuple(one.items()) for one in space.combinations()
    )
    assert run(opened(storage, **options)) == []


def test_a_grid_of_fewer_trials_than_combinations_tries_different_ones(storage: optuna.storages.BaseStorage) -> None:
    tried = run(opened(storage, sampler="grid", trials=4))
    assert len({tuple(one.items()) for one in tried}) == len(tried) == 4
    tried += run(opened(storage, sampler="grid", trials=5))
    assert len({tuple(one.items()) for one in tried}) == len(tried) == 5


def test_a_grid_after_a_sampler_that_tried_some_twice_leaves_none_out(storage: optuna.storages.BaseStorage) -> None:
    before = run(opened(storage, trials=5, sampler_seed=3))
    assert len({tuple(one.items()) for one in before}) < len(before), "else this tests nothing"
    after = run(opened(storage, trials=6))
    assert {tuple(one.items()) for one in before + after} == {tuple(one.items()) for one in SMALL.combinations()}


def test_a_grid_without_end_is_refused(storage: optuna.storages.BaseStorage) -> None:
    with pytest.raises(UserError, match=r"beta2 in 0\.\.1 has no end of values"):
        run(opened(storage, WIDE, sampler="grid"))


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_picks_are_tried_first_and_once(storage: optuna.storages.BaseStorage, sampler: str) -> None:
    picks = ({"beta2": 0.5, "gamma": 0.9}, {"beta2": 0.0, "gamma": 0.9})
    tried = run(opened(storage, picks=picks, sampler=sampler, trials=3))
    tried += run(opened(storage, picks=picks, sampler=sampler, trials=5))
    assert tuple(tried[:2]) == picks
    assert len({tuple(point.items()) for point in tried}) == 5, "a repeat is no trial more"


def test_a_pick_that_only_a_later_start_gives_is_tried_next(storage: optuna.storages.BaseStorage) -> None:
    run(opened(storage, WIDE, trials=3))
    pick = {"epochs": 10, "beta2": 0.5, "gamma": 0.9}
    assert run(opened(storage, WIDE, trials=5, picks=(pick,)))[0] == pick


# --- failures ------------------------------------------------------------------------------------------------


def test_what_failed_is_tried_again_by_the_next_start(storage: optuna.storages.BaseStorage) -> None:
    def unlucky(chosen: dict[str, Any]) -> bool:
        return chosen["beta2"] == 0.5

    first = opened(storage, trials=20)
    assert len(run(first, failing=unlucky)) == 6, "no endless attempts in one run"
    failed = {tuple(trial.params.items()) for trial in first.trials("FAIL")}
    assert len(failed) == 2
    for _ in range(2):
        again = run(opened(storage, trials=20), failing=unlucky)
        assert {tuple(one.items()) for one in again} == failed
    run(opened(storage, trials=20))
    last = opened(storage, trials=20)
    assert run(last) == []
    assert len(last.trials("COMPLETE")) == 6


def test_a_score_that_is_no_number_is_a_failure(storage: optuna.storages.BaseStorage) -> None:
    study = opened(storage)
    trial = study.ask()
    study.suggest(trial)
    study.complete(trial, float("nan"))
    assert [one.user_attrs["error"] for one in study.trials("FAIL")] == ["its mean dev score is nan"]
    assert study.ended == 1


# --- the best ------------------------------------------------------------------------------------------------


def test_the_best_is_the_first_of_the_highest(storage: optuna.storages.BaseStorage) -> None:
    study = opened(storage, WIDE)
    assert study.best is None
    for score in (70.0, 72.0, 72.0):
        trial = study.ask()
        study.suggest(trial)
        study.complete(trial, score)
    assert study.best is not None
    assert study.best.number == 1
    assert study.chosen(study.best).keys() == WIDE.dimensions.keys()


# --- stopping early ------------------------------------------------------------------------------------------


def begin(study: PhaseStudy) -> optuna.trial.Trial:
    trial = study.ask()
    study.suggest(trial)
    return trial


def complete(study: PhaseStudy, *scores: float, schedule: str = "") -> None:
    for score in scores:
        trial = begin(study)
        study.report(trial, score, 1, schedule)
        study.complete(trial, score)


def test_no_trial_is_stopped_before_enough_are_complete(storage: optuna.storages.BaseStorage) -> None:
    study = opened(storage, WIDE, pruner="asha", trials=20)
    complete(study, *[90.0 + number for number in range(PRUNING_BEGINS - 1)])
    assert not study.report(begin(study), 1.0, 1)
    complete(study, 95.0)
    assert study.report(begin(study), 1.0, 1)
    assert not study.report(begin(study), 99.0, 1)


def test_only_trials_of_the_same_schedule_are_compared(storage: optuna.storages.BaseStorage) -> None:
    """One epoch of refinement ends the training of some; others have most of their learning rate left by then."""
    study = opened(storage, WIDE, pruner="asha", trials=20)
    complete(study, 90.0, 91.0, 92.0, 93.0, schedule="9 + 1")
    assert not study.report(begin(study), 70.0, 1, "6 + 4")
    assert not study.report(begin(study), 60.0, 1, "6 + 4"), "too few to tell"
    assert study.report(begin(study), 65.0, 1, "6 + 4")
    assert study.report(begin(study), 70.0, 1, "9 + 1")


def test_without_a_pruner_nothing_is_stopped(storage: optuna.storages.BaseStorage) -> None:
    study = opened(storage, WIDE, pruner="none", trials=20)
    complete(study, *[90.0] * 6)
    assert not study.report(begin(study), 1.0, 1)


def test_values_are_judged_at_the_epochs_that_asha_has(storage: optuna.storages.BaseStorage) -> None:
    study = opened(storage, WIDE, pruner="asha", trials=20)
    complete(study, 90.0, 91.0, 92.0, 93.0)
    trial = begin(study)
    assert [study.report(trial, score, step) for step, score in ((1, 94.0), (2, 1.0))] == [False, False]


def test_a_step_that_was_reported_before_is_not_reported_again(storage: optuna.storages.BaseStorage) -> None:
    study = opened(storage, WIDE, pruner="asha", trials=20)
    trial = begin(study)
    study.report(trial, 70.0, 1)
    study.report(trial, 71.0, 2)
    study.report(trial, 99.0, 1)  # a driver after this one, whose worker went on from an older checkpoint
    (running,) = study.trials("RUNNING")
    assert running.intermediate_values == {1: 70.0, 2: 71.0}


def test_a_step_that_was_judged_before_is_not_judged_again(storage: optuna.storages.BaseStorage) -> None:
    study = opened(storage, WIDE, pruner="asha", trials=20)
    complete(study, 90.0, 91.0, 92.0, 93.0)
    trial = begin(study)
    assert study.report(trial, 1.0, 1)
    assert not study.report(trial, 1.0, 1)
    study.give_up(trial)
    assert study.given_up(trial), "what was decided stands"


def test_a_step_that_was_noted_but_not_judged_is_judged_when_it_is_told_again(
    storage: optuna.storages.BaseStorage,
) -> None:
    """Its driver was killed between the two; else the value of the next epoch would be taken for this one's."""
    study = opened(storage, WIDE, pruner="asha", trials=20)
    complete(study, 90.0, 91.0, 92.0, 93.0)
    begin(study).report(1.0, 1)
    again = opened(storage, WIDE, pruner="asha", trials=20)
    (adopted,) = again.adopted()
    assert again.report(adopted, 1.0, 1)


def test_a_step_that_is_told_again_is_not_judged_by_a_later_ones_value(storage: optuna.storages.BaseStorage) -> None:
    """Whoever tells of it says whether it was the last epoch, at which nothing is stopped any more."""
    study = opened(storage, WIDE, pruner="asha", trials=20)
    for score in (90.0, 91.0, 92.0, 93.0):
        trial = begin(study)
        study.report(trial, score, 1)
        study.report(trial, score, 3)
        study.complete(trial, score)
    trial = begin(study)
    assert not study.report(trial, 99.0, 1)
    trial.report(1.0, 3)  # the last epoch, noted by a driver that was killed before it was judged
    assert not study.report(trial, 99.0, 1)
    assert study.report(trial, 1.0, 3)


def test_a_trial_stays_given_up(storage: optuna.storages.BaseStorage) -> None:
    study = opened(storage, WIDE, pruner="asha", trials=20)
    complete(study, 90.0, 91.0, 92.0, 93.0)
    trial = begin(study)
    assert study.report(trial, 1.0, 1)
    assert not study.given_up(trial)
    study.give_up(trial)
    (adopted,) = opened(storage, WIDE, pruner="asha", trials=20).adopted()
    assert study.given_up(adopted)


def test_hyperparameters_that_were_stopped_early_are_known(storage: optuna.storages.BaseStorage) -> None:
    study = opened(storage, dataclasses.replace(SMALL, dimensions={"beta2": Choices((0.3,))}), trials=1)
    trial = begin(study)
    assert study.known(trial) is None
    study.prune(trial)
    twin = begin(study)
    found = study.known(twin)
    assert found is not None
    assert found.number == 0
