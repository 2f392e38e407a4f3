"""Rows as recipes are decided, and weights by policy; driven as the engine drives it."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest

from orchestrator import models
from orchestrator.bookkeeping import Bookkeeper
from orchestrator.doktra_recipes import Experiment, Setting
from orchestrator.engine.schedule import Node, Schedule
from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows
from orchestrator.leaderboard.rebuild import rebuild
from orchestrator.recipe import Recipe, with_folds
from tests.leaderboard.synthetic import CHOSEN, recipe, result
from trainables.data import tasks

SCORES = {("gad", None): 0.6, ("ddi", None): 0.7, ("gad", "ddi"): 0.8, ("ddi", "gad"): 0.5}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def sweep(seeds: tuple[int, ...] = (0,)) -> list[Recipe]:
    return [recipe(task, other, seed) for seed in seeds for task, other in SCORES]


class Run:
    """A start of a sweep: schedule and bookkeeper, and the engine's part by hand."""

    def __init__(self, store: Store, recipes: list[Recipe], policy: str = "inputs") -> None:
        self.store = store
        self.recipes = recipes
        self.schedule = Schedule([one.stage for one in recipes], store)
        self.keeper = Bookkeeper("grid", recipes, self.schedule, store, policy)
        self.found = self.keeper.write_missing_rows()
        self.trained: list[str] = []

    def finish(self, node: Node, dev: float | None = None) -> None:
        stage: Any = node.stage
        score = SCORES.get((stage.task, stage.init.task if stage.init and stage.init.init else None), 0.1)
        folder = self.store.working_folder(node.key)
        if node.want_model or self.keeper.keep_model(node):
            (folder / "model").mkdir()
            (folder / "model" / "config.json").write_text("{}")
        metric = tasks.get(stage.task).metric if stage.task in tasks.TASKS else "loss"
        found = result(metric, score, score if dev is None else dev)
        published = self.store.publish(node.key, folder, stage.to_json(), found)
        self.schedule.finished(node.key, published)
        self.keeper.finished(node)
        self.trained.append(node.key)

    def all(self) -> Run:
        while (node := self.schedule.next()) is not None:
            self.finish(node)
        return self

    def fail(self, node: Node, error: str = "no luck") -> None:
        self.keeper.failed(node, self.schedule.failed(node.key, error))

    def board(self) -> dict[str, dict[str, Any]]:
        table = rows.read_table(self.store.filesystem, self.store.root).to_pylist()
        assert len({row["row_key"] for row in table}) == len(table)
        return {row["key"]: row for row in table}

    def kept(self) -> set[tuple[str, str | None]]:
        """Task and intermediate of the recipes whose weights are there."""
        return {(one.task, one.intermediate) for one in self.recipes if self.store.has_model(one.stage.key)}


# --- rows ----------------------------------------------------------------------------------------------------


def test_every_recipe_gets_its_row_as_soon_as_it_is_finished(store: Store) -> None:
    run = Run(store, sweep())
    while (node := run.schedule.next()) is not None:
        run.finish(node)
        done = {one.stage.key for one in run.recipes if run.schedule.nodes[one.stage.key].result}
        assert set(run.board()) == done
    scores = {(row["task"], row["intermediate"]): row["score"] for row in run.board().values()}
    assert scores == pytest.approx({cell: 100 * score for cell, score in SCORES.items()})
    assert {row["status"] for row in run.board().values()} == {"finished"}
    assert not run.keeper.unwritten


def test_a_second_start_writes_nothing_and_an_extension_only_what_is_new(store: Store) -> None:
    before = Run(store, sweep()).all().board()
    again = Run(store, sweep()).all()
    assert (again.found, again.trained, again.board()) == (0, [], before)
    extended = Run(store, sweep(seeds=(0, 1))).all()
    assert extended.found == 0
    assert len(extended.board()) == 2 * len(before)
    assert {key: extended.board()[key] for key in before} == before


def test_rows_that_a_killed_driver_left_unwritten_are_written_at_the_next_start(store: Store) -> None:
    run = Run(store, sweep()).all()
    before = run.board()
    lost = run.recipes[1]
    Path(rows.path(store.root, lost.row_key("grid"))).unlink()
    assert Run(store, sweep()).found == 1
    assert run.board() == before


