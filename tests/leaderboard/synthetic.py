"""A stage without data or weights, and results as workers write them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pandas as pd

from orchestrator.leaderboard import rows
from orchestrator.leaderboard.published import published
from orchestrator.recipe import Recipe
from trainables.data import tasks
from trainables.expression import Stage


@dataclasses.dataclass(frozen=True)
class Tuned(Stage):
    """Stands for fine-tuning: has its hyperparameters, needs no data."""

    task: str
    init: Stage | None = None
    learning_rate: float = 5e-5
    epochs: int = 3
    train_limit: int | None = None
    seed: int = 0


def recipe(task: str, intermediate: str | None = None, seed: int = 0, model: str = "mini", **options: Any) -> Recipe:
    init = Tuned(f"weights of {model}")
    if intermediate is not None:
        init = Tuned(intermediate, init, seed=seed)
    stage = Tuned(task, init, seed=seed, **options)
    return Recipe(stage, "stilt" if intermediate else "finetune", model, task, seed, intermediate)


def result(metric: str, test: float, dev: float = 0.5, seconds: float = 2.0) -> dict[str, Any]:
    return {
        "metrics": {f"test/{metric}": test, f"dev/{metric}": dev},
        "history": [],
        "facts": {"parameters": 1000, "precision": "float32"},
        "cost": {"seconds": seconds, "gpu_seconds": 0.5, "peak_memory_bytes": 1 << 20},
        "provenance": {
            "host": "node1",
            "device": "cpu",
            "threads": 2,
            "commit": "abc123",
            "started_at": "2026-03-01T10:00:00+00:00",
            "finished_at": "2026-03-01T11:00:02+01:00",
            "versions": {"python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0", "ray": "2.60.0"},
        },
    }


def row(task: str, score: float | None, intermediate: str | None = None, seed: int = 0, **columns: Any) -> dict:
    """A finished row (failed where ``score`` is None) with the given columns over the usual ones."""
    metric = tasks.get(task).metric
    asked = recipe(task, intermediate, seed, columns.get("model", "mini"))
    results = {} if score is None else {asked.stage.key: result(metric, score / 100)}
    made = rows.build("grid", asked, results, "finished" if results else "failed", None if results else "CUDA is gone")
    return made | {"score": score} | columns


def frame(made: Sequence[dict]) -> pd.DataFrame:
    return rows.to_pandas(rows.table(made))


def published_as_rows() -> list[dict]:
    """The STILT paper's printed numbers as if they were ours, one seed each."""
    return [
        row(
            printed["task"],
            printed["value"],
            None if pd.isna(printed["intermediate"]) else printed["intermediate"],
            model=printed["model"],
        )
        for printed in published("stilt").to_dict("records")
    ]
