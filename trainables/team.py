"""The processes beside a Tune trial's own that train its stage with it: actors in the trial's placement group.

Ray Train's ``TorchTrainer`` is not used (looked at in Ray 2.60). Inside a trial it reserves a placement group of its
own, which Tune neither counts nor frees and for which two trials can wait for ever; ``fit`` returns at the end only, so
that no report, stop or pruning would reach the stage; its retries and checkpoints would stand beside the store's. Here
the trial's process is rank 0 and runs the stage as it would alone, and the others only follow: what makes them up is
their rank, a meeting point, and Ray's notice of their death.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import ray
from ray.util.placement_group import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from trainables.execution import Job, Store, follow

if TYPE_CHECKING:
    from trainables.context import World
    from trainables.training.parallel import Group, Meeting

#: Seconds that the others have to end by themselves, and so to tidy up, before they are killed.
FAREWELL = 10.0
#: Seconds for rank 0 to notice that another one is gone, in its next exchange. One that waits for a dead GPU can't, so
#: its process is ended.
NOTICE = 300.0


class Member:
    """A process of a team; an actor."""

    def ready(self) -> None:
        """Returns once the process is there and has imported what takes long."""
        import trainables.training.parallel  # noqa: F401

    def follow(self, job: str, store: Store, meeting: Meeting, rank: int) -> None:
        """Trains the stage with the others, to its end or until rank 0 leaves.

        Args:
            job: A :class:`Job` as text.
            store: Where inputs come from.
            meeting: Where they meet.
            rank: Of this process.
        """
        from trainables.training.parallel import Group

        world = Group(meeting, rank)
        try:
            follow(Job.from_text(job), store, world)
        finally:
            world.close(early=True)


class Team:
    """The other processes of a job with several; made in the process that is rank 0.

    Args:
        job: What they train.
        store: Where inputs come from.

    Raises:
        RuntimeError: Where the trial has no placement group with a bundle for each.
    """

    def __init__(self, job: Job, store: Store) -> None:
        placed = get_current_placement_group()
        if placed is None or placed.bundle_count < job.workers:
            raise RuntimeError(f"a stage of {job.workers} workers needs a placement group of as many bundles")
        self._job = job
        self._store = store
        self._world: Group | None = None
        self._closed = threading.Event()
        self._failed = threading.Event()
        self._failure: BaseException | None = None
        actor = ray.remote(Member)
        self._members: list[Any] = []
        self._runs: list[Any] = []
        for rank in range(1, job.workers):
            bundle = PlacementGroupSchedulingStrategy(placed, placement_group_bundle_index=rank)
            options = {"num_cpus": job.threads, "num_gpus": job.gpu_fraction, "scheduling_strategy": bundle}
            self._members.append(actor.options(**options).remote())

    def join(self) -> World:
        """Waits for the others and lets them begin; the world as rank 0 sees it.

        Raises:
            RuntimeError: Where one of them died on the way.
        """
        from trainables.training import parallel  # imports torch, which a stage without it should not pay for

        try:
            ray.get([member.ready.remote() for member in self._members])
        except ray.exceptions.RayActorError as error:
            raise self._died(error) from error
        meeting, hosted = parallel.host(ray.util.get_node_ip_address(), self._job.workers)
        for rank, member in enumerate(self._members, start=1):
            self._runs.append(member.follow.remote(self._job.to_text(), self._store, meeting, rank))
        threading.Thread(target=self._watch, name="team", daemon=True).start()
        self._world = parallel.Group(meeting, 0, hosted)
        return self._world

    def cause_of(self, error: Exception) -> Exception:
        """Why an exchange failed, where it did because another process failed; any other error as it is."""
        if not _of_an_exchange(error) or not self._failed.wait(FAREWELL) or self._failure is None:
            return error
        failure = self._failure
        if isinstance(failure, ray.exceptions.RayTaskError):
            cause = failure.cause
            return cause if isinstance(cause, Exception) else RuntimeError(str(failure))
        return self._died(failure)

    def close(self) -> None:
        """Ends the others; what they had to do is done, or is not wanted any more."""
        self._closed.set()
        if self._world is not None:
            self._world.close(early=True)
        if self._runs:
            ray.wait(self._runs, num_returns=len(self._runs), timeout=FAREWELL)
        for member in self._members:
            ray.kill(member)

    def _watch(self) -> None:
        """Waits for the first failure; then ends all others, so that no exchange waits for them."""
        running = list(self._runs)
        while running and not self._closed.is_set():
            ended, running = ray.wait(running)
            failures = [error for error in map(_error_of, ended) if error is not None]
            if not failures or self._closed.is_set():
                continue
            # One that lost its connection to the failed one may have told first.
            more, _ = ray.wait(running, num_returns=len(running), timeout=2.0) if running else ([], [])
            failures += [error for error in map(_error_of, more) if error is not None]
            self._failure = min(failures, key=_is_echo)
            self._failed.set()
            for member in self._members:
                ray.kill(member)
            if not self._closed.wait(NOTICE):
                os._exit(1)  # an exchange that waits can't be interrupted; Ray tells the driver of the death
            return

    def _died(self, error: BaseException) -> RuntimeError:
        return RuntimeError(f"one of the stage's {self._job.workers} workers died: {error}")


def _error_of(run: Any) -> BaseException | None:
    try:
        ray.get(run)
    except Exception as error:
        return error
    return None


def _is_echo(failure: BaseException) -> bool:
    return isinstance(failure, ray.exceptions.RayTaskError) and _of_an_exchange(failure.cause)


def _of_an_exchange(error: BaseException) -> bool:
    """Whether that may be a broken connection: gloo raises bare RuntimeErrors, torch.distributed its own."""
    from torch.distributed import DistError

    return type(error) is RuntimeError or isinstance(error, DistError)
