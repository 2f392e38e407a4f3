"""A search's proposer, driven as the engine drives it: studies and leaderboard agree, whatever is killed and when."""

from __future__ import annotations

import dataclasses
import random
import statistics
from collections import Counter
from pathlib import Path

import pytest

from orchestrator.engine.schedule import State
from orchestrator.leaderboard import rows
from orchestrator.leaderboard.rebuild import rebuild
from search_spaces.space import Choices
from tests.orchestrator.search import simulated
from tests.orchestrator.search.simulated import SPACE, SWEEP, World, drive, drive_killed, search
from tests.search_agreement import agreement, studies
from trainables.errors import UserError
from trainables.stages import ActivationBoundaryDistillation, FineTune, TeacherOutputs


def agrees(world: World) -> list[str]:
    return agreement(world.store, world.journal, SWEEP)


def states(world: World) -> dict[str, Counter[str]]:
    return {
        study.study_name.split(".")[1]: Counter(trial.state.name for trial in study.get_trials(deepcopy=False))
        for study in studies(world.journal)
    }


# --- undisturbed ---------------------------------------------------------------------------------------------


def test_a_joint_search_tries_as_many_trials_as_it_is_told_and_trains_each_stage_once(tmp_path: Path) -> None:
    world = World(tmp_path, search(pruner="none"))
    driver = drive(world)
    assert agrees(world) == []
    assert states(world) == {"joint": Counter(COMPLETE=8)}
    assert len(world.table()) == 8 * 2
    assert set(world.trained.values()) == {1}
    distinct = {stage.key for recipe in driver.proposer.recipes for stage in recipe.stage.walk() if stage.stored}
    assert set(world.trained) == distinct
    kinds = Counter(type(node.stage) for node in driver.schedule.nodes.values())
    assert kinds[FineTune] <= 2 * (4 + 2), "teachers and students are shared"
    assert kinds[TeacherOutputs] <= 2 * 4


def test_a_finished_search_runs_nothing_and_more_trials_extend_it(tmp_path: Path) -> None:
    world = World(tmp_path, search(trials=4, pruner="none"))
    drive(world)
    before = {row["row_key"]: row for row in world.table()}
    assert drive(world).begun == []
    assert {row["row_key"]: row for row in world.table()} == before
    world.search = search(trials=6, pruner="none")
    drive(world)
    assert agrees(world) == []
    assert states(world) == {"joint": Counter(COMPLETE=6)}
    assert before.items() <= {row["row_key"]: row for row in world.table()}.items()
    assert set(world.trained.values()) == {1}


def test_a_staged_search_gives_each_phase_what_the_phases_before_it_chose(tmp_path: Path) -> None:
    world = World(tmp_path, search("staged", trials=4, pruner="none"))
    driver = drive(world)
    assert agrees(world) == []
    assert states(world) == {
        "teacher": Counter(COMPLETE=4),  # all of its values
        "student": Counter(COMPLETE=2),
        "distillation": Counter(COMPLETE=4),
    }
    best = {name: study.best for name, study in driver.proposer.studies.items()}
    assert all(best.values())
    for recipe in driver.proposer.recipes:
        if isinstance(recipe.stage, ActivationBoundaryDistillation):
            assert recipe.stage.teacher.confidence_penalty == best["teacher"].params["beta1"]  # type: ignore
            assert recipe.stage.student.epochs == best["student"].params["student_epochs"]  # type: ignore
    for name in best:  # the best is the one with the highest mean over seeds
        rows_ = [row for row in world.table() if row["study"].startswith(f"search.{name}")]
        means = {
            trial: statistics.fmean(row["dev_score"] for row in rows_ if row["trial"] == trial)
            for trial in {row["trial"] for row in rows_}
        }
        assert means[best[name].number] == max(means.values())  # type: ignore[union-attr]
    assert set(world.trained.values()) == {1}


def test_folds_have_rows_of_their_own_and_the_objective_is_their_mean(tmp_path: Path) -> None:
    world = World(tmp_path, search(task="gad@3", trials=5, seeds=(0,)))
    drive(world)
    assert agrees(world) == []
    (study,) = studies(world.journal)
    for trial in study.get_trials(deepcopy=False):
        rows_ = [row for row in world.table() if row["trial"] == trial.number]
        assert sorted(row["task"] for row in rows_) == ["gad@1/3", "gad@2/3", "gad@3", "gad@3/3"]


