"""Who wants to hear of stages while they run: the leaderboard, the display, the store's housekeeping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator.engine.schedule import Node


class Listener:
    """Told of every event, in the driver's one thread; each method does nothing unless overridden."""

    def added(self, nodes: Sequence[Node]) -> None:
        """Stages were added to the schedule while it is run; some may be finished already."""

    def started(self, node: Node) -> None:
        """A stage was handed to a worker."""

    def progressed(self, node: Node, report: dict[str, Any]) -> None:
        """A running stage reported ``stage_step`` of ``stage_total``, its ``phase``, and new metrics."""

    def finished(self, node: Node) -> None:
        """A stage ended well; ``node.result`` is there."""

    def failed(self, node: Node, blocked: Sequence[Node]) -> None:
        """A stage failed for good, and so blocked others."""

    def pruned(self, node: Node) -> None:
        """A stage was stopped early on its search's wish."""

    def retried(self, node: Node, why: str) -> None:
        """A stage is tried again."""


class Listeners(Listener):
    """Passes every event on to several listeners, in order."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = tuple(listeners)

    def added(self, nodes: Sequence[Node]) -> None:
        """See :class:`Listener`."""
        for one in self._listeners:
            one.added(nodes)

    def started(self, node: Node) -> None:
        """See :class:`Listener`."""
        for one in self._listeners:
            one.started(node)

    def progressed(self, node: Node, report: dict[str, Any]) -> None:
        """See :class:`Listener`."""
        for one in self._listeners:
            one.progressed(node, report)

    def finished(self, node: Node) -> None:
        """See :class:`Listener`."""
        for one in self._listeners:
            one.finished(node)

    def failed(self, node: Node, blocked: Sequence[Node]) -> None:
        """See :class:`Listener`."""
        for one in self._listeners:
            one.failed(node, blocked)

    def retried(self, node: Node, why: str) -> None:
        """See :class:`Listener`."""
        for one in self._listeners:
            one.retried(node, why)

    def pruned(self, node: Node) -> None:
        """See :class:`Listener`."""
        for one in self._listeners:
            one.pruned(node)
