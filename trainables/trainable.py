"""The Ray Tune Trainable that runs any stage; with :mod:`trainables.team` all of this package that imports ray.

Tune's own checkpoints are not used: the store keeps a stage's state under its key, so that a new driver, which is
a new Tune experiment, finds it. An exception of a stage is a result like another (it must not cost the worker);
what Tune sees as an error is the death of a process.
"""

from __future__ import annotations

import json
import logging
import traceback
from typing import Any

from ray.tune import PlacementGroupFactory, Trainable

from trainables import machine
from trainables.context import Alone, World
from trainables.errors import CorruptEntry, OutOfDeviceMemory, StageError, UserError
from trainables.execution import Execution, Job, Store, stage_stop
from trainables.team import Team

REPORT_INTERVAL = 1.0  # seconds; also how soon a running stage notices that it is to stop

#: Another try may go better: storage, network, memory, and what CUDA raises. A TypeError stays one.
_TRANSIENT = (OSError, MemoryError, RuntimeError)

_log = logging.getLogger(__name__)


class StageTrainable(Trainable):
    """Runs one stage per trial; the process is reused for the next (``reset_config``)."""

    _execution: Execution | None = None
    _team: Team | None = None

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> PlacementGroupFactory:
        """What a trial asks of the cluster: its job's threads and GPU fraction, for each of its processes.

        The trial's own process is in the first bundle, the others are put into the rest.
        """
        bundle = {"CPU": float(config["cpus"])}
        if config["gpus"]:
            bundle["GPU"] = float(config["gpus"])
        return PlacementGroupFactory([dict(bundle) for _ in range(config["workers"])])

    def setup(self, config: dict[str, Any], store: Store | None = None) -> None:
        """Called once per process, with the first job."""
        if store is None:
            raise ValueError("StageTrainable is made with tune.with_parameters(StageTrainable, store=...)")
        self._store = store
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Called for every further job of this process."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Advances the stage for a second and reports; the last report has ``done`` and ``outcome``."""
        try:
            if self._store.stop_requested(self._job.run):
                stopped = self._execution
                self.cleanup()
                if stopped is None or stopped.result is None:
                    return {"done": True, "outcome": "interrupted"}
                return self._finished(stopped.result)  # it came to its end on the way
            if self._execution is None:
                self._execution = Execution(self._job, self._store, self._gather)
            if self._given_up():
                return {"done": True, "outcome": "pruned"}
            progress = self._execution.advance(REPORT_INTERVAL)
        except Exception as error:  # every kind of failure becomes the trial's outcome
            return self._failed(error)
        if progress is None:
            result, self._execution = self._execution.result, None
            return self._finished(result)
        return {"stage_step": progress.step, "stage_total": progress.total, "phase": progress.phase, **progress.metrics}

    def cleanup(self) -> None:
        """The trial ends: an unfinished stage saves a checkpoint."""
        if self._execution is not None:
            try:
                self._execution.interrupt()
            except Exception:  # what it had saved before still stands
                _log.warning("no checkpoint at the stop of %s", self._job.key, exc_info=True)
            self._execution = None
        self._disband()

    def _gather(self) -> World:
        """Starts the other processes of a job that has several."""
        if self._job.workers == 1:
            return Alone()
        self._team = Team(self._job, self._store)
        return self._team.join()

    def _disband(self) -> None:
        if self._team is not None:
            self._team.close()
            self._team = None

    def _given_up(self) -> bool:
        """Ends a stage that its search has pruned."""
        running, request = self._execution, stage_stop(self._job.run, self._job.key)
        if running is None or running.result is not None or not running.stage.prunable:
            return False
        if not self._store.stop_requested(request):
            return False
        running.give_up()
        self._execution = None
        self._disband()
        machine.release()
        self._store.clear_stop(request)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self.cleanup()  # where Tune stopped the trial before its end
        self._job = Job.from_text(config["job"])

    def _finished(self, result: dict[str, Any] | None) -> dict[str, Any]:
        self._disband()
        machine.release()
        # As text: Tune would flatten a dictionary of every epoch's metrics into columns, several times.
        return {"done": True, "outcome": "finished", "stage_result": json.dumps(result)}

    def _failed(self, error: Exception) -> dict[str, Any]:
        if self._execution is not None:
            self._execution.abandon()
            self._execution = None
        if self._team is not None:
            error = self._team.cause_of(error)
            self._disband()
        if "CUDA error" in str(error) or "NCCL" in str(error):
            raise error  # the process's CUDA state is broken: Tune ends it, and the stage is tried again in another
        machine.release()
        text = "".join(traceback.format_exception(error))
        if isinstance(error, CorruptEntry):
            return {"done": True, "outcome": "corrupt", "corrupt_key": error.key, "error": str(error)}
        if isinstance(error, OutOfDeviceMemory) or type(error).__name__ == "OutOfMemoryError":  # torch's own
            return {"done": True, "outcome": "memory", "error": str(error)}
        if isinstance(error, StageError | UserError):
            return {"done": True, "outcome": "failed", "error": str(error)}
        outcome = "crashed" if isinstance(error, _TRANSIENT) else "failed"
        return {"done": True, "outcome": outcome, "error": text}