def test_the_first_seed_leads_where_trials_may_be_stopped_early(tmp_path: Path) -> None:
    world = World(tmp_path, search(trials=12, seeds=(0, 1, 2)))
    driver = drive(world)
    assert agrees(world) == []
    counts = states(world)["joint"]
    assert counts["PRUNED"] > 0
    assert counts["COMPLETE"] >= 4
    assert counts.total() == 12
    seeds = {node.key: node.stage.seed for node in driver.schedule.nodes.values() if node.stage.prunable}  # type: ignore
    begun = [key for key in driver.begun if key in seeds]
    pruned = {key for key in seeds if driver.schedule.nodes[key].state is State.PRUNED}
    assert pruned
    assert {seeds[key] for key in pruned} == {0}
    for row in world.table():
        if row["seed"] and row["status"] == "finished":
            lead = next(
                one
                for one in world.table()
                if (one["study"], one["trial"], one["seed"]) == (row["study"], row["trial"], 0)
            )
            assert lead["key"] not in begun or begun.index(lead["key"]) < begun.index(row["key"])
    lost = [row for row in world.table() if row["status"] == "pruned"]
    assert len(lost) == 3 * counts["PRUNED"]
    assert all("stopped early" in row["error"] for row in lost)
    assert not any(world.store.result(row["key"]) for row in lost)


def test_not_many_more_trials_are_open_than_stages_run(tmp_path: Path) -> None:
    world = World(tmp_path, search(trials=20, space=simulated.CONTINUOUS))
    assert drive(world).most_open <= simulated.SLOTS + 1


def test_settings_are_chosen_for_each_fold_on_its_own_dev(tmp_path: Path) -> None:
    """Over all folds dev and test are the same examples; of one fold they have nothing in common."""
    world = World(tmp_path, search(task="gad@3", trials=8, pruner="none", folds=3))
    proposer = drive(world).proposer
    assert proposer.chooses_per_fold
    make = world.search.phases[-1].make
    chosen = proposer.best_of([make])
    assert [recipe.seed for recipe in chosen] == [0, 1]
    (study,) = studies(world.journal)
    points = {tuple(trial.params.items()) for trial in study.get_trials(deepcopy=False)}
    trials = [[make(dict(point), seed).stage.folds for seed in (0, 1)] for point in points]  # type: ignore[attr-defined]
    for place in range(3):
        dev = {
            tuple(folds[place].key for folds in seeds): statistics.fmean(
                world.store.result(folds[place].key)["metrics"][f"dev/{simulated.METRIC}"]  # type: ignore[index]
                for folds in seeds
            )
            for seeds in trials
        }
        ours = tuple(recipe.stage.folds[place].key for recipe in chosen)  # type: ignore[attr-defined]
        assert dev[ours] == max(dev.values())
    best = make(proposer.studies["joint"].chosen(proposer.studies["joint"].best), 0)  # type: ignore[arg-type]
    assert best.stage.key != chosen[0].stage.key, "of so many random scores no trial has the best of every fold"
    chose = {(fold.switch_rate, fold.learning_rate) for fold in chosen[0].stage.folds}  # type: ignore[attr-defined]
    assert len(chose) > 1, "the folds chose for themselves"


# --- failures ------------------------------------------------------------------------------------------------


def test_a_failure_fails_the_trials_that_need_it_and_has_rows_for_all_of_them(tmp_path: Path) -> None:
    world = World(tmp_path, search(trials=10, pruner="none"), random.Random(1))
    world.fails = lambda stage: isinstance(stage, FineTune) and stage.confidence_penalty == 0.5
    drive(world)
    assert agrees(world) == []
    (study,) = studies(world.journal)
    for trial in study.get_trials(deepcopy=False):
        assert (trial.state.name == "FAIL") == (trial.params["beta1"] == 0.5)
    failed = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "FAIL"]
    assert failed
    assert all("failed by order" in trial.user_attrs["error"] for trial in failed)
    lost = [row for row in world.table() if row["status"] in ("failed", "blocked")]
    assert len(lost) == 2 * len(failed), "those proposed after the failure, too"
    assert all("failed by order" in row["error"] for row in lost)


def failed(world: World, begun: bool = True) -> list[tuple[tuple[str, object], ...]]:
    """The hyperparameters of the trials that failed, having begun or not."""
    lost = [one for one in studies(world.journal)[0].get_trials(deepcopy=False) if one.state.name == "FAIL"]
    return [tuple(trial.params.items()) for trial in lost if ("not_begun" not in trial.user_attrs) is begun]


def test_what_failed_is_tried_again_by_the_next_start_and_once_only(tmp_path: Path) -> None:
    world = World(tmp_path, search(trials=6, pruner="none"), random.Random(1))
    world.fails = lambda stage: isinstance(stage, FineTune) and stage.confidence_penalty == 0.5
    drive(world)
    first = failed(world)
    assert first
    drive(world)  # they fail again, and that is that
    again = [*failed(world), *failed(world, begun=False)]
    assert all(again.count(one) == 2 for one in first)
    world.fails = lambda stage: False
    drive(world)
    assert agrees(world) == []
    assert states(world)["joint"]["COMPLETE"] >= 6
    assert drive(world).begun == []


