"""Spaces of sets and ranges: rules, combinations, and what Optuna draws from them."""

from __future__ import annotations

import itertools
import math
import pickle
import warnings
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.parameters import Parameter, by_name
from search_spaces.space import Choices, Range, Space
from trainables.errors import UserError

optuna.logging.set_verbosity(optuna.logging.WARNING)

PARAMETERS = by_name(
    (
        Parameter("epochs", int, low=1),
        Parameter("rate", float, low=0, low_open=True),
        Parameter("beta", float, low=0),
        Parameter("gamma", float, low=0, high=1),
        Parameter("shift", float),
        Parameter("below", float, high=2),
        Parameter("within", float, low=0, low_open=True, high=2),
    )
)


def space(**dimensions: Choices | Range) -> Space:
    return Space("mine", dimensions, PARAMETERS)


MIXED = space(
    gamma=Choices((0.6, 0.7, 0.8, 0.9)),
    rate=Range(1e-6, 1e-4, log=True),
    epochs=Range(2, 10, integer=True, step=4),
    beta=Range(0, 1, step=0.1),
    shift=Range(-1.0, 1.0),
)


@given(
    st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(2**53), 2**53), st.sampled_from(sorted(PARAMETERS))
)
def test_a_set_takes_exactly_the_values_that_keep_the_rule(value: float, name: str) -> None:
    keeps = {
        "epochs": lambda: value >= 1 and value == int(value),
        "rate": lambda: value > 0,
        "beta": lambda: value >= 0,
        "gamma": lambda: 0 <= value <= 1,
        "shift": lambda: True,
        "below": lambda: value <= 2,
        "within": lambda: 0 < value <= 2,
    }[name]
    if math.isfinite(value) and keeps():
        (kept,) = space(**{name: Choices((value,))}).grid()[name]
        assert kept == value
        assert type(kept) is PARAMETERS[name].kind
    else:
        with pytest.raises(UserError, match=f"space 'mine': {name}=.* must be {PARAMETERS[name].rule}"):
            space(**{name: Choices((value,))})


@pytest.mark.parametrize("value", [True, "1", None, [1], 1j, 10**400], ids=str)
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(UserError, match=r"beta=.* must be a number of at least 0"):
        space(beta=Choices((0.5, value)))


def test_rules_in_words() -> None:
    assert {name: parameter.rule for name, parameter in PARAMETERS.items()} == {
        "epochs": "a whole number of at least 1",
        "rate": "a number above 0",
        "beta": "a number of at least 0",
        "gamma": "a number from 0 to 1",
        "shift": "a number",
        "below": "a number of at most 2",
        "within": "a number above 0 and at most 2",
    }


@pytest.mark.parametrize(
    ("dimensions", "message"),
    [
        ({}, "space 'mine': it has no dimensions; give some of epochs, rate"),
        ({"gama": Choices((0.5,))}, "space 'mine': unknown hyperparameter 'gama'; did you mean 'gamma'"),
        ({"gamma": Choices(())}, r"gamma is an empty set; give at least one value \(a number from 0 to 1\)"),
        ({"gamma": Choices((0.5, 1.2))}, "gamma=1.2 must be a number from 0 to 1; nearest: 1"),
        ({"gamma": Range(-0.1, 1)}, "gamma=-0.1 must be a number from 0 to 1; nearest: 0"),
        ({"gamma": Range(0.9, 0.6)}, "gamma from 0.9 to 0.6: low must be below high"),
        ({"gamma": Range(0.6, 0.6)}, "low must be below high; for one value give it alone"),
        ({"beta": Range(0, 1, log=True)}, "beta from 0 with log: low must be above 0"),
        ({"rate": Range(0, 1)}, "rate=0 must be a number above 0"),
        ({"epochs": Range(1, 3)}, "epochs: integer=False does not fit, since its values are whole numbers"),
        ({"beta": Range(0, 1, integer=True)}, "beta: integer=True does not fit, since its values are any numbers"),
        ({"epochs": Range(1.5, 3, integer=True)}, "epochs=1.5 must be a whole number"),
        ({"beta": Range(0, 1, step=0.3)}, "high must be low plus a whole number of steps; nearest: 0.9"),
        ({"beta": Range(0, 1, step=2)}, "high must be low plus a whole number of steps; nearest: 2"),
        ({"beta": Range(0, 1, step=0)}, "beta: step=0 must be a number above 0"),
        ({"beta": Range(0, 1, step=math.nan)}, "beta: step=nan must be a number above 0"),
        ({"epochs": Range(1, 3, integer=True, step=0.5)}, "epochs: step=0.5 must be a whole number above 0"),
        (
            {"rate": Range(1, 3, log=True, step=1)},
            "rate from 1 to 3 in steps of 1: a range has log or a step, not both",
        ),
    ],
)
def test_bad_dimensions_are_refused(dimensions: dict[str, Choices | Range], message: str) -> None:
    with pytest.raises(UserError, match=message):
        space(**dimensions)


def test_values_are_of_their_kind_and_each_once() -> None:
    made = space(gamma=Choices((1, 0.5, 1.0, 0.5)), epochs=Choices((3.0, 3, 5)))

    assert repr(made.grid()) == "{'epochs': (3, 5), 'gamma': (1.0, 0.5)}"


def test_the_order_in_which_dimensions_are_given_makes_no_difference() -> None:
    one, two = Choices((1, 2)), Choices((0.5, 0.7))

    assert list(space(gamma=two, epochs=one).combinations()) == list(space(epochs=one, gamma=two).combinations())


