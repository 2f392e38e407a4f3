"""One stage from start to finished entry: drives its generator, keeps checkpoints, publishes. Knows no ray."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.metadata
import io
import json
import logging
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from trainables import machine
from trainables.context import MODEL, TOKENIZER, Alone, Context, Progress, Result, Run, World
from trainables.data import pretrained
from trainables.errors import CorruptEntry, StageError
from trainables.expression import Stage, from_json
from trainables.stages import Pretrained

CHECKPOINT_INTERVAL = 300.0  # seconds
INTERRUPT_PATIENCE = 600.0  # seconds; the user has Ctrl-C to cut it short

_log = logging.getLogger(__name__)


class Store(Protocol):
    """What a running stage needs of the store; ``orchestrator.engine.store.Store`` is one."""

    def result(self, key: str) -> dict[str, Any] | None:
        """A finished result, or None."""
        ...

    def has_model(self, key: str) -> bool:
        """Whether weights are kept."""
        ...

    def fetch_model(self, key: str) -> Path:
        """A local folder of weights."""
        ...

    def fetch_file(self, key: str, name: str) -> Path:
        """A local copy of another file of an entry."""
        ...

    def fetch_folder(self, key: str, name: str) -> Path:
        """A local copy of a folder of an entry."""
        ...

    def working_folder(self, key: str) -> Path:
        """A new folder to work in."""
        ...

    def publish(self, key: str, folder: Path, stage: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        """Makes a working folder a finished entry."""
        ...

    def save_checkpoint(self, key: str, content: bytes) -> None:
        """Replaces the checkpoint."""
        ...

    def load_checkpoint(self, key: str) -> bytes | None:
        """The checkpoint, or None."""
        ...

    def drop_checkpoint(self, key: str) -> None:
        """Deletes the checkpoint."""
        ...

    def stop_requested(self, run: str) -> bool:
        """Whether the driver of a run wants its workers to stop."""
        ...

    def clear_stop(self, run: str) -> None:
        """Takes such a request back."""
        ...


def stage_stop(run: str, key: str) -> str:
    """The name of a request that stops one stage of a run for good."""
    return f"{run}-{key}"


@dataclasses.dataclass(frozen=True)
class Job:
    """One stage as the driver hands it to a worker, by way of a trial's configuration.

    Attributes:
        key: The stage's key, computed by the driver.
        stage: Its expression as JSON.
        inputs: Keys of its inputs, in their order.
        fingerprints: Of the data it names, as the driver found them.
        keep_model: Whether the finished entry keeps its weights.
        threads: CPU threads, of each process.
        gpu_fraction: Share of a GPU, of each process; 0 runs on the CPU.
        checkpoint_interval: Seconds between checkpoints.
        run: The driver's run; it may ask its workers to stop.
        workers: Processes that train it together.
    """

    key: str
    stage: dict[str, Any]
    inputs: tuple[str, ...] = ()
    fingerprints: dict[str, str] = dataclasses.field(default_factory=dict)
    keep_model: bool = True
    threads: int = 1
    gpu_fraction: float = 0.0
    checkpoint_interval: float = CHECKPOINT_INTERVAL
    run: str = ""
    workers: int = 1

    @classmethod
    def of(cls, stage: Stage, **settings: Any) -> Job:
        """The job of a stage whose data can be seen from here."""
        keys = tuple(parent.key for parent in stage.inputs)
        return cls(stage.key, stage.to_json(), keys, stage.fingerprints(), **settings)

    def to_text(self) -> str:
        """As JSON; one string is what Tune handles fastest."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Job:
        """Reads :meth:`to_text` back."""
        fields = json.loads(text)
        return cls(**{**fields, "inputs": tuple(fields["inputs"])})