def test_trials_that_only_need_what_has_failed_do_not_use_a_search_up(tmp_path: Path) -> None:
    world = World(tmp_path, search(trials=10, pruner="none"), random.Random(1))
    world.fails = lambda stage: isinstance(stage, FineTune) and stage.confidence_penalty == 0.5
    drive(world)
    unbegun = failed(world, begun=False)
    assert unbegun
    assert states(world)["joint"]["COMPLETE"] + len(failed(world)) >= 10


def test_a_search_of_which_everything_needs_what_has_failed_ends(tmp_path: Path) -> None:
    world = World(tmp_path, search(trials=5, pruner="none"), random.Random(1))
    world.fails = lambda stage: isinstance(stage, FineTune)
    drive(world)
    assert agrees(world) == []
    assert states(world)["joint"]["COMPLETE"] == 0
    assert len(failed(world, begun=False)) <= 2 * 5


@pytest.mark.parametrize("phase", ["teacher", "student"])
def test_a_phase_without_a_complete_trial_ends_the_search(tmp_path: Path, phase: str) -> None:
    world = World(tmp_path, search("staged", trials=3))
    name = {"teacher": "biobert", "student": "albert_xlarge"}[phase]
    world.fails = lambda stage: isinstance(stage, FineTune) and name in stage.init.name  # type: ignore[attr-defined]
    driver = drive(world)
    assert agrees(world) == []
    assert "distillation" not in driver.proposer.studies
    assert states(world)[phase]["COMPLETE"] == 0


def test_a_lost_entry_of_a_complete_trial_is_made_again(tmp_path: Path) -> None:
    world = World(tmp_path, search(trials=4, pruner="none"))
    drive(world)
    lost = world.table()[0]["key"]
    (tmp_path / "stages" / lost / "result.json").write_bytes(b"{")
    assert lost in drive(world).begun
    assert agrees(world) == []
    assert world.trained[lost] == 2


@pytest.mark.parametrize("pruner", ["asha", "none"])
def test_the_weights_of_the_best_distillation_are_kept_and_no_others(tmp_path: Path, pruner: str) -> None:
    """Kept is one of a trial's seeds, the one that is best on dev."""
    world = World(tmp_path, search(trials=8, pruner=pruner))
    drive(world)
    table = [row for row in world.table() if row["method"] == "doktra" and row["status"] == "finished"]
    kept = {row["key"] for row in table if world.store.has_model(row["key"])}
    assert kept == {max(table, key=lambda row: (row["dev_score"], row["key"]))["key"]}


def test_a_lost_row_of_a_pruned_trial_is_written_again(tmp_path: Path) -> None:
    world = World(tmp_path, search(trials=12))
    drive(world)
    lost = next(row for row in world.table() if row["status"] == "pruned")
    (tmp_path / "leaderboard" / f"{lost['row_key']}.parquet").unlink()
    assert agrees(world) != []
    assert drive(world).begun == []
    assert agrees(world) == []


def test_a_search_whose_journal_is_gone_is_not_begun_under_its_old_numbers(tmp_path: Path) -> None:
    world = World(tmp_path, search(trials=4, pruner="none"))
    drive(world)
    world.journal.unlink()
    with pytest.raises(UserError, match=r"has 8 rows of the study 'search.joint', whose journal is gone.*--sweep"):
        drive(world)


def test_a_lost_row_of_a_complete_trial_is_written_again(tmp_path: Path) -> None:
    world = World(tmp_path, search(trials=4, pruner="none"))
    drive(world)
    next((tmp_path / "leaderboard").iterdir()).unlink()
    assert agrees(world) != []
    assert drive(world).begun == []
    assert agrees(world) == []


# --- killed --------------------------------------------------------------------------------------------------

