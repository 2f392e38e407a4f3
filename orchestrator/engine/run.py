"""One Ray Tune run over a schedule: no waves, reused workers, a clean stop on Ctrl-C."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.engine.listener import Listener
from orchestrator.engine.proposer import Proposer
from orchestrator.engine.resources import Capacity, Cluster, Request, Shares
from orchestrator.engine.schedule import Node, Schedule
from trainables.errors import UserError
from trainables.execution import Job, stage_stop

if TYPE_CHECKING:
    from orchestrator.engine.store import Store

PATIENCE = 60.0  # seconds for a GPU to tell its size

_log = logging.getLogger(__name__)

#: Tune's own loggers and snapshots are off: they cost more than a short stage, and the store is the truth.
_TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000000",  # the searcher hands out no more than fits
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
        cluster = _cluster(elastic)
        if not cluster.cpus and not cluster.gpus:
            _log.warning("the cluster has no worker yet: waiting for the first one")
        while not cluster.cpus and not cluster.gpus:
            time.sleep(2)
            cluster = _cluster(elastic)
        yield cluster
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
    try:
        ray.init(log_to_driver=False, logging_level=logging.ERROR, **settings)
    except ConnectionError as error:
        raise UserError(
            f"no Ray cluster answers at RAY_ADDRESS={os.environ.get('RAY_ADDRESS')!r}: {error}. Start one with "
            "`ray up` or `ray start --head`, or unset RAY_ADDRESS to run on this machine"
        ) from error
    return joins


def execute(
    schedule: Schedule,
    store: Store,
    shares: Shares,
    cluster: Cluster,
    keep_model: Callable[[Node], bool],
    listener: Listener,
    on_interrupt: Callable[[], None] = lambda: None,
    proposer: Proposer | None = None,
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
        proposer: Adds to the schedule while it is run, if there is one.

    Returns:
        Whether it ran to its end; False after Ctrl-C, once the stages under way have saved checkpoints.

    Raises:
        KeyboardInterrupt: On a second Ctrl-C.
    """
    if schedule.done and (proposer is None or proposer.done):
        return True
    from ray import tune

    from orchestrator.engine.interrupt import Interrupt
    from orchestrator.engine.searcher import GraphSearcher
    from trainables.trainable import StageTrainable

    this_run = uuid.uuid4().hex

    def job_of(node: Node, request: Request) -> Job:
        return Job.of(
            node.stage,
            keep_model=node.want_model or keep_model(node),
            threads=request.cpus,
            gpu_fraction=request.gpus,
            workers=request.workers,
            checkpoint_interval=shares.checkpoint_seconds,
            run=this_run,
        )

    def request_of(node: Node) -> Request:
        return shares.request(node.stage, capacity.cluster, node.share)

    def stop_stage(key: str) -> None:
        given_up.add(key)
        store.request_stop(stage_stop(this_run, key))

    given_up: set[str] = set()
    capacity = Capacity(shares, lambda: _cluster(cluster.elastic, cluster.gpu_memory) if cluster.elastic else cluster)
    interrupt = Interrupt(on_interrupt, ask_workers=lambda: store.request_stop(this_run))
    searcher = GraphSearcher(
        schedule,
        job_of,
        request_of,
        capacity,
        listener,
        stopping=lambda: interrupt.seen,
        proposer=proposer,
        stop_stage=stop_stage,
    )
    schedule.on_added = listener.added
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
        if interrupt.seen:
            store.clear_stop(this_run)
        for key in given_up:  # where the stage came to its end before its worker looked
            store.clear_stop(stage_stop(this_run, key))
        shutil.rmtree(scratch, ignore_errors=True)
    return schedule.done and (proposer is None or proposer.done)


def _short_name(trial: Any) -> str:
    name: str = trial.trial_id
    return name


def _cluster(elastic: bool, memory: int = 0) -> Cluster:
    import ray

    resources = ray.cluster_resources()
    gpus = float(resources.get("GPU", 0.0))
    if gpus and not memory:
        from trainables.machine import total_memory

        asked = ray.remote(num_cpus=0, num_gpus=0.01)(total_memory).remote()
        try:
            memory = ray.get(asked, timeout=PATIENCE)
        except ray.exceptions.GetTimeoutError:  # others hold every GPU: each stage then asks for a whole one
            ray.cancel(asked)
    return Cluster(float(resources.get("CPU", 0.0)), gpus, memory, elastic)


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
