"""The engine's own cost per stage, as ratios measured in one run.

    python -m benchmarks.engine_overhead [--stages 300] [--many 3000]

First: wall time per no-op stage, with its entry in the store, its leaderboard row and its line of progress, against a
no-op trial of Ray Tune with reused workers. Second: the driver's CPU time per stage at many stages against few.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
import time

from rich.console import Console

from orchestrator.bookkeeping import Bookkeeper
from orchestrator.engine import run
from orchestrator.engine.costs import CostModel
from orchestrator.engine.listener import Listeners
from orchestrator.engine.progress import Display, GridPanel
from orchestrator.engine.resources import Cluster, Shares
from orchestrator.engine.schedule import Schedule
from orchestrator.engine.store import Store
from orchestrator.recipe import Recipe
from tests.noop import Sleep

LIMIT = 1.5
ROUNDS = 3  # in turn, so that a busy moment of the machine falls on both; medians count


def engine(count: int, cluster: Cluster) -> tuple[float, float]:
    """Wall seconds and driver CPU seconds per no-op stage; a tenth of the stages start from nothing."""
    first = [Sleep(f"first {count} {i}") for i in range(count // 10)]
    rest = [Sleep(f"rest {count} {i}", (first[i % len(first)],)) for i in range(count - len(first))]
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        schedule = Schedule(rest, store)
        recipes = [Recipe(stage, "finetune", "none", "gad", seed) for seed, stage in enumerate(rest)]
        keeper = Bookkeeper("overhead", recipes, schedule, store, "inputs")
        wall, cpu = time.perf_counter(), time.process_time()
        with Display(schedule, GridPanel({}), CostModel(), 2, Console(file=io.StringIO())) as display:
            listeners = Listeners([keeper, display])
            completed = run.execute(schedule, store, Shares(), cluster, keeper.keep_model, listeners)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        finished = len(store.storage.names("stages"))
    if not completed or finished != count:
        raise SystemExit(f"only {finished} of {count} stages finished")
    return wall / count, cpu / count


def tune_alone(count: int, cluster: Cluster) -> tuple[float, float]:
    """The same for a no-op class Trainable in plain Ray Tune with reused workers and without loggers."""
    from ray import tune

    class Nothing(tune.Trainable):
        def setup(self, config: dict[str, object]) -> None: ...

        def reset_config(self, new_config: dict[str, object]) -> bool:
            return True

        def step(self) -> dict[str, object]:
            return {"done": True}

    os.environ.pop("TUNE_MAX_PENDING_TRIALS_PG", None)
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        tune.Tuner(
            Nothing,
            param_space={"index": tune.grid_search(list(range(count)))},
            tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=int(cluster.cpus)),
            run_config=tune.RunConfig(
                storage_path=folder, verbose=0, checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False)
            ),
        ).fit()
        return (time.perf_counter() - wall) / count, (time.process_time() - cpu) / count


def main() -> int:
    """Measures and prints; exit code 1 where a ratio is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, default=300, help="stages of the small runs")
    parser.add_argument("--many", type=int, default=3000, help="stages of the large run; 0 leaves it out")
    given = parser.parse_args()
    os.environ.setdefault("RAY_ADDRESS", "local")
    with run.connected() as cluster:
        engine(20, cluster)  # the workers' first imports
        rounds = [(*tune_alone(given.stages, cluster), *engine(given.stages, cluster)) for _ in range(ROUNDS)]
        plain, plain_cpu, ours, ours_cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"wall per no-op trial of Ray Tune  {1000 * plain:7.1f} ms   (driver CPU {1000 * plain_cpu:.1f} ms)")
        print(f"wall per no-op stage of ours      {1000 * ours:7.1f} ms   (driver CPU {1000 * ours_cpu:.1f} ms)")
        print(f"ratio                             {ours / plain:7.2f}      (limit {LIMIT})")
        good = ours / plain <= LIMIT
        if given.many:
            _, many_cpu = engine(given.many, cluster)
            print(f"driver CPU per stage, {given.stages:5} stages  {1000 * ours_cpu:7.1f} ms")
            print(f"driver CPU per stage, {given.many:5} stages  {1000 * many_cpu:7.1f} ms")
            print(f"ratio                             {many_cpu / ours_cpu:7.2f}      (limit {LIMIT})")
            good = good and many_cpu / ours_cpu <= LIMIT
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
