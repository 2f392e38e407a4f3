"""One Ray Tune run over a schedule: no waves, reused workers, a clean stop on Ctrl-C."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.engine.listener import Listener
from orchestrator.engine.resources import Cluster, Shares
from orchestrator.engine.schedule import Node, Schedule
from trainables.execution import Job
from trainables.expression import Stage

if TYPE_CHECKING:
    from orchestrator.engine.store import Store

LOOK_AGAIN = 10.0  # seconds after which a cluster's size is asked for again
MOST_PENDING = 1_000  # trials that may wait for a cluster to grow; the slots bound them further

#: Tune's own loggers and snapshots are off: they cost more than a short stage, and the store is the truth.
_TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "60",  # time for a checkpoint of a large model on Ctrl-C
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "20",  # a dead Ray ends the command; going on is running it again
}


@contextlib.contextmanager
def connected() -> Iterator[Cluster]:
    """Connects to the cluster that ``$RAY_ADDRESS`` names, or starts Ray on this machine.

    Yields:
        What Ray has to give. A Ray that was started here is stopped at the end.
    """
    os.environ.update({name: value for name, value in _TUNE_ENVIRONMENT.items() if name not in os.environ})
    import ray

    if ray.is_initialized():
        yield _cluster(elastic=False)
        return
    elastic = _connect()
    try:
        yield _cluster(elastic)
    finally:
        ray.shutdown()


def _connect() -> bool:
    """Joins the cluster that ``$RAY_ADDRESS`` names, else starts Ray here; returns whether it joined one.

    Ray would by itself also join whatever instance it finds on this machine: another user's, or that of another
    sweep, which ends with it. So a cluster must be named, if only by ``RAY_ADDRESS=auto``.
    """
    import ray

    joins = os.environ.get("RAY_ADDRESS", "local") != "local"
    settings: dict[str, Any] = {} if joins else {"address": "local", "include_dashboard": False}
    ray.init(log_to_driver=False, logging_level=logging.ERROR, **settings)
    return joins


def execute(
    schedule: Schedule,
    store: Store,
    shares: Shares,
    cluster: Cluster,
    keep_model: Callable[[Node], bool],
    listener: Listener,
    on_interrupt: Callable[[], None] = lambda: None,
) -> bool:
    """Runs what the store lacks of a schedule.

    Args:
        schedule: The graph.
        store: Where results go; handed to the workers.
        shares: What each stage gets.
        cluster: What there is.
        keep_model: Whether a stage's weights are wanted in the store.
        listener: Told of every event.
        on_interrupt: Called once on the first Ctrl-C.

    Returns:
        Whether it ran to its end; False after Ctrl-C. Stages under way have then saved checkpoints.

    Raises:
        KeyboardInterrupt: On a second Ctrl-C.
    """
    if schedule.done:
        return True
    from ray import tune

    from orchestrator.engine.interrupt import Interrupt
    from orchestrator.engine.searcher import GraphSearcher
    from trainables.trainable import StageTrainable

    slots = _Slots(shares, [node.stage for node in schedule.to_run()], cluster)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(MOST_PENDING if cluster.elastic else slots())

    def job_of(node: Node) -> Job:
        return Job.of(
            node.stage,
            keep_model=node.want_model or keep_model(node),
            threads=shares.threads,
            gpu_fraction=shares.gpu(node.stage, cluster, node.share),
            checkpoint_interval=shares.checkpoint_seconds,
        )

    searcher = GraphSearcher(schedule, job_of, listener, slots)
    interrupt = Interrupt(on_interrupt)
    scratch = tempfile.mkdtemp(prefix="stilt-tune-")
    try:
        with _quiet(), _steady_garbage_collection():
            tune.Tuner(
                tune.with_parameters(StageTrainable, store=store),
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    num_samples=-1,
                    reuse_actors=True,
                    trial_name_creator=_short_name,
                    trial_dirname_creator=_short_name,
                ),
                run_config=tune.RunConfig(
                    name="stages",
                    storage_path=scratch,
                    verbose=0,
                    callbacks=[interrupt],
                    failure_config=tune.FailureConfig(max_failures=0),
                    checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                ),
            ).fit()
    finally:
        interrupt.restore()
        shutil.rmtree(scratch, ignore_errors=True)
    return not interrupt.seen


def _short_name(trial: Any) -> str:
    name: str = trial.trial_id
    return name


class _Slots:
    """How many trials Tune may hold: on this machine what fits; on a cluster some more, so that it grows by them."""

    def __init__(self, shares: Shares, stages: list[Stage], cluster: Cluster) -> None:
        self._shares, self._stages, self._cluster = shares, stages, cluster
        self._seen = time.monotonic()
        self._fitting = shares.slots(stages, cluster)

    def __call__(self) -> int:
        if not self._cluster.elastic:
            return self._fitting
        if time.monotonic() - self._seen > LOOK_AGAIN:
            self._seen = time.monotonic()
            self._fitting = self._shares.slots(self._stages, _cluster(elastic=True, memory=self._cluster.gpu_memory))
        more = max(4, self._fitting // 4)
        return min(self._fitting + more, self._shares.max_concurrent or self._fitting + more)


def _cluster(elastic: bool, memory: int = 0) -> Cluster:
    import ray

    resources = ray.cluster_resources()
    gpus = float(resources.get("GPU", 0.0))
    if gpus and not memory:
        from trainables.device import total_memory

        memory = ray.get(ray.remote(num_cpus=0, num_gpus=0.01)(total_memory).remote())
    return Cluster(float(resources.get("CPU", 1.0)), gpus, memory, elastic)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Tune logs every failed trial and advises ``Tuner.restore``; our listener reports instead."""
    loggers = [logging.getLogger(name) for name in ("ray.tune", "ray.train", "ray.air")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _steady_garbage_collection() -> Iterator[None]:
    """Keeps the cost of a stage constant: full collections walk every trial that Tune remembers."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 1_000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