def test_combinations_of_a_finite_space() -> None:
    made = space(epochs=Range(2, 4, integer=True), beta=Range(0, 1, step=0.1), gamma=Choices((0.9, 0.6)))
    combinations = list(made.combinations())

    assert made.size == len(combinations) == 3 * 11 * 2
    assert [tuple(each.values()) for each in combinations] == list(
        itertools.product((2, 3, 4), [number / 10 for number in range(11)], (0.9, 0.6))
    )
    assert all(made.contains(each) for each in combinations)


def test_a_space_with_no_end_of_values_has_no_grid() -> None:
    assert MIXED.size is None
    with pytest.raises(UserError, match=r"'mine': rate in 1e-06..0.0001 \(log\) has no end of values"):
        MIXED.combinations()


def test_a_huge_range_is_counted_without_listing_it() -> None:
    assert space(epochs=Range(1, 10**15, integer=True), gamma=Choices((0.5, 0.6))).size == 2 * 10**15


def test_subsets() -> None:
    assert list(MIXED.subset(("gamma", "rate")).dimensions) == ["rate", "gamma"]
    with pytest.raises(UserError, match="'gama' is no dimension of it; did you mean 'gamma'"):
        MIXED.subset(("gama",))


SAMPLERS: dict[str, Any] = {
    "random": optuna.samplers.RandomSampler(seed=1),
    "tpe": optuna.samplers.TPESampler(seed=1, n_startup_trials=5, multivariate=True),
    "independent tpe": optuna.samplers.TPESampler(seed=1, n_startup_trials=5),
}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_stay_inside(sampler: str) -> None:
    study = optuna.create_study(sampler=SAMPLERS[sampler], direction="maximize")
    drawn: list[dict[str, Any]] = []

    def objective(trial: optuna.trial.Trial) -> float:
        drawn.append(MIXED.suggest(trial))
        return -abs(float(drawn[-1]["beta"]) - 0.3) - abs(float(drawn[-1]["gamma"]) - 0.8)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.optimize(objective, n_trials=40)

    grid = [number / 10 for number in range(11)]
    for trial, chosen in zip(study.trials, drawn, strict=True):
        assert MIXED.check_params(chosen) == chosen == MIXED.check_params(trial.params)
        assert trial.distributions == MIXED.distributions()
        assert chosen["beta"] in grid
        assert chosen["epochs"] in (2, 6, 10)
    assert len({chosen["beta"] for chosen in drawn}) > 3


def test_a_trial_may_be_asked_for_some_names_only() -> None:
    trial = optuna.create_study().ask()

    assert list(MIXED.suggest(trial, ("gamma", "epochs"))) == ["epochs", "gamma"] == list(trial.params)


def test_an_enqueued_point_comes_out_as_it_went_in() -> None:
    study = optuna.create_study()
    point = {"epochs": 6, "rate": 1e-5, "beta": 0.3, "gamma": 0.7, "shift": 0.0}
    study.enqueue_trial(point)

    assert MIXED.suggest(study.ask()) == point


INSIDE = {"epochs": 6, "rate": 1e-5, "beta": 0.3, "gamma": 0.7, "shift": 0.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": 0.75}, r"gamma=0.75 must be in \{0.6, 0.7, 0.8, 0.9\}; nearest: 0.[78]"),
        ({"gamma": 1.2}, "gamma=1.2 must be a number from 0 to 1"),
        ({"rate": 1e-3}, r"rate=0.001 must be in 1e-06..0.0001 \(log\); nearest: 0.0001"),
        ({"epochs": 7}, r"epochs=7 must be in 2..10 \(step 4\); nearest: 6"),
        ({"beta": 0.35}, r"beta=0.35 must be in 0..1 \(step 0.1\); nearest: 0.[34]"),
        ({"gama": 0.7}, "'gama' is no dimension of it; did you mean 'gamma'"),
        ({"beta": "much"}, "beta='much' must be a number"),
    ],
)
def test_points_outside_are_refused(change: dict[str, Any], message: str) -> None:
    assert MIXED.contains(INSIDE)
    assert not MIXED.contains({**INSIDE, **change})
    with pytest.raises(UserError, match=f"space 'mine': {message}"):
        MIXED.check_params({**INSIDE, **change})


def test_a_point_has_every_dimension() -> None:
    with pytest.raises(UserError, match="space 'mine': no value for rate, gamma; give one for every dimension"):
        MIXED.check_params({"epochs": 6, "beta": 0.3, "shift": 0.0})


@given(
    st.fixed_dictionaries(
        {
            "epochs": st.integers(1, 1000),
            "rate": st.floats(1e-9, 1e9),
            "beta": st.floats(0, 1e9),
            "gamma": st.floats(0, 1),
            "shift": st.floats(-1e9, 1e9),
        }
    )
)
def test_the_nearest_point_is_inside_and_none_is_nearer(values: dict[str, float]) -> None:
    nearest = MIXED.nearest({**values, "no dimension": 1.0})

    assert MIXED.contains(nearest)
    assert MIXED.nearest(nearest) == nearest
    gamma = values["gamma"]
    assert abs(nearest["gamma"] - gamma) == min(abs(choice - gamma) for choice in (0.6, 0.7, 0.8, 0.9))
    assert nearest["rate"] == min(max(values["rate"], 1e-6), 1e-4)


def test_described_in_one_line() -> None:
    assert MIXED.describe() == (
        "epochs 2..10 (step 4); rate 1e-06..0.0001 (log); beta 0..1 (step 0.1); gamma {0.6, 0.7, 0.8, 0.9}; shift -1..1"
    )


def test_spaces_travel_between_processes() -> None:
    assert pickle.loads(pickle.dumps(MIXED)) == MIXED