GRID = dataclasses.replace(SPACE, dimensions={**SPACE.dimensions, "beta1": Choices((0.3,)), "gamma": Choices((0.6,))})
KINDS = {
    "joint, pruned": {"trials": 12},
    "joint, by TPE": {"trials": 8, "sampler": "tpe", "pruner": "none"},
    "staged": {"phases": "staged", "trials": 4},
    "folds": {"task": "gad@3", "trials": 10, "seeds": (0,)},
    "continuous": {"trials": 6, "space": simulated.CONTINUOUS, "seeds": (0, 1, 2)},
    "grid": {"trials": 100, "sampler": "grid", "space": GRID},
}


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("seed", range(3))
def test_a_driver_that_is_killed_at_any_write_loses_nothing_and_repeats_nothing(
    tmp_path: Path, kind: str, seed: int
) -> None:
    options = dict(KINDS[kind])
    world = World(tmp_path, search(**options), random.Random(f"{kind} {seed}"))  # type: ignore[arg-type]

    def look() -> None:
        known = {row["row_key"]: row for row in world.table() if row["status"] == "finished"}
        assert before.items() <= known.items(), "no finished row is lost or changed"
        before.update(known)

    before: dict[str, dict[str, object]] = {}
    driver = drive_killed(world, kills=12, after=look)
    assert agrees(world) == []
    for name, counts in states(world).items():
        assert counts["COMPLETE"] + counts["PRUNED"] == driver.proposer.studies[name].target
        assert set(counts) <= {"COMPLETE", "PRUNED"}
    assert max(world.trained.values()) == 1, "no finished stage was run again"
    trials = sum(counts.total() for counts in states(world).values())
    if "folds" not in kind:
        assert len(world.table()) == trials * len(world.search.seeds)
    # The leaderboard can be made again from the store, and still agrees.
    for file in (tmp_path / "leaderboard").iterdir():
        file.unlink()
    rebuild(world.store)
    assert agrees(world) == []


def test_failures_and_kills_together_still_agree(tmp_path: Path) -> None:
    for seed in range(4):
        world = World(tmp_path / str(seed), search(trials=8), random.Random(seed))
        world.fails = lambda stage: isinstance(stage, FineTune) and stage.confidence_penalty == 0.5 and stage.seed == 1
        drive_killed(world, kills=6)
        assert agrees(world) == []
        assert max(world.trained.values()) == 1
        world.fails = lambda stage: False
        drive(world)
        assert agrees(world) == []


def test_a_random_search_that_is_killed_tries_what_it_would_have_tried(tmp_path: Path) -> None:
    options = {"trials": 6, "space": simulated.CONTINUOUS, "pruner": "none", "seeds": (0,)}
    alone, killed = (World(tmp_path / name, search(**options)) for name in ("alone", "killed"))  # type: ignore[arg-type]
    drive(alone)
    drive_killed(killed, kills=15, writes=25)
    tried = [[trial.params for trial in studies(world.journal)[0].trials] for world in (alone, killed)]
    assert tried[0] == tried[1]
    assert {row["row_key"]: row["score"] for row in alone.table()} == {
        row["row_key"]: row["score"] for row in killed.table()
    }


def test_a_trial_that_was_given_up_is_stopped_though_the_driver_is_killed_before_it_heard_of_its_end(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, search(trials=12))
    driver = simulated.Driver(world)
    given_up = []

    def stop_there(study: object, trial: object) -> None:
        given_up.append(trial.number)  # type: ignore[attr-defined]
        raise simulated.Killed

    kind = type(next(iter(_studies_of(driver))))
    with pytest.MonkeyPatch.context() as patch:
        real = kind.give_up

        def give_up(study: object, trial: object) -> None:
            real(study, trial)  # type: ignore[arg-type]
            stop_there(study, trial)

        patch.setattr(kind, "give_up", give_up)
        with pytest.raises(simulated.Killed):
            driver.run()
    (number,) = given_up
    again = drive(world)
    trial = studies(world.journal)[0].trials[number]
    assert trial.state.name == "PRUNED"
    lost = [row for row in world.table() if row["trial"] == number]
    assert not {row["key"] for row in lost} & set(again.begun), "it is not run again to be stopped again"
    assert agrees(world) == []


def _studies_of(driver: simulated.Driver) -> list[object]:
    driver.proposer.start()
    return list(driver.proposer.studies.values())


# --- the checker itself --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "change", "said"),
    [
        ("COMPLETE", {"dev_score": 12.0}, "of its rows is not"),
        ("COMPLETE", {"status": "failed"}, "its rows are ['failed', 'finished']"),
        ("COMPLETE", {"confidence_penalty": 0.9}, "beta2 is"),
        ("COMPLETE", {"seed": 7}, "rows of seeds"),
        ("COMPLETE", {"trial": 99}, "rows of a trial that no study has"),
        ("COMPLETE", {"key": "0" * 32}, "of its results is not"),
        ("PRUNED", {"status": "finished"}, "its rows are ['finished', 'pruned']"),
    ],
)
def test_a_row_that_does_not_agree_is_found(tmp_path: Path, state: str, change: dict[str, object], said: str) -> None:
    world = World(tmp_path, search(trials=12))
    drive(world)
    (study,) = studies(world.journal)
    number = next(trial.number for trial in study.get_trials(deepcopy=False) if trial.state.name == state)
    row = next(row for row in world.table() if row["trial"] == number)
    rows.write(world.store.filesystem, world.store.root, {**row, **change})
    assert any(said in text for text in agrees(world)), agrees(world)
