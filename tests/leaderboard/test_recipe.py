from __future__ import annotations

import dataclasses
import json

import pytest

from orchestrator.recipe import Recipe, fold_recipes
from tests.leaderboard.synthetic import CHOSEN, Tuned, experiment, keyed, recipe
from trainables.errors import UserError


def test_a_recipe_survives_json():
    asked = Recipe(Tuned("ddi", Tuned("gad")), "doktra", "small", "ddi", 2, "gad", ("biobert", "scibert"), "roberta")
    assert Recipe.from_json(json.loads(json.dumps(asked.to_json()))) == asked
    of_search = dataclasses.replace(asked, study="doktra-ddi", trial=0)
    assert Recipe.from_json(json.loads(json.dumps(of_search.to_json()))) == of_search


def test_stages_that_are_read_back_keep_their_recorded_keys():
    form = recipe("ddi", "gad").to_json()
    form["keys"] = ["a" * 32, "b" * 32, "c" * 32]
    stage = Recipe.from_json(form).stage
    assert [stage.key, stage.init.key, stage.init.init.key] == form["keys"]


def test_row_key_tells_sweeps_and_stages_apart():
    asked = recipe("ddi")
    keys = {asked.row_key("one"), asked.row_key("two"), recipe("ddi", seed=1).row_key("one")}
    assert len(keys) == 3
    assert asked.row_key("one") == recipe("ddi").row_key("one")


def test_unknown_and_missing_fields_are_refused():
    form = recipe("ddi").to_json()
    with pytest.raises(UserError, match="did you mean 'intermediate'"):
        Recipe.from_json({**form, "intermediat": "gad"})
    del form["task"]
    with pytest.raises(UserError, match="'task'"):
        Recipe.from_json(form)


def test_a_row_key_of_before_searches_is_what_it_was():
    asked = Recipe(Tuned("ddi"), "doktra", "small", "ddi", 2, "gad", ("biobert",))
    asked.stage.__dict__["key"] = "0" * 32
    # Computed by the version that knew neither studies nor trials.
    assert asked.row_key("grid") == "e8e5af4d8d19cf2376f5a569d73aefaf"
    assert not {"study", "trial"} & set(asked.to_json())


def test_row_keys_of_a_search_tell_its_trials_apart():
    asked = recipe("ddi")
    of_search = [dataclasses.replace(asked, study=study, trial=trial) for study in ("a", "b") for trial in (0, 1)]
    keys = {one.row_key("sweep") for one in (asked, *of_search, dataclasses.replace(asked, study="a"))}
    assert len(keys) == 6


def test_folds_have_rows_with_the_labels_of_their_mean():
    whole = keyed(experiment("gad@10").distilled_recipe(CHOSEN, 1, study="s", trial=3))
    folds = fold_recipes(whole)
    assert [fold.task for fold in folds] == [f"gad@{number}/10" for number in range(1, 11)]
    assert [fold.stage for fold in folds] == list(whole.stage.folds)
    assert {(fold.method, fold.model, fold.teachers, fold.seed, fold.study, fold.trial) for fold in folds} == {
        ("doktra", "albert_xlarge", ("biobert",), 1, "s", 3)
    }
    assert len({fold.row_key("x") for fold in (whole, *folds)}) == 11
    assert fold_recipes(recipe("ddi")) == []
