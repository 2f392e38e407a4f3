"""What adds expressions to a schedule while it is run: a search, which learns from what is finished."""

from __future__ import annotations

from typing import Protocol

from orchestrator.engine.schedule import Node


class Proposer(Protocol):
    """Asked by the searcher whenever nothing is ready; hears of results as a listener."""

    @property
    def done(self) -> bool:
        """Whether nothing more will be added, and nothing that was is awaited."""
        ...

    def propose(self) -> bool:
        """Adds something to the schedule; False where there is nothing to add, or not before more is finished."""
        ...

    def wants_pruned(self, node: Node) -> bool:
        """Whether a running stage is to be stopped early; asked after each of its reports."""
        ...
