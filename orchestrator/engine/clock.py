"""How long a run will take yet."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from orchestrator.engine.costs import Cost, CostModel, likeness
from orchestrator.engine.schedule import Node, Schedule, State
from trainables.expression import Stage

_TO_RUN = frozenset({State.WAITING, State.READY, State.RUNNING})


@dataclasses.dataclass
class _Mean:
    """A running mean of seconds."""

    total: float = 0.0
    count: int = 0

    def add(self, seconds: float) -> None:
        self.total += seconds
        self.count += 1

    @property
    def value(self) -> float:
        return self.total / self.count


class Clock:
    """Expected seconds until a schedule is done, from the cost of like stages; its upkeep per stage is constant.

    Args:
        schedule: What is to be run, so far.
        costs: Costs of like stages so far.
        slots: Stages at once.
    """

    def __init__(self, schedule: Schedule, costs: CostModel, slots: int) -> None:
        self._costs = costs
        self._slots = max(1, slots)
        self._awaited: set[str] = set()  # keys of the stages to go
        self._left: Counter[str] = Counter()  # how many they are, by likeness
        self._means: dict[str, _Mean] = {}  # by likeness, and by type for those that are like none so far
        self._work = 0.0  # of the stages to go whose likeness has a mean
        self._unlike: Counter[str] = Counter()  # the others, by type
        self.added(schedule.to_run())

    def added(self, nodes: Iterable[Node]) -> None:
        """Takes stages in: those to be run are awaited, once each, and finished ones show what like stages cost."""
        for node in nodes:
            kind, type_ = likeness(node.stage), type(node.stage).__name__
            if kind not in self._left:
                self._learn(kind, self._costs.known(node.stage))
                self._learn(type_, self._costs.seconds(node.stage))
            if node.state in _TO_RUN and node.key not in self._awaited:
                self._awaited.add(node.key)
                self._change(kind, type_, 1, None)
            elif node.state is State.FINISHED and node.result is not None:
                self._change(kind, type_, 0, node.result)

    def ended(self, stage: Stage, result: Mapping[str, Any] | None) -> None:
        """A stage ended, with a result or without: it failed, was blocked or pruned."""
        awaited = stage.key in self._awaited
        self._awaited.discard(stage.key)
        self._change(likeness(stage), type(stage).__name__, -1 if awaited else 0, result)

    def seconds_left(self, running: float) -> float | None:
        """Expected seconds, or None while nothing is known of some type of stage.

        Args:
            running: Seconds that the running stages have already had, in all.
        """
        work = self._work
        for type_, count in self._unlike.items():
            if count and type_ not in self._means:
                return None
            work += count * self._means[type_].value if count else 0.0
        return max(0.0, work - running) / self._slots

    def _change(self, kind: str, type_: str, count: int, result: Mapping[str, Any] | None) -> None:
        """Changes how many stages of a kind are to go, or their mean; what they add up to is kept right."""
        self._book(kind, type_, -1)
        self._left[kind] += count
        if result is not None:
            seconds = result.get("cost", {}).get("seconds", 0.0)
            self._means.setdefault(kind, _Mean()).add(seconds)
            self._means.setdefault(type_, _Mean()).add(seconds)
        self._book(kind, type_, 1)

    def _book(self, kind: str, type_: str, sign: int) -> None:
        if kind in self._means:
            self._work += sign * self._left[kind] * self._means[kind].value
        else:
            self._unlike[type_] += sign * self._left[kind]

    def _learn(self, name: str, cost: Cost | float | None) -> None:
        if cost is not None and name not in self._means:
            self._means[name] = _Mean(cost.seconds if isinstance(cost, Cost) else cost, 1)
