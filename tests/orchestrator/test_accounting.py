"""What a sweep amounts to before it is run."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator import accounting
from orchestrator.engine import costs
from orchestrator.engine.costs import CostModel
from orchestrator.engine.resources import Shares
from orchestrator.engine.schedule import Schedule
from orchestrator.engine.store import Store
from orchestrator.recipe import Recipe
from trainables.data import tasks
from trainables.expression import Stage
from trainables.stages import (
    ActivationBoundaryDistillation,
    FineTune,
    MaskedLanguageModel,
    RandomInit,
    TeacherOutputs,
)

MODEL = MaskedLanguageModel("mini:general", RandomInit("mini:general", hidden_size=16, layers=1, heads=2))


def grid() -> list[Recipe]:
    """Eleven targets, each from the model alone and after each of ten others."""
    first = {task: FineTune(task, MODEL, "mini") for task in tasks.STILT_TASKS}
    found = [Recipe(stage, "finetune", "mini", task, 0) for task, stage in first.items()]
    for task in first:
        for other in first:
            if other != task:
                pair = FineTune(task, FineTune(other, MODEL, "mini"), "mini")
                found.append(Recipe(pair, "stilt", "mini", task, 0, intermediate=other))
    return found


def finish(store: Store, stage: Stage, seconds: float) -> None:
    cost = {"seconds": seconds, "gpu_seconds": seconds / 4}
    store.publish(stage.key, store.working_folder(stage.key), stage.to_json(), {"metrics": {}, "cost": cost})


def shown(recipes: list[Recipe], store: Store, shares: Shares) -> str:
    output = io.StringIO()
    schedule = Schedule([recipe.stage for recipe in recipes], store)
    console = Console(file=output, width=120)
    accounting.show(console, recipes, schedule, costs.from_store(store), shares)
    return output.getvalue()


def numbers(text: str, row: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if f" {row} " in line.replace("│", " ")]
    return [word for word in line.replace("│", " ").split() if word.isdigit()]


def test_the_grid_is_121_fine_tunings_and_not_231(tmp_path: Path) -> None:
    recipes = grid()
    assert len(recipes) == 11 + 110
    assert accounting.unshared(recipes) == Counter(
        {"FineTune": 11 + 2 * 110, "MaskedLanguageModel": 121, "RandomInit": 121}
    )
    text = shown(recipes, Store(str(tmp_path)), Shares())
    assert "121 recipes" in text
    assert numbers(text, "FineTune") == ["231", "121", "110", "0", "121"]
    assert numbers(text, "MaskedLanguageModel") == ["121", "1", "120", "0", "1"]
    assert numbers(text, "all") == ["473", "123", "350", "0", "123"]
    assert "expected" not in text
    assert "cost not known for 123 stages" in text


def test_what_is_finished_is_not_counted_again_and_teaches_costs(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    recipes = grid()
    finish(store, recipes[0].stage, seconds=7200.0)
    target = recipes[0].task
    text = shown(recipes, store, Shares(max_concurrent=2))
    assert numbers(text, "FineTune") == ["231", "121", "110", "0", "121"], "its weights are wanted and not there"
    alone = [recipe for recipe in recipes if recipe.intermediate is None or recipe.task == target]
    baselines = [recipe for recipe in recipes if recipe.intermediate is None]
    assert numbers(shown(baselines, store, Shares()), "FineTune") == ["11", "11", "0", "1", "10"]
    # ten pairs of that target are like the finished one; the other ten baselines are like none
    text = shown(alone, store, Shares(max_concurrent=2))
    assert "expected: 5.00 GPU-hours, 20.00 hours of work, " in text
    assert "with 2 at once" in text
    assert "cost not known for 12 stages" in text


def test_wall_time_is_the_work_over_the_slots_or_the_longest_chain(tmp_path: Path) -> None:
    first = FineTune("gad", MODEL, "mini")
    second = FineTune("ddi", first, "mini")
    others = [FineTune("gad", MODEL, "mini", seed=seed) for seed in range(1, 4)]
    schedule = Schedule([second, *others], Store(str(tmp_path)))
    known = CostModel()
    known.observe(first, {"cost": {"seconds": 10.0, "gpu_seconds": 5.0}})
    known.observe(second, {"cost": {"seconds": 30.0, "gpu_seconds": 15.0}})
    work, gpu, wall, unknown = accounting.expected(schedule.to_run(), known, slots=1)
    assert (work, gpu, wall, unknown) == (70.0, 35.0, 70.0, 2)
    assert accounting.expected(schedule.to_run(), known, slots=100)[2] == pytest.approx(40.0)


def test_costs_of_what_a_schedule_found_finished(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    stage = FineTune("gad", MODEL, "mini")
    finish(store, stage, seconds=3.0)
    assert accounting.observed(Schedule([stage], store)).seconds(stage) == 3.0
    assert accounting.observed(Schedule([stage], Store(str(tmp_path / "other")))).seconds(stage) is None


def search(betas: tuple[float, ...], gammas: tuple[float, ...]) -> list[Recipe]:
    """A distillation for every pair; they share the student and, for a beta, the teacher."""
    student = FineTune("gad", MODEL, "mini")
    teachers = {beta: FineTune("gad", MODEL, "mini", confidence_penalty=beta, seed=1) for beta in betas}
    stages = [
        ActivationBoundaryDistillation(student, TeacherOutputs(teacher), switch_rate=gamma)
        for teacher in teachers.values()
        for gamma in gammas
    ]
    return [Recipe(stage, "doktra", "mini", "gad", 0, teachers=("mini",)) for stage in stages]


def summed_up(recipes: list[Recipe], schedule: Schedule) -> str:
    output = io.StringIO()
    Console(file=output, width=200).print(accounting.summary(recipes, schedule))
    return output.getvalue()


def run_all(schedule: Schedule, **ends: str) -> None:
    """Ends every stage well, but those of a kind as told."""
    while (node := schedule.next()) is not None:
        how = ends.get(type(node.stage).__name__)
        if how == "pruned":
            schedule.pruned(node.key)
        elif how == "failed":
            schedule.failed(node.key, "it broke")
        else:
            schedule.finished(node.key, {"metrics": {}})


def test_after_a_search_every_distinct_stage_was_run_once(tmp_path: Path) -> None:
    recipes = search((0.3, 0.5), (0.6, 0.7, 0.8, 0.9))
    twice = [*recipes, recipes[0]]  # a search may propose the same again
    schedule = Schedule([recipe.stage for recipe in twice[:3]], Store(str(tmp_path)))
    schedule.extend(recipe.stage for recipe in twice[3:])
    run_all(schedule)
    text = summed_up(twice, schedule)
    assert "9 recipes" in text
    assert numbers(text, "FineTune") == ["18", "3", "3", "0", "0", "0"]
    assert numbers(text, "TeacherOutputs") == ["9", "2", "2", "0", "0", "0"]
    assert numbers(text, "ActivationBoundaryDistillation") == ["9", "8", "8", "0", "0", "0"]
    assert numbers(text, "all") == ["54", "15", "15", "0", "0", "0"]
    sentence = "15 stages run = 15 distinct sub-expressions (15 trained now); nothing shared would have been 54"
    assert text.splitlines()[-1].strip() == sentence


def test_what_was_found_finished_is_no_run_of_now(tmp_path: Path) -> None:
    recipes, store = search((0.3,), (0.6, 0.7)), Store(str(tmp_path))
    finish(store, recipes[0].stage, seconds=1.0)
    schedule = Schedule([recipe.stage for recipe in recipes], store)
    run_all(schedule)
    text = summed_up(recipes, schedule)
    assert numbers(text, "ActivationBoundaryDistillation") == ["2", "2", "1", "1", "0", "0"]
    assert "7 stages run = 7 distinct sub-expressions (6 trained now, 1 found finished)" in text


def test_pruned_and_failed_stages_are_told_apart(tmp_path: Path) -> None:
    recipes = search((0.3, 0.5), (0.6, 0.7))
    stages = [recipe.stage for recipe in recipes]
    pruned = Schedule(stages, Store(str(tmp_path)))
    run_all(pruned, ActivationBoundaryDistillation="pruned")
    text = summed_up(recipes, pruned)
    assert numbers(text, "ActivationBoundaryDistillation") == ["4", "4", "0", "0", "4", "0"]
    assert "11 stages run = 11 distinct sub-expressions (7 trained now, 4 pruned)" in text

    failed = Schedule(stages, Store(str(tmp_path)))
    run_all(failed, TeacherOutputs="failed")
    text = summed_up(recipes, failed)
    assert numbers(text, "TeacherOutputs") == ["4", "2", "0", "0", "0", "2", "0"]
    assert numbers(text, "ActivationBoundaryDistillation") == ["4", "4", "0", "0", "0", "0", "4"]
    assert "7 stages run of 11 distinct sub-expressions (5 trained now, 2 failed); not run: 4 blocked" in text


def test_an_interrupted_search_says_what_is_to_go_and_what_was_started_again(tmp_path: Path) -> None:
    recipes = search((0.3,), (0.6,))
    schedule = Schedule([recipe.stage for recipe in recipes], Store(str(tmp_path)))
    first = schedule.next()
    assert first is not None
    assert schedule.retry(first.key)
    again = schedule.next()
    assert again is first
    schedule.finished(first.key, {"metrics": {}})
    text = summed_up(recipes, schedule)
    assert "1 stage run of 6 distinct sub-expressions (1 trained now); not run: 5 to go; 1 more start, after" in text


def test_what_was_given_up_before_it_began_would_not_have_been_run_alone_either(tmp_path: Path) -> None:
    """Of a pruned trial only the first seed is ever run, with sharing or without."""
    recipes = search((0.3,), (0.6, 0.7))
    schedule = Schedule([recipes[0].stage], Store(str(tmp_path)))
    run_all(schedule, ActivationBoundaryDistillation="pruned")
    assert "nothing shared would have been 6" in summed_up(recipes, schedule)
