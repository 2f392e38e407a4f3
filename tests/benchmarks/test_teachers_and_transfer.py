"""What the benchmark of several teachers and transfer data makes of rows whose differences are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import teachers_and_transfer as benchmark

PAIR, ALL = ["one", "two"], ["one", "two", "three"]


def taught(method: str, teachers: list[str], seed: int, score: float) -> dict[str, Any]:
    return {"method": method, "teachers": teachers, "seed": seed, "model": "small", "score": score, "auroc": None}


def transferred(method: str, seed: int, auroc: float, teacher: str | None = "domain") -> dict[str, Any]:
    teachers = [] if teacher is None else [teacher]
    return {"method": method, "teachers": teachers, "seed": seed, "model": "small", "score": 50.0, "auroc": auroc}


def test_strategies_are_paired_with_a_random_teacher_by_seed_and_set() -> None:
    found = [
        taught(method, teachers, seed, 50.0 + 10 * seed + gain * (method == "expertise"))
        for seed, gains in enumerate(((2.0, 4.0), (4.0, 6.0)))
        for teachers, gain in zip((PAIR, ALL), gains, strict=True)
        for method in ("random_teacher", "expertise")
    ]
    lines = list(benchmark.strategies(found))
    # Means over sets are 3 and 5, so 4 with a standard error of 1; of the largest set 4 and 6.
    assert [line for line in lines if "expertise" in line] == [
        "  expertise       +4.00 +- 1.00, 2 seeds",
        "  expertise       +5.00 +- 1.00, 2 seeds",
    ]
    assert not [line for line in lines if line.startswith("  random_teacher")]


def test_transfer_sets_are_paired_by_seed_and_belong_to_one_teacher() -> None:
    found = [
        row
        for seed in (0, 1)
        for row in (
            transferred("untrained", seed, 50.0 + seed, None),
            transferred("distill_boolq", seed, 60.0 + 3 * seed),
            transferred("distill_boolq_random", seed, 52.0),
            transferred("distill_boolq", seed, 10.0, "other"),
        )
    ]
    lines = list(benchmark.transfer(found))
    own = lines[: lines.index("AUROC on test, points, teacher other:")]
    assert "  distill_boolq against untrained             +11.00 +- 1.00, 2 seeds" in own
    assert "  distill_boolq against distill_boolq_random  +9.50 +- 1.50, 2 seeds" in own


def test_without_rows_it_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert next(benchmark.strategies([])).startswith("no rows of orchestrator.multi_teacher")
    assert next(benchmark.transfer([])).startswith("no rows of orchestrator.transfer_data")
    assert benchmark.main(["--storage", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("no rows of orchestrator.") == 2
