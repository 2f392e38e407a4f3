"""A real store with finished stages in it, published as workers publish them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows, statistics
from orchestrator.recipe import Recipe
from tests.leaderboard.synthetic import Tuned, recipe, result
from trainables.data import tasks
from trainables.expression import Stage

EXAMPLES = 400


def predictions(task: tasks.Task, share_right: float, seed: int) -> pa.Table:
    """Predictions of a relation task of which a share is right, wherever the seed puts the wrong ones."""
    gold = np.arange(EXAMPLES) % len(task.labels)
    wrong = np.random.default_rng(seed).random(EXAMPLES) >= share_right
    guess = np.where(wrong, (gold + 1) % len(task.labels), gold)
    return pa.table(
        {
            "id": [str(place) for place in range(EXAMPLES)],
            "split": ["test"] * EXAMPLES,
            "gold": pa.array([[label] for label in gold], pa.list_(pa.int16())),
            "prediction": pa.array([[label] for label in guess], pa.list_(pa.int16())),
        }
    )


def publish(store: Store, stage: Tuned, share_right: float, seed: int) -> None:
    task = tasks.get(stage.task)
    made = predictions(task, share_right, seed)
    folder = store.working_folder(stage.key)
    pq.write_table(made, folder / "predictions.parquet")
    score = float(statistics.score(statistics.counts(made, task).sum(axis=0), task.metric))
    store.publish(stage.key, folder, stage.to_json(), result(task.metric, score))


def publish_weights(store: Store, stage: Stage) -> None:
    store.publish(stage.key, store.working_folder(stage.key), stage.to_json(), result("loss", 0.1, seconds=7.0))


def fill(store: Store, sweep: str = "grid", seeds: Sequence[int] = (0, 1)) -> list[Recipe]:
    """After ddi, gad is much better and chemprot the same; ddi after gad has failed, ddi after hoc has yet to run."""
    asked = []
    for seed in seeds:
        for task, intermediate, share in (
            ("gad", None, 0.6),
            ("gad", "ddi", 0.9),
            ("chemprot", None, 0.7),
            ("chemprot", "ddi", 0.7),
        ):
            one = recipe(task, intermediate, seed)
            asked.append(one)
            publish(store, one.stage, share, seed=seed + 10 * len(asked))
            if intermediate is not None:
                publish(store, one.stage.init, 0.5, seed)
        failing, waiting = recipe("ddi", "gad", seed), recipe("ddi", "hoc", seed)
        store.write_failure(failing.stage.key, "failed", "loss is NaN at step 7\nwith learning rate 5")
        asked += [failing, waiting]
    publish_weights(store, asked[0].stage.init)
    store.write_sweep(sweep, [one.to_json() for one in asked])
    return asked


def write_rows(store: Store, asked: Sequence[Recipe], sweep: str = "grid") -> None:
    """Writes rows as a sweep does while it runs: from the recipes at hand."""
    for one in asked:
        results = store.results([stage.key for stage in one.stage.walk()])
        failure = store.failure(one.row_key(sweep)) or store.failure(one.stage.key)  # of a pruned trial its row's
        if one.stage.key in results:
            rows.write(store.filesystem, store.root, rows.build(sweep, one, results))
        elif failure is not None:
            rows.write(
                store.filesystem, store.root, rows.build(sweep, one, results, failure["status"], failure["error"])
            )
