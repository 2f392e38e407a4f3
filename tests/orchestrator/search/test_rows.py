"""The rows that a search ends with: means over seeds, and never of two models."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from orchestrator.engine.resources import Shares
from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows
from orchestrator.options import RunOptions
from orchestrator.recipe import Recipe
from orchestrator.search.rows import show_rows
from tests.leaderboard.synthetic import CHOSEN, experiment, keyed, result


def shown(tmp_path: Path, asked: list[tuple[Recipe, float]]) -> list[str]:
    """What is printed of recipes and their scores."""
    store = Store(str(tmp_path))
    for recipe, score in asked:
        results = {stage.key: result("micro_f1", 0.5) for stage in recipe.stage.walk()}
        results[recipe.stage.key] = result("micro_f1", score / 100, score / 100)
        rows.write(store.filesystem, store.root, rows.build("search", recipe, results))
    output = io.StringIO()
    options = RunOptions(str(tmp_path), "search", Shares(), "best", dry_run=False, report_only=False)
    show_rows(options, [recipe for recipe, _ in asked], store, Console(file=output, width=200))
    return [" ".join(line.split()) for line in output.getvalue().splitlines()]


def test_a_student_that_is_its_own_teacher_has_two_lines(tmp_path: Path) -> None:
    made = experiment("gad", teacher="mini", student="mini")
    asked = [
        (keyed(make(CHOSEN, seed)), score + seed)
        for make, score in ((made.distilled_recipe, 70.0), (made.student_recipe, 50.0), (made.teacher_recipe, 60.0))
        for seed in (0, 1)
    ]
    lines = shown(tmp_path, asked)
    assert [line.split()[:6] for line in lines[1:4]] == [
        ["doktra", "mini", "gad", "2", "70.50", "0.71"],
        ["finetune", "mini", "gad", "2", "50.50", "0.71"],
        ["finetune", "mini", "gad", "2", "60.50", "0.71"],
    ]


def test_retention_can_be_derived_from_what_is_shown(tmp_path: Path) -> None:
    made = experiment("gad")
    lines = shown(tmp_path, [(keyed(made.distilled_recipe(CHOSEN, 0)), 70.0)])
    found = dict(zip(lines[0].split(), lines[1].split(), strict=True))
    assert float(found["retention"]) == 100 * float(found["score"]) / float(found["teacher_score"])
    assert "the very teacher and student" in " ".join(lines)
