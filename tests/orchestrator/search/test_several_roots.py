"""A search whose trials have several roots: one pretraining, and what is fine-tuned from it (VE-KD)."""

from __future__ import annotations

import argparse
import random
import statistics
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator import vekd_search
from orchestrator.search.phase import Search, Watch
from orchestrator.vekd_averages import macro_average
from search_spaces import vekd as spaces
from search_spaces.parameters import Number
from search_spaces.space import Choices, Space
from tests.orchestrator.search.simulated import SWEEP, World, drive, drive_killed
from tests.orchestrator.test_vekd_recipes import experiment
from tests.search_agreement import agreement, studies
from trainables.stages import FineTune, MaskedLMDistillation, TokenizedCorpus

TASKS = ("hoc", "pubmedqa", "bioasq")
SPACE = Space(
    "small",
    {
        **{name: Choices((value,)) for name, value in spaces.defaults("mini").items()},
        "vocabulary_size": Choices((0, 700)),
        "tolerance": Choices((0.0, 0.1, 0.5, 1.0)),
        "kl_weight": Choices((1.0, 2.0, 5.0)),
    },
    spaces.PARAMETERS,
)


def search(space: Space = SPACE, seeds: tuple[int, ...] = (0, 1), trials: int = 8, **how: str) -> Search:
    asked = vekd_search.Asked(space, trials, {"sampler": "random", "sampler_seed": 0, "prune": "none", **how})
    return asked.over(experiment(distilling={"epochs": 9}), TASKS, seeds, "search")


def agrees(world: World) -> list[str]:
    return agreement(world.store, world.journal, SWEEP)


def trials(world: World) -> list[Any]:
    return [trial for study in studies(world.journal) for trial in study.get_trials(deepcopy=False)]


def dev_scores(world: World, number: int) -> dict[tuple[str, int], float]:
    rows = [row for row in world.table() if row["trial"] == number and row["status"] == "finished"]
    return {(row["task"], row["seed"]): row["dev_score"] for row in rows}


def test_a_trials_value_is_the_macro_average_of_its_tasks_means_over_seeds(tmp_path: Path) -> None:
    world = World(tmp_path, search())
    drive(world)
    assert agrees(world) == []
    assert Counter(trial.state.name for trial in trials(world)) == Counter(COMPLETE=8)
    assert len(world.table()) == 8 * len(TASKS) * 2
    for trial in trials(world):
        scores = dev_scores(world, trial.number)
        means = {task: statistics.fmean(scores[task, seed] for seed in (0, 1)) for task in TASKS}
        assert trial.value == pytest.approx(macro_average(means))
        assert trial.value != pytest.approx(statistics.fmean(means.values())), "questions count once, not twice"


def test_a_trial_is_one_pretraining_and_what_trials_share_is_trained_once(tmp_path: Path) -> None:
    world = World(tmp_path, search())
    driver = drive(world)
    kinds = Counter(type(node.stage) for node in driver.schedule.nodes.values())
    distinct = len({tuple(trial.params.items()) for trial in trials(world)})
    assert kinds[MaskedLMDistillation] == distinct
    assert kinds[FineTune] == distinct * len(TASKS) * 2
    assert kinds[TokenizedCorpus] <= 2
    assert set(world.trained.values()) == {1}
    assert drive(world).begun == []


def test_pretrainings_are_stopped_early_by_their_loss_among_those_of_the_same_pieces(tmp_path: Path) -> None:
    """One with a much lower loss, since its pieces are easier, stops none of the others."""
    world = World(tmp_path, search(trials=24, prune="asha"), random.Random(3))
    plain = World.loss

    def loss(stage: Any, epoch: int) -> float:
        return plain(world, stage, epoch) - (2.5 if stage.expands else 0)

    world.loss = loss  # type: ignore[method-assign]
    driver = drive(world)
    assert agrees(world) == []
    ended = {trial.number: trial for trial in trials(world)}
    pruned = [trial for trial in ended.values() if trial.state.name == "PRUNED"]
    complete = [trial for trial in ended.values() if trial.state.name == "COMPLETE"]
    assert len(pruned) >= 4
    assert len(complete) >= 4
    for size in (0, 700):
        assert any(trial.params["vocabulary_size"] == size for trial in complete)
    assert any(trial.params["vocabulary_size"] == 700 for trial in pruned), "the easier pieces are no excuse"
    for trial in pruned:
        assert all(value < 0 for value in trial.intermediate_values.values())
        statuses = Counter(row["status"] for row in world.table() if row["trial"] == trial.number)
        assert statuses == Counter(pruned=len(TASKS) * 2)
    started = [driver.schedule.nodes[key].stage for key in world.trained]
    tuned = {stage.init.key for stage in started if isinstance(stage, FineTune)}
    assert len(tuned) == len({tuple(trial.params.items()) for trial in complete}), "none of what was stopped"


def test_weights_of_the_deciding_pretraining_are_kept_for_what_follows(tmp_path: Path) -> None:
    for policy in ("best", "inputs"):
        world = World(tmp_path / policy, search(trials=6, prune="asha"), policy=policy)
        drive(world)
        assert set(world.trained.values()) == {1}, "no pretraining was made again for its weights"


@pytest.mark.parametrize("prune", ["none", "asha"])
@pytest.mark.parametrize("seed", range(8))
def test_killed_at_any_write_it_ends_as_it_should(tmp_path: Path, prune: str, seed: int) -> None:
    world = World(tmp_path, search(trials=8, prune=prune), random.Random(seed))
    drive_killed(world, kills=6)
    assert agrees(world) == []
    assert sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in trials(world)) >= 8
    for trial in trials(world):
        if trial.state.name == "COMPLETE":
            assert len(dev_scores(world, trial.number)) == len(TASKS) * 2


def test_a_failed_task_fails_its_trial_and_no_other(tmp_path: Path) -> None:
    def fails(stage: Any) -> bool:
        return isinstance(stage, FineTune) and stage.task == "hoc" and stage.init.tolerance == 0.5

    world = World(tmp_path, search(trials=24), fails=fails)
    drive(world)
    assert agrees(world) == []
    states = {trial.params["tolerance"]: set() for trial in trials(world)}
    for trial in trials(world):
        states[trial.params["tolerance"]].add(trial.state.name)
    assert states[0.5] == {"FAIL"}
    assert all(seen == {"COMPLETE"} for tolerance, seen in states.items() if tolerance != 0.5)


# --- what a search says of itself ---------------------------------------------------------------------------------


def test_a_search_with_one_root_is_valued_as_before() -> None:
    one = Search("name", (), 1, (0, 1), "f1")
    assert one.value([("gad", 70.0), ("gad", 71.0)]) == 70.5
    assert one.watched == Watch("dev/f1")
    assert (one.dev_metric("gad"), one.watched.factor) == ("dev/f1", 100)


def given(**options: Any) -> argparse.Namespace:
    named: dict[str, Any] = {"space": None, "preset": "mini", "trials": 3, "sampler": None, "sampler_seed": None}
    return argparse.Namespace(**{**named, "prune": None, **options})


def test_hyperparameters_that_are_given_stand_still() -> None:
    named: dict[str, Number] = {"tolerance": 0.7, "share": 0.5}
    asked = vekd_search.asked(given(), {**spaces.defaults("mini"), **named}, named)
    assert asked.space.dimensions["tolerance"] == Choices((0.7,))
    assert asked.space.dimensions["share"] == Choices((0.5,))
    assert asked.space.dimensions["vocabulary_size"] == spaces.MINI.dimensions["vocabulary_size"]
    assert asked.how == {"sampler": "tpe", "sampler_seed": 0, "prune": "none"}