def test_a_row_is_the_same_whether_written_at_once_or_later(store: Store) -> None:
    run = Run(store, sweep()).all()
    files = {path.name: path.read_bytes() for path in (Path(store.root) / rows.FOLDER).iterdir()}
    for path in (Path(store.root) / rows.FOLDER).iterdir():
        path.unlink()
    assert Run(store, sweep()).found == len(run.recipes)
    assert {path.name: path.read_bytes() for path in (Path(store.root) / rows.FOLDER).iterdir()} == files


def test_failures_and_what_they_block_have_rows_until_they_succeed(store: Store) -> None:
    recipes = sweep()
    run = Run(store, recipes)
    broken = recipe("ddi").stage
    while (node := run.schedule.next()) is not None:
        if node.key == broken.key:
            run.fail(node)
        else:
            run.finish(node)
    status = {(row["task"], row["intermediate"]): (row["status"], row["error"]) for row in run.board().values()}
    assert status["ddi", None] == ("failed", "no luck")
    assert status["gad", "ddi"][0] == "blocked"
    assert "no luck" in status["gad", "ddi"][1]
    assert status["gad", None] == status["ddi", "gad"] == ("finished", None)
    noted = store.failure(broken.key)
    assert noted is not None
    assert (noted["status"], noted["error"]) == ("failed", "no luck")

    again = Run(store, recipes).all()
    assert len(again.trained) == 2
    assert {row["status"] for row in again.board().values()} == {"finished"}
    assert {row["error"] for row in again.board().values()} == {None}
    assert store.storage.names("failures") == []


def test_a_row_outlives_the_failure_to_give_its_stage_weights_again(store: Store) -> None:
    Run(store, [recipe("ddi")], policy="none").all()
    start = recipe("ddi").stage
    run = Run(store, [recipe("ddi"), recipe("gad", "ddi")])
    while (node := run.schedule.next()) is not None:
        if node.key == start.key:
            run.fail(node)
        else:
            run.finish(node)
    board = run.board()
    assert (board[start.key]["status"], board[start.key]["score"]) == ("finished", pytest.approx(70.0))
    assert board[recipe("gad", "ddi").stage.key]["status"] == "blocked"