class Execution:
    """A stage being run; advance it until :attr:`result` is there.

    It continues from the stored checkpoint, if there is one. Where the key is finished already (another worker
    was faster, or a killed driver's worker lived a moment longer) nothing is run.

    Args:
        job: What to run.
        store: Where inputs come from and the result goes.
        gather: Brings the processes together that train it, if it is to be trained; this one becomes rank 0.
    """

    def __init__(self, job: Job, store: Store, gather: Callable[[], World] = Alone) -> None:
        self.job = job
        self.store = store
        self.result: dict[str, Any] | None = None
        self.stage = from_json(job.stage)
        self._started = _now()
        self._clock = time.perf_counter()
        finished = store.result(job.key)
        if finished is not None and (store.has_model(job.key) or not job.keep_model or not self.stage.makes_model):
            self.result = finished
            store.drop_checkpoint(job.key)  # of a process that was killed between finishing and tidying up
            return
        run = _prepared(job, self.stage)
        self._context = _Context(job, self.stage, store, gather())
        self._run: Run = run(self.stage, self._context)
        self._before = self._epochs_before()

    def advance(self, seconds: float) -> Progress | None:
        """Works for about some seconds.

        Args:
            seconds: After this time the next yield returns, as does every epoch of a prunable stage; a single step of
                work may take longer.

        Returns:
            The last progress, with the metrics of every yield since the last call; None once finished. Of a prunable
            stage that goes on from a checkpoint each epoch before it comes first.
        """
        if self.result is not None:
            return None
        for before in self._before:
            return before
        deadline = time.perf_counter() + seconds
        metrics: dict[str, float] = {}
        while True:
            try:
                progress = next(self._run)
            except StopIteration as stop:
                self._finish(stop.value)
                return None
            metrics.update(progress.metrics)
            # Each epoch of a stage that may be stopped early is told by itself, however short it is.
            if time.perf_counter() >= deadline or (progress.metrics and self.stage.prunable):
                return dataclasses.replace(progress, metrics=metrics)

    def interrupt(self, patience: float = INTERRUPT_PATIENCE) -> None:
        """Saves a checkpoint at the next step and stops; a finished stage is left alone.

        Args:
            patience: Seconds to wait for that step at most; after them the stage stops all the same and goes on
                later from the checkpoint before.
        """
        if self.result is not None:
            return
        self._context.stopping = True
        saved = self._context.saved
        deadline = time.perf_counter() + patience
        try:
            while self._context.saved == saved and time.perf_counter() < deadline:
                next(self._run)
        except StopIteration as stop:
            self._finish(stop.value)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Stops without saving."""
        if self.result is None:
            self._run.close()
            shutil.rmtree(self._context.folder, ignore_errors=True)

    def give_up(self) -> None:
        """Stops for good: what was saved is deleted, too."""
        self.abandon()
        self.store.drop_checkpoint(self.job.key)

    def _epochs_before(self) -> Iterator[Progress]:
        """The epochs that the checkpoint has behind it.

        The last of them was perhaps never reported: a checkpoint at an epoch's end is saved before the epoch's metrics
        are, and what saves one on being stopped reports no more.
        """
        if not self.stage.prunable:
            return
        history = self._context.history()
        epochs = int(getattr(self.stage, "epochs", len(history)))
        for number, entry in enumerate(history, start=1):
            step = int(entry["step"])
            yield Progress(step, step * epochs // number, metrics=dict(entry))

    def _finish(self, found: Result) -> None:
        seconds = self._context.seconds_before + time.perf_counter() - self._clock
        if not self.job.keep_model:
            shutil.rmtree(self._context.folder / MODEL, ignore_errors=True)
        self.result = self.store.publish(
            self.job.key,
            self._context.folder,
            self.job.stage,
            {
                "metrics": found.metrics,
                "history": found.history,
                "facts": found.facts,
                "cost": {
                    **found.measured,
                    "seconds": round(seconds, 3),
                    "gpu_seconds": round(seconds * self.job.gpu_fraction * self.job.workers, 3),
                    "peak_memory_bytes": machine.peak_memory(self._context.device),
                },
                "fingerprints": self.job.fingerprints,
                "provenance": {
                    "host": platform.node(),
                    "device": machine.name(self._context.device),
                    "threads": self.job.threads,
                    "workers": self.job.workers,
                    "started_at": self._started,
                    "finished_at": _now(),
                    "versions": _versions(),
                    "commit": _commit(),
                },
            },
        )
        self.store.drop_checkpoint(self.job.key)


def follow(job: Job, store: Store, world: World) -> None:
    """Trains a stage beside the process that is rank 0 and has its :class:`Execution`; leaves nothing in the store.

    Args:
        job: As rank 0 has it.
        store: Where inputs come from.
        world: The processes; this one is not rank 0.
    """
    stage = from_json(job.stage)
    run = _prepared(job, stage)
    context = _Context(job, stage, store, world)
    try:
        for _ in run(stage, context):
            pass
    finally:
        shutil.rmtree(context.folder, ignore_errors=True)


def _prepared(job: Job, stage: Stage) -> Callable[[Stage, Context], Run]:
    """The implementation, once the data are those of the plan and this process has its share of the machine."""
    if stage.fingerprints() != job.fingerprints:
        raise StageError(
            f"the data of {stage.label()} changed since the sweep was planned "
            f"(planned {job.fingerprints}, found {stage.fingerprints()}); start the command again"
        )
    run = _implementation(stage)
    machine.claim(job.gpu_fraction, job.threads)
    return run


class _Context:
    """The :class:`trainables.context.Context` of a stage that a store keeps."""

    def __init__(self, job: Job, stage: Stage, store: Store, world: World) -> None:
        self.folder = store.working_folder(job.key)
        self.device = "cuda" if job.gpu_fraction else "cpu"
        self.keep_model = job.keep_model and world.rank == 0
        self.world = world
        self.stopping = False
        self.saved = 0
        self.seconds_before = 0.0
        self._job = job
        self._store = store
        self._keys = dict(zip(stage.inputs, job.inputs, strict=True))
        self._clock = self._last_save = time.perf_counter()
        self._read: dict[str, Any] | None = None

    def model_folder(self, stage: Stage) -> Path:
        if isinstance(stage, Pretrained):
            if stage.key != self._keys[stage]:
                raise StageError(
                    f"the weights of {stage.name!r} are not those that the sweep was planned with: they were changed "
                    "since, or this machine has others there; start the command again"
                )
            return pretrained.local_folder(stage.name, stage.revision)
        return self._store.fetch_model(self._keys[stage])

    def tokenizer_folder(self, stage: Stage) -> Path:
        return self.model_folder(stage) if stage.makes_model else self._store.fetch_folder(self._keys[stage], TOKENIZER)

    def input_file(self, stage: Stage, name: str) -> Path:
        return self._store.fetch_file(self._keys[stage], name)

    def input_result(self, stage: Stage) -> dict[str, Any]:
        result = self._store.result(self._keys[stage])
        if result is None:
            raise CorruptEntry(self._keys[stage], "its result is missing")
        return result

    def history(self) -> list[dict[str, float]]:
        """The finished epochs in the checkpoint; it is kept for the stage, which will ask for all of it."""
        self._read = self.load_checkpoint()
        return [] if self._read is None else list(self._read.get("history", ()))

    def load_checkpoint(self) -> dict[str, Any] | None:
        if self._read is not None:
            read, self._read = self._read, None
            return read
        content = self._store.load_checkpoint(self._job.key)
        if content is None:
            return None
        import torch

        try:
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except Exception as error:  # a torn pickle raises almost anything
            _log.warning("unreadable checkpoint of stage %s (%s): starting it afresh", self._job.key, error)
            self._store.drop_checkpoint(self._job.key)
            return None
        self.seconds_before = saved["seconds"]
        state: dict[str, Any] = saved["state"]
        return state

    def checkpoint_due(self) -> bool:
        due = time.perf_counter() - self._last_save >= self._job.checkpoint_interval
        return self.world.rank == 0 and (self.stopping or due)

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        import torch

        seconds = self.seconds_before + time.perf_counter() - self._clock
        buffer = io.BytesIO()
        torch.save({"state": state, "seconds": seconds}, buffer)
        self._store.save_checkpoint(self._job.key, buffer.getvalue())
        self._last_save = time.perf_counter()
        self.saved += 1


def _implementation(stage: Stage) -> Callable[[Stage, Context], Run]:
    module, _, name = stage.implementation.partition(":")
    function: Callable[[Stage, Context], Run] = getattr(importlib.import_module(module), name)
    return function


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@functools.cache
def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in ("torch", "transformers", "ray"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def _commit() -> str:
    """The commit of this code where it is run from a checkout, else the package version."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
        return found.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        pass
    try:
        return importlib.metadata.version("stilt-sweeps")
    except importlib.metadata.PackageNotFoundError:  # a bare copy of the code, as Ray makes for its workers
        return "unknown"
