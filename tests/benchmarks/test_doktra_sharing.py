"""The benchmark of what sharing saves."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from benchmarks import doktra_sharing
from benchmarks.doktra_sharing import Searched
from orchestrator import models
from orchestrator.doktra_recipes import Experiment, Setting
from orchestrator.recipe import Recipe
from search_spaces import doktra as spaces
from trainables.data import sources
from trainables.expression import Stage

EXPERIMENT = Experiment(
    "ddi", models.resolve("mini_domain"), models.resolve("mini_general"), Setting(sources.MINIATURE, 32, 64)
)
PRETRAINED = {stage.key for _, model in (EXPERIMENT.teacher, EXPERIMENT.student) for stage in model.walk()}


def _recipes(*, apart: bool) -> dict[int, Recipe]:
    """Four trials: two teachers, one student, and the last trial proposes what the first did."""
    made = {}
    for trial, beta1, beta2 in ((0, 0.0, 0.3), (1, 0.0, 0.5), (2, 0.7, 0.3), (3, 0.0, 0.3)):
        chosen = {**spaces.defaults("mini"), "beta1": beta1, "beta2": beta2}
        stage: Any = EXPERIMENT.distilled_recipe(chosen, 0).stage
        stage = doktra_sharing.apart(stage, trial) if apart else stage
        made[trial] = Recipe(stage, "doktra", "mini_general", "ddi", 0, trial=trial)
    return made


def _searched(*, apart: bool, seconds: float) -> Searched:
    """Teachers and students take 10 seconds, outputs 1, distillations 20."""
    recipes = _recipes(apart=apart)
    cost = {"FineTune": 10.0, "TeacherOutputs": 1.0, "ActivationBoundaryDistillation": 20.0}
    results = {
        key: {"cost": {"seconds": cost[kind]}, "metrics": {"dev/micro_f1": 0.5}}
        for key, kind in doktra_sharing.distinct(recipes.values(), PRETRAINED).items()
    }
    return Searched(seconds, recipes, results)


def test_the_space_is_the_papers_but_for_the_learning_rates() -> None:
    made = doktra_sharing.space()
    assert made.size == spaces.PAPER.size
    for name, dimension in made.dimensions.items():
        assert (dimension == spaces.PAPER.dimensions[name]) == ("learning_rate" not in name)


def test_trials_apart_share_the_pretrained_models_and_nothing_else() -> None:
    recipes = _recipes(apart=True)
    keys = [stage.key for recipe in recipes.values() for stage in recipe.stage.walk() if stage.key not in PRETRAINED]
    assert len(keys) == len(set(keys)) == 4 * len(recipes)
    walked = {stage.key for recipe in recipes.values() for stage in recipe.stage.walk()}
    assert walked >= PRETRAINED


def test_a_stage_apart_differs_by_what_single_precision_does_not_see() -> None:
    together, apart = (_recipes(apart=one)[3].stage for one in (False, True))
    differing = set()
    for left, right in zip(together.walk(), apart.walk(), strict=True):
        assert type(left) is type(right)
        for field in dataclasses.fields(left):
            values = getattr(left, field.name), getattr(right, field.name)
            if values[0] != values[1] and not isinstance(values[0], Stage):
                differing.add(field.name)
                assert np.float32(values[0]) == np.float32(values[1])
    assert differing == {"clip_norm"}


def test_distinct_sub_expressions_are_counted_once() -> None:
    kinds = list(doktra_sharing.distinct(_recipes(apart=False).values(), PRETRAINED).values())
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "FineTune": 3,  # two teachers, one student
        "TeacherOutputs": 2,
        "ActivationBoundaryDistillation": 3,
    }


def test_the_prediction_counts_every_trial_with_all_its_stages() -> None:
    # Four trials of 10 + 1 + 10 + 20 seconds, over 3 * 10 + 2 * 1 + 3 * 20.
    assert doktra_sharing.predicted(_searched(apart=False, seconds=50)) == pytest.approx(4 * 41 / 92)


def test_the_report_says_what_was_run_and_how_long_it_took() -> None:
    shared, unshared = _searched(apart=False, seconds=50), _searched(apart=True, seconds=100)
    text = doktra_sharing.report(shared, unshared, PRETRAINED, "dev/micro_f1")
    lines = {line.split("  ")[0]: line.split() for line in text.splitlines()}
    assert lines["FineTune"][1:] == ["3", "3", "8", "8"]
    assert lines["all"][1:] == ["8", "8", "16", "16"]
    assert "the stages run are exactly the distinct sub-expressions" in text
    assert "4 and 4 trials, 4 with the same dev/micro_f1 in both" in text
    assert lines["seconds of the whole search"][-3:] == ["50.0", "100.0", "2.00"]
    assert lines["seconds of its stages, added up"][-3:] == ["92.0", "164.0", "1.78"]


def test_a_stage_too_many_or_another_score_is_seen() -> None:
    shared, unshared = _searched(apart=False, seconds=50), _searched(apart=True, seconds=100)
    results = dict(unshared.results)
    results[unshared.recipes[0].stage.key] = {"cost": {"seconds": 20.0}, "metrics": {"dev/micro_f1": 0.4}}
    more = Searched(50, shared.recipes, {**shared.results, "more": {"cost": {"seconds": 1.0}, "metrics": {}}})
    text = doktra_sharing.report(more, Searched(100, unshared.recipes, results), PRETRAINED, "dev/micro_f1")
    assert "ARE NOT the distinct sub-expressions" in text
    assert "4 and 4 trials, 3 with the same dev/micro_f1 in both" in text
