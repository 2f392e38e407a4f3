"""The benchmark that looks for the planted transfer structure in a leaderboard."""

from __future__ import annotations

import math
from typing import Any

import pytest

from benchmarks import planted_transfer
from trainables.data import miniature, tasks
from trainables.errors import UserError


def _row(model: str, task: str, intermediate: str | None, seed: int, score: float | None) -> dict[str, Any]:
    return {
        "method": "stilt" if intermediate else "finetune",
        "model": model,
        "task": task,
        "intermediate": intermediate,
        "seed": seed,
        "status": "failed" if score is None else "finished",
        "score": score,
    }


def _grid(model: str, baseline: float, gains: dict[str, float]) -> list[dict[str, Any]]:
    """A full grid; gains by group of pairs, plus a spread over targets and seeds of mean zero."""
    rows = []
    middle = (len(tasks.STILT_TASKS) - 1) / 2
    for seed in (0, 1, 2):
        for place, task in enumerate(tasks.STILT_TASKS):
            rows.append(_row(model, task, None, seed, baseline))
            for first in tasks.STILT_TASKS:
                if first != task:
                    spread = 0.1 * (place - middle) + 0.1 * (seed - 1)
                    gain = gains[planted_transfer.group_of(first, task)]
                    rows.append(_row(model, task, first, seed, baseline + gain + spread))
    return rows


def test_a_planted_structure_is_found() -> None:
    gains = {"planted": 5.0, "unrelated": -0.5, "other": 1.0}
    rows = [*_grid("mini_general", 60, gains), *_grid("mini_domain", 75, gains)]
    findings = planted_transfer.examine(rows)
    assert findings.problems == []
    general = findings.gains["mini_general"]
    assert general["planted"].mean == pytest.approx(5.0, abs=0.2)
    assert general["unrelated"].pairs == len(miniature.UNRELATED)
    assert general["unrelated"].runs == 3 * len(miniature.UNRELATED)
    assert findings.baselines == {"mini_domain": 75, "mini_general": 60}
    assert "the planted structure is found" in planted_transfer.report(findings)


@pytest.mark.parametrize(
    ("gains", "domain", "problem"),
    [
        ({"planted": 0.0, "unrelated": -1.0, "other": 0.0}, 75, "planted pairs do not gain"),
        ({"planted": 5.0, "unrelated": 2.0, "other": 0.0}, 75, "unrelated pairs gain"),
        ({"planted": 3.0, "unrelated": 4.0, "other": 0.0}, 75, "no more than unrelated"),
        ({"planted": 5.0, "unrelated": 0.0, "other": 0.0}, 55, "not above"),
    ],
)
def test_what_is_not_as_planted_is_named(gains: dict[str, float], domain: float, problem: str) -> None:
    rows = [*_grid("mini_general", 60, gains), *_grid("mini_domain", domain, gains)]
    findings = planted_transfer.examine(rows)
    assert any(problem in found for found in findings.problems)
    assert "not as planted" in planted_transfer.report(findings)


def test_a_gain_is_against_the_baseline_of_the_same_model_and_seed() -> None:
    rows = [
        _row("m", "bioasq", None, 0, 50),
        _row("m", "bioasq", None, 1, 60),
        _row("m", "bioasq", "ddi", 0, 55),
        _row("m", "bioasq", "ddi", 1, 68),
        _row("m", "bioasq", "chemprot", 0, None),
        _row("m", "bioasq", "chemprot", 2, 99),
    ]
    gain = planted_transfer.examine(rows).gains["m"]["planted"]
    assert (gain.mean, gain.pairs, gain.runs, gain.positive) == (6.5, 1, 2, 1)


def test_the_standard_error_is_clustered_by_target() -> None:
    # By hand: mean 2, residual sums -4 and 4 over 2 targets, so sqrt((16 + 16) * 2/1) / 4 = 2.
    gain = planted_transfer.summary({("a", "x"): [0.0], ("b", "x"): [0.0], ("a", "y"): [4.0], ("b", "y"): [4.0]})
    assert gain.mean == 2
    assert gain.error == pytest.approx(2)
    assert math.isnan(planted_transfer.summary({("a", "x"): [1.0, 3.0]}).error)


def test_a_leaderboard_without_pairs_is_refused() -> None:
    with pytest.raises(UserError, match="no finished pair"):
        planted_transfer.examine([_row("m", "bioasq", None, 0, 50)])
