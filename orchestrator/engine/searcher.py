"""The schedule as a Ray Tune searcher: Tune asks for the next trial and gets the next ready stage."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from orchestrator.engine.listener import Listener
from orchestrator.engine.proposer import Proposer
from orchestrator.engine.resources import Capacity, Request
from orchestrator.engine.schedule import Node, Schedule
from trainables.execution import Job

DIED = "its worker process died (killed, or out of memory on its machine)"


class GraphSearcher(Searcher):
    """Hands out the stages of a schedule and files what became of them.

    Retries are the schedule's, not Tune's (``max_failures`` stays 0): Tune does not retry a trial whose reused
    worker died before it began, and a retry may need other resources.

    Args:
        schedule: What to run.
        job_of: Makes a stage's job for what it requests.
        request_of: What a stage asks for.
        capacity: Whether that fits.
        listener: Told of every event.
        stopping: Whether nothing more is to be begun.
        proposer: Adds to the schedule when nothing is ready, if there is one.
        stop_stage: Asks the worker of a stage to give it up; called with the stage's key.
    """

    def __init__(
        self,
        schedule: Schedule,
        job_of: Callable[[Node, Request], Job],
        request_of: Callable[[Node], Request],
        capacity: Capacity,
        listener: Listener,
        stopping: Callable[[], bool] = lambda: False,
        proposer: Proposer | None = None,
        stop_stage: Callable[[str], None] = lambda key: None,
    ) -> None:
        super().__init__(metric=None, mode=None)
        self._schedule = schedule
        self._job_of = job_of
        self._request_of = request_of
        self._capacity = capacity
        self._listener = listener
        self._stopping = stopping
        self._proposer = proposer
        self._stop_stage = stop_stage
        self._trials: dict[str, Node] = {}
        self._held: dict[str, Request] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        """The expressions say what to search; nothing is taken from Tune."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next stage's job, None while there is none, FINISHED when all is done."""
        if self._stopping():
            return str(Searcher.FINISHED)
        node = self._peek()
        if node is None:
            done = self._schedule.done and (self._proposer is None or self._proposer.done)
            return str(Searcher.FINISHED) if done else None
        request = self._request_of(node)
        if not self._capacity.room(self._held.values(), request):
            return None
        self._schedule.next()
        self._trials[trial_id], self._held[trial_id] = node, request
        self._listener.started(node)
        return {"job": self._job_of(node, request).to_text(), **dataclasses.asdict(request)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A running stage's progress."""
        node = self._trials.get(trial_id)
        if node is not None and not result.get("done"):
            self._listener.progressed(node, result)
            if self._proposer is not None and self._proposer.wants_pruned(node):
                self._stop_stage(node.key)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial ended: its last report says how; without one its process died."""
        node = self._trials.pop(trial_id, None)
        self._held.pop(trial_id, None)
        if node is None:
            return
        report = {} if error or result is None else result
        outcome, text = report.get("outcome", "died"), report.get("error", DIED)
        schedule = self._schedule
        if outcome == "finished":
            schedule.finished(node.key, json.loads(report["stage_result"]))
            self._listener.finished(node)
            return
        if outcome == "interrupted":
            schedule.put_back(node.key)
            return
        if outcome == "pruned":
            schedule.pruned(node.key)
            self._listener.pruned(node)
            return
        again = (
            (outcome == "memory" and schedule.retry_with_more_memory(node.key))
            or (outcome == "corrupt" and schedule.retry_after_remaking(node.key, report["corrupt_key"]))
            or (outcome in ("crashed", "died") and schedule.retry(node.key))
        )
        if again:
            self._listener.retried(node, text)
        else:
            self._listener.failed(node, schedule.failed(node.key, text))

    def _peek(self) -> Node | None:
        node = self._schedule.peek()
        while node is None and self._proposer is not None and self._proposer.propose():
            node = self._schedule.peek()
        return node

    def save(self, checkpoint_path: str) -> None:
        """Tune's snapshots are not used: the store is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Tune's snapshots are not used: the store is the truth."""

    def save_to_dir(self, checkpoint_dir: str, session_str: str = "default") -> None:
        """Tune's snapshots are not used: the store is the truth."""

    def __getstate__(self) -> dict[str, Any]:
        # Tuner pickles its searcher for Tuner.restore, which is not used; the schedule need not be picklable.
        return {}
