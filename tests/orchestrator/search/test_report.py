"""What a search says at its end, and the files that it leaves."""

from __future__ import annotations

import io
import json
import shlex
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.recipe import Recipe
from orchestrator.search import report
from tests.orchestrator.search.studies import add, mixed, study
from trainables.stages import FineTune, MaskedLanguageModel, RandomInit

MODEL = MaskedLanguageModel("mini:general", RandomInit("mini:general", hidden_size=16, layers=1, heads=2))


def shown(*studies: object, published: dict[str, object] | None = None, width: int = 160) -> list[str]:
    output = io.StringIO()
    report.show(Console(file=output, width=width), studies, published)  # type: ignore[arg-type]
    return output.getvalue().splitlines()


def test_the_best_is_the_highest_and_the_earlier_among_equals() -> None:
    found = report.best(mixed())
    assert found is not None
    assert (found.number, found.value) == (2, 79.02)
    assert [trial.number for trial in report.top(mixed(), 2)] == [2, 4]


def test_pruned_failed_and_infinite_trials_are_never_the_best() -> None:
    made = study()
    add(made, None, {"beta2": 0.3}, state="PRUNED", reports=[99.0])
    assert report.best(made) is None
    add(made, float("inf"), {"beta2": 0.3})
    assert report.best(made) is None
    add(made, 60.0, {"beta2": 0.5})
    best = report.best(made)
    assert best is not None
    assert best.number == 2


def test_phases_and_best_trials_are_printed() -> None:
    lines = shown(mixed("search-teacher"), mixed("search-distillation"))
    assert lines[0].split() == ["study", "trials", "complete", "pruned", "failed", "best", "dev"]
    assert lines[1].split() == ["search-teacher", "5", "3", "1", "1", "79.02"]
    assert lines[2].startswith("search-distillation")
    assert lines[4].rstrip() == "best of search-distillation: trial 2, learning_rate=1e-05 beta2=0.7"
    assert lines[6].rstrip() == "best 3 of search-distillation"
    assert [line.split() for line in lines[7:]] == [
        ["trial", "2", "4", "0"],
        ["dev", "79.02", "79.02", "78.00"],
        ["learning_rate", "1e-05", "1e-05", "6e-06"],
        ["beta2", "0.7", "0.5", "0"],
    ]


def test_trials_that_have_not_ended_are_counted_too() -> None:
    made = mixed()
    made.ask()
    made.enqueue_trial({"beta2": 0.3})
    lines = shown(made)
    assert lines[0].split()[:-2] == ["study", "trials", "complete", "pruned", "failed", "running", "waiting"]
    assert lines[1].split()[1:] == ["7", "3", "1", "1", "1", "1", "79.02"]


def test_a_search_without_a_complete_trial_still_reports() -> None:
    lines = shown(study("empty"), published={"beta2": 0.7})
    assert [line.split()[0] for line in lines] == ["study", "empty"]
    assert report.sentence(study()) == "0 trials."
    assert report.winner([study()]) == {}


def test_the_choice_of_all_phases_stands_beside_the_papers() -> None:
    teacher = study("t")
    add(teacher, 80.0, {"beta2": 0.3})
    lines = shown(teacher, mixed(), published={"beta2": 0.7, "epochs": 10})
    assert report.winner([teacher, mixed()]) == {"beta2": 0.7, "learning_rate": 1e-5}
    rows = [line.split() for line in lines[lines.index(next(line for line in lines if "paper" in line)) :]]
    assert rows == [["setting", "ours", "paper"], ["beta2", "0.7", "0.7"], ["learning_rate", "1e-05"], ["epochs", "10"]]


def test_a_study_in_a_sentence() -> None:
    made = study()
    add(made, 79.016, {"learning_rate": 1e-5, "beta2": 0.3})
    assert report.sentence(made) == "1 trial: 1 complete. Best: 79.02, trial 0 (learning_rate=1e-05 beta2=0.3)"


def test_a_ready_command_is_one_line_that_a_shell_reads_back() -> None:
    options = {
        "task": "gad@10",
        "learning_rate": 1e-05,
        "--seeds": (0, 1, 2),
        "data": "my data/$HOME",
        "prune": True,
        "dry_run": False,
        "limit": None,
    }
    line = report.ready_command("orchestrator.doktra", options)
    assert "\n" not in line
    assert shlex.split(line) == [
        *("python", "-m", "orchestrator.doktra", "--task", "gad@10", "--learning-rate", "1e-05", "--seeds", "0,1,2"),
        *("--data", "my data/$HOME", "--prune"),
    ]
    assert "'my data/$HOME'" in line


def test_expressions_are_written_readable_and_read_back(tmp_path: Path) -> None:
    recipes = [Recipe(FineTune("gad", MODEL, "mini", seed=seed), "finetune", "mini", "gad", seed) for seed in (0, 1)]
    path = tmp_path / "new" / "best.json"
    report.write_expressions(path, recipes)
    form = json.loads(path.read_text())
    assert form["format"] == 1
    assert [Recipe.from_json(one) for one in form["recipes"]] == recipes
    assert form["recipes"][0]["keys"][0] == recipes[0].stage.key
    assert path.read_text().count("\n") > 30, "indented"
    report.write_expressions(path, recipes[:1])
    assert [one.name for one in path.parent.iterdir()] == ["best.json"]
    assert len(json.loads(path.read_text())["recipes"]) == 1


@pytest.mark.parametrize(("value", "text"), [(1e-5, "1e-05"), (0.30000000000000004, "0.3"), (10, "10"), ("a", "a")])
def test_values_are_shown_short(value: object, text: str) -> None:
    assert report.shown(value) == text
