from __future__ import annotations

import json

import pytest

from orchestrator.recipe import Recipe
from tests.leaderboard.synthetic import Tuned, recipe
from trainables.errors import UserError


def test_a_recipe_survives_json():
    asked = Recipe(Tuned("ddi", Tuned("gad")), "doktra", "small", "ddi", 2, "gad", ("biobert", "scibert"), "roberta")
    assert Recipe.from_json(json.loads(json.dumps(asked.to_json()))) == asked


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
