"""A stage without data or weights, and results as workers write them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import pandas as pd

from orchestrator.doktra_recipes import Experiment, Setting
from orchestrator.leaderboard import rows
from orchestrator.leaderboard.published import published
from orchestrator.recipe import Recipe
from trainables.data import tasks
from trainables.expression import KEY_LENGTH, Stage
from trainables.stages import Pretrained


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


#: A choice of DoKTra's hyperparameters.
CHOSEN = {
    "teacher_epochs": 5,
    "teacher_learning_rate": 2e-5,
    "beta1": 0.3,
    "student_epochs": 7,
    "student_learning_rate": 6e-6,
    "epochs": 10,
    "learning_rate": 1e-5,
    "beta2": 0.5,
    "gamma": 0.9,
}


def experiment(task: str, teacher: str = "biobert", student: str = "albert_xlarge", **setting: Any) -> Experiment:
    """Real stages over data and models that are not there; see :func:`keyed`."""
    weights = {name: Pretrained(f"/nowhere/{name}") for name in (teacher, student)}
    options = {"data": "nowhere", "batch_size": 50, "max_length": 128, **setting}
    return Experiment(task, (teacher, weights[teacher]), (student, weights[student]), Setting(**options))


def keyed(asked: Recipe) -> Recipe:
    """Gives every stage a key of its own fields alone, as if data and weights had been there to hash."""

    def visit(stage: Stage) -> None:
        stage.__dict__["key"] = hashlib.sha256(repr(stage).encode()).hexdigest()[:KEY_LENGTH]
        for parent in stage.inputs:
            visit(parent)

    visit(asked.stage)
    return asked


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