def test_a_row_that_cannot_be_written_is_written_at_the_end(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    folder = Path(store.root) / rows.FOLDER
    folder.write_text("a file is in the way")
    run = Run.__new__(Run)
    run.store, run.recipes, run.trained = store, sweep(), []
    run.schedule = Schedule([one.stage for one in run.recipes], store)
    run.keeper = Bookkeeper("grid", run.recipes, run.schedule, store, "inputs")
    with caplog.at_level(logging.WARNING):
        run.all()
    assert run.keeper.unwritten
    assert "could not be written" in caplog.text
    folder.unlink()
    assert run.keeper.write_missing_rows() == len(run.recipes)
    assert not run.keeper.unwritten
    assert len(run.board()) == len(run.recipes)


# --- recipes that a search adds or loses ---------------------------------------------------------------------


def of_search(seeds: tuple[int, ...] = (0, 1), trial: int = 3) -> list[Recipe]:
    return [dataclasses.replace(recipe("gad", "ddi", seed), study="search", trial=trial) for seed in seeds]


class Searched(Run):
    """A start whose recipes are added while it runs."""

    def __init__(self, store: Store, policy: str = "inputs") -> None:
        super().__init__(store, [], policy)

    def add(self, recipes: list[Recipe], stages: int | None = None) -> None:
        """Adds recipes, and the expressions of so many of them."""
        self.schedule.extend([one.stage for one in recipes[:stages]])
        self.keeper.add(recipes)

    def statuses(self) -> dict[int, tuple[str, str | None]]:
        table = rows.read_table(self.store.filesystem, self.store.root).to_pylist()
        return {row["seed"]: (row["status"], row["error"]) for row in table if row["trial"] == 3}


def test_recipes_that_are_added_later_get_their_rows(store: Store) -> None:
    run = Searched(store)
    run.add(of_search())
    run.all()
    assert {seed: status for seed, (status, _) in run.statuses().items()} == {0: "finished", 1: "finished"}


def test_an_added_recipe_that_is_finished_has_its_row_at_once_and_only_once(store: Store) -> None:
    Run(store, [recipe("gad", "ddi", seed) for seed in (0, 1)]).all()
    run = Searched(store)
    run.add(of_search())
    files = {path.name: path.stat().st_mtime_ns for path in (Path(store.root) / rows.FOLDER).iterdir()}
    assert len(files) == 4
    assert len(run.statuses()) == 2
    run.add(of_search())
    Searched(store).add(of_search())
    assert {path.name: path.stat().st_mtime_ns for path in (Path(store.root) / rows.FOLDER).iterdir()} == files
    assert run.trained == []


def test_a_pruned_trial_has_rows_of_all_its_seeds_and_no_checkpoint(store: Store) -> None:
    run = Searched(store)
    recipes = of_search()
    run.add(recipes, stages=1)
    store.save_checkpoint(recipes[0].stage.key, b"saved by a worker of a killed driver")
    run.keeper.lost(recipes, "pruned", "stopped early")
    assert run.statuses() == {0: ("pruned", "stopped early"), 1: ("pruned", "stopped early")}
    assert store.load_checkpoint(recipes[0].stage.key) is None
    noted = store.failure(recipes[1].row_key("grid"))
    assert noted is not None
    assert noted["status"] == "pruned"
    assert store.failure(recipes[1].stage.key) is None


def test_a_pruned_trial_stays_so_though_its_stages_are_finished_for_somebody_else(store: Store) -> None:
    run = Searched(store)
    recipes = of_search()
    run.add(recipes, stages=1)
    run.keeper.lost(recipes, "pruned", "stopped early")
    before = {path.name: path.read_bytes() for path in (Path(store.root) / rows.FOLDER).iterdir()}
    run.add([dataclasses.replace(one, study=None, trial=None) for one in recipes])
    run.all()
    assert run.statuses() == {0: ("pruned", "stopped early"), 1: ("pruned", "stopped early")}
    after = {path.name: path.read_bytes() for path in (Path(store.root) / rows.FOLDER).iterdir()}
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2


def test_a_trial_that_is_proposed_after_its_teacher_failed_has_rows_too(store: Store) -> None:
    run = Searched(store)
    first = of_search(trial=2)
    run.add(first)
    while (node := run.schedule.next()) is not None:
        stage: Any = node.stage
        if stage.task == "ddi" and stage.seed == 0:
            run.fail(node)
        else:
            run.finish(node)
    run.add(of_search())
    run.keeper.lost(of_search(), "blocked", "told of both")
    status, error = run.statuses()[0]
    assert status == "blocked"
    assert "no luck" in str(error), "what is known of the seed itself says more"
    assert run.statuses()[1] == ("finished", None), "what is finished stays so"


def test_what_was_lost_and_is_finished_later_is_no_failure_any_more(store: Store) -> None:
    run = Searched(store)
    run.add(of_search())
    run.keeper.lost(of_search(), "failed", "another seed failed")
    assert run.statuses()[1] == ("failed", "another seed failed")
    run.all()
    assert run.statuses() == {0: ("finished", None), 1: ("finished", None)}
    assert store.storage.names("failures") == []


# --- weights -------------------------------------------------------------------------------------------------


def test_all_weights_are_kept(store: Store) -> None:
    assert Run(store, sweep(), "all").all().kept() == set(SCORES)


def test_weights_of_inputs_are_kept(store: Store) -> None:
    run = Run(store, sweep(), "inputs").all()
    assert run.kept() == {("gad", None), ("ddi", None)}
    assert store.has_model(recipe("gad").stage.init.key)  # type: ignore[attr-defined]


def test_no_weights_are_kept_once_nothing_needs_them(store: Store) -> None:
    run = Run(store, sweep(), "none").all()
    assert run.kept() == set()
    assert not any(store.has_model(key) for key in run.trained)
    assert all(store.result(key) for key in run.trained)


def test_weights_of_inputs_and_of_the_best_of_each_task_are_kept(store: Store) -> None:
    run = Run(store, sweep(), "best").all()
    assert run.kept() == {("gad", None), ("ddi", None), ("gad", "ddi")}  # ddi's best is its baseline


def test_the_best_is_chosen_by_dev_and_whatever_the_order(store: Store) -> None:
    recipes = [recipe("gad", seed=seed) for seed in range(4)]
    run = Run(store, recipes, "best")
    run.finish(run.schedule.next())  # type: ignore[arg-type]
    for dev in (0.3, 0.9, 0.9, 0.1):  # of equal ones the first stays
        run.finish(run.schedule.next(), dev)  # type: ignore[arg-type]
    assert [store.has_model(one.stage.key) for one in recipes] == [False, True, False, False]
    better = [*recipes, recipe("gad", seed=4)]
    later = Run(store, better, "best")
    node = later.schedule.next()
    assert node is not None
    later.finish(node, 0.5)
    assert not store.has_model(better[-1].stage.key), "an earlier run's is better"


def test_weights_that_an_earlier_run_kept_are_left_alone(store: Store) -> None:
    Run(store, sweep(), "all").all()
    run = Run(store, sweep(seeds=(0, 1)), "none").all()
    assert {one.seed for one in run.recipes if store.has_model(one.stage.key)} == {0}


def test_a_policy_asks_again_for_weights_only_where_something_unfinished_needs_them(store: Store) -> None:
    Run(store, sweep(), "none").all()
    assert Run(store, sweep(), "all").all().trained == []
    extended = Run(store, [*sweep(), recipe("hoc", "gad")], "none")
    extended.all()
    assert len(extended.trained) == 3, "the model and the intermediate task again, and the new pair"
    assert extended.kept() == set()


def test_the_same_weights_under_two_names_have_a_row_each(store: Store) -> None:
    recipes = sweep()
    renamed = [dataclasses.replace(one, model="other_name") for one in recipes]
    run = Run(store, [*recipes, *renamed]).all()
    assert len(run.trained) == len(set(run.trained))
    table = rows.read(store.filesystem, store.root)
    assert sorted(table.groupby("model").size()) == [len(recipes), len(recipes)]
    later = Run(store, [dataclasses.replace(one, model="third_name") for one in recipes])
    assert later.found == len(recipes)
    assert later.all().trained == []


@pytest.mark.parametrize("task", ["fpb", "gad@3"])
@pytest.mark.parametrize("of_search", [False, True])
def test_two_switch_rates_of_one_training_have_rows_of_their_own(store: Store, task: str, of_search: bool) -> None:
    """Of five epochs 0.6 and 0.7 are three; the same stage answers both, even where only a later start asks."""
    named = models.resolve("mini_domain"), models.resolve("mini_general")
    made = Experiment(task, *named, Setting("mini", 32, 64))
    asked: list[Recipe] = []
    trained: list[str] = []
    for trial, rate in enumerate((0.6, 0.7)):
        labels = {"study": "joint", "trial": trial} if of_search else {}
        one = made.distilled_recipe({**CHOSEN, "epochs": 5, "gamma": rate}, 0, **labels)
        asked += with_folds([one])
        store.write_sweep("grid", [each.to_json() for each in asked])
        schedule = Schedule([each.stage for each in asked], store)
        keeper = Bookkeeper("grid", asked, schedule, store, "inputs")
        keeper.write_missing_rows()
        while (node := schedule.next()) is not None:
            published = store.publish(node.key, store.working_folder(node.key), {}, result("accuracy", 0.8))
            schedule.finished(node.key, published)
            keeper.finished(node)
            trained.append(node.key)
    assert len({one.stage.key for one in asked}) == len(asked) / 2
    assert len(trained) == len(set(trained))
    written = {row["row_key"]: row for row in rows.read_table(store.filesystem, store.root).to_pylist()}
    assert sorted(row["switch_rate"] for row in written.values()) == sorted([0.6, 0.7] * (len(asked) // 2))
    for file in (Path(store.root) / "leaderboard").iterdir():
        file.unlink()
    assert rebuild(store) == len(asked)
    assert {row["row_key"]: row for row in rows.read_table(store.filesystem, store.root).to_pylist()} == written
