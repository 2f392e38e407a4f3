"""A second process that trains a stage with this one, without Ray."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator

from orchestrator.engine.store import Store
from trainables.context import World
from trainables.execution import Job, follow
from trainables.training import parallel
from trainables.training.parallel import Group, Meeting


def _follow(job: str, store: Store, meeting: Meeting) -> None:
    world = Group(meeting, 1)
    try:
        follow(Job.from_text(job), store, world)
    finally:
        world.close(early=True)


@contextlib.contextmanager
def beside(job: Job, store: Store) -> Iterator[Callable[[], World]]:
    """What brings the two together; to be given to an ``Execution``."""
    meeting, hosted = parallel.host("127.0.0.1", 2)
    other = multiprocessing.get_context("spawn").Process(target=_follow, args=(job.to_text(), store, meeting))
    made: list[Group] = []

    def gather() -> World:
        other.start()
        made.append(Group(meeting, 0, hosted))
        return made[0]

    try:
        yield gather
        other.join(timeout=60)
        assert other.exitcode == 0
    finally:
        for world in made:
            world.close(early=True)
        if other.is_alive():
            other.kill()
