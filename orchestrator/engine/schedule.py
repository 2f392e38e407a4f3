"""Which stage runs next: the shared graph of many expressions, what of it is finished, what is ready.

Knows neither Ray nor a clock, so tests and simulations drive it as the searcher does.
"""

from __future__ import annotations

import dataclasses
import enum
import heapq
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from trainables.expression import Stage

if TYPE_CHECKING:
    from orchestrator.engine.store import Store

MAX_ATTEMPTS = 3
MAX_MEMORY_RETRIES = 2


class State(enum.Enum):
    """Where a stage of the graph stands."""

    UNNEEDED = "unneeded"  # everything that starts from it is finished
    FINISHED = "finished"
    WAITING = "waiting"  # for its inputs
    READY = "ready"
    RUNNING = "running"
    FAILED = "failed"
    BLOCKED = "blocked"  # something it starts from failed


_TO_RUN = frozenset({State.WAITING, State.READY, State.RUNNING})


@dataclasses.dataclass
class Node:
    """A stage of the graph.

    Attributes:
        stage: The expression.
        order: Position in the sweep; decides between equal priorities.
        parents: Keys of the stored stages that it starts from.
        children: Keys of the stages that start from it.
        result: ``result.json`` once finished.
        error: Why it failed or what blocks it.
        missing: Keys of inputs that are yet to be made.
        priority: Length of the longest path from here to an end of the graph.
        group: Decides between equal priorities, before ``order``.
        attempts: How often it was started.
        memory_retries: How often it ran out of device memory.
        share: Factor on its share of a GPU.
        want_model: Whether its weights must be there, since something unfinished starts from them.
    """

    stage: Stage
    order: int
    parents: tuple[str, ...] = ()
    children: list[str] = dataclasses.field(default_factory=list)
    state: State = State.UNNEEDED
    result: dict[str, Any] | None = None
    error: str = ""
    missing: set[str] = dataclasses.field(default_factory=set)
    priority: float = 0.0
    group: float = 0.0
    attempts: int = 0
    memory_retries: int = 0
    share: float = 1.0
    want_model: bool = False

    @property
    def key(self) -> str:
        """The stage's key."""
        return self.stage.key


def stored_inputs(stage: Stage) -> tuple[str, ...]:
    """Keys of the inputs that the store makes, ``Pretrained`` left out; each once."""
    return tuple(dict.fromkeys(parent.key for parent in stage.inputs if parent.stored))


class Schedule:
    """The graph of a sweep and its state.

    Args:
        roots: The expressions that are wanted.
        store: Where finished stages are looked up.
    """

    def __init__(self, roots: Iterable[Stage], store: Store) -> None:
        self.nodes: dict[str, Node] = {}
        self.roots: dict[str, None] = {}  # an ordered set of keys
        self.running: set[str] = set()
        self.retried = 0
        self._store = store
        self._weights_seen: set[str] = set()
        self._ready: list[tuple[tuple[float, float, int], str]] = []
        self._unfinished = 0
        for root in roots:
            self._add(root)
        found = store.results(self.nodes)
        for key, result in found.items():
            self.nodes[key].state, self.nodes[key].result = State.FINISHED, result
        for key in self.roots:
            self._require(key, model=False)
        self.prioritise(lambda stage: 1.0)

    # --- asking ----------------------------------------------------------------------------------------------

    def peek(self) -> Node | None:
        """The ready stage with the longest remaining path; None while there is none."""
        while self._ready:
            node = self.nodes[self._ready[0][1]]
            if node.state is State.READY:
                return node
            heapq.heappop(self._ready)  # an entry from before a retry
        return None

    def next(self) -> Node | None:
        """Takes the stage that :meth:`peek` shows."""
        node = self.peek()
        if node is not None:
            heapq.heappop(self._ready)
            node.state = State.RUNNING
            node.attempts += 1
            self.running.add(node.key)
        return node

    @property
    def done(self) -> bool:
        """Whether nothing is left to run or to wait for."""
        return self._unfinished == 0

    @property
    def unfinished(self) -> int:
        """Stages that are waiting, ready or running."""
        return self._unfinished

    def to_run(self) -> list[Node]:
        """The stages that are waiting, ready or running, in the sweep's order."""
        return [node for node in self.nodes.values() if node.state in _TO_RUN]

    def prioritise(self, seconds: Callable[[Stage], float], group: Callable[[Stage], float] = lambda stage: 0) -> None:
        """Orders ready stages by the longest path that begins with them.

        Args:
            seconds: Expected seconds of a stage.
            group: Among equals, those of one group come together; by the memory that a stage wants, say, since a
                worker can only be reused for another stage that asks for the same.
        """
        for node in reversed(self.nodes.values()):  # children were added after their parents
            children = (self.nodes[child] for child in node.children)
            below = max((child.priority for child in children if child.state in _TO_RUN), default=0.0)
            node.priority, node.group = seconds(node.stage) + below, group(node.stage)
        ready, self._ready = self._ready, []
        for _, key in ready:
            self._push(self.nodes[key])

    # --- telling ---------------------------------------------------------------------------------------------

    def finished(self, key: str, result: dict[str, Any]) -> None:
        """A stage ended well; what waited for it may become ready."""
        node = self.nodes[key]
        self._leave(node, State.FINISHED)
        node.result, node.error = result, ""
        for child in node.children:
            self._arrived(self.nodes[child], key)

    def failed(self, key: str, error: str) -> list[Node]:
        """A stage failed for good.

        Returns:
            The stages that are blocked by it, direct and indirect.
        """
        node = self.nodes[key]
        self._leave(node, State.FAILED)
        node.error = error
        blocked: list[Node] = []
        stack = list(node.children)
        while stack:
            child = self.nodes[stack.pop()]
            if child.state is State.WAITING:
                self._leave(child, State.BLOCKED)
                child.error = f"blocked by {node.stage.label()} ({key[:8]}): {_last_line(error)}"
                blocked.append(child)
                stack.extend(child.children)
        return sorted(blocked, key=lambda one: one.order)

    def put_back(self, key: str) -> None:
        """A stage was stopped on request, having saved its state; that is no failure."""
        node = self.nodes[key]
        node.attempts -= 1
        self.running.discard(key)
        self._make_ready(node)

    def retry(self, key: str) -> bool:
        """Puts a stage back after its worker died or a passing trouble; False once it was tried often enough."""
        node = self.nodes[key]
        return node.attempts < MAX_ATTEMPTS and self._again(node)

    def retry_with_more_memory(self, key: str) -> bool:
        """Puts a stage back with twice its share of a GPU; False once that was done often enough."""
        node = self.nodes[key]
        if node.memory_retries >= MAX_MEMORY_RETRIES:
            return False
        node.memory_retries += 1
        node.share *= 2
        return self._again(node)

    def retry_after_remaking(self, key: str, corrupt: str) -> bool:
        """Puts a stage back and has an input that turned out to be unreadable made again.

        Returns:
            False once it was tried often enough, or where the input cannot be had any more.
        """
        node = self.nodes[key]
        if node.attempts >= MAX_ATTEMPTS or corrupt not in node.parents or not self._obtainable(corrupt):
            return False
        self._weights_seen.discard(corrupt)
        self._require(corrupt, model=True)
        return self._again(node)

    # --- inside ----------------------------------------------------------------------------------------------

    def _add(self, root: Stage) -> None:
        for stage in root.walk():
            if not stage.stored or stage.key in self.nodes:
                continue
            parents = stored_inputs(stage)
            self.nodes[stage.key] = Node(stage, len(self.nodes), parents)
            for parent in parents:
                self.nodes[parent].children.append(stage.key)
        if root.stored:
            self.roots[root.key] = None

    def _require(self, key: str, model: bool) -> None:
        """Sees to it that a stage will be finished and, if wanted, its weights be there."""
        node = self.nodes[key]
        node.want_model |= model
        if node.state is State.FINISHED and (not model or self._has_model(key)):
            return
        if node.state not in (State.FINISHED, State.UNNEEDED):
            return
        self._unfinished += 1
        node.state = State.WAITING
        for parent in node.parents:
            self._require(parent, model=True)
            if self.nodes[parent].state is not State.FINISHED:
                node.missing.add(parent)
        for child in map(self.nodes.__getitem__, node.children):
            if child.state in (State.WAITING, State.READY):  # it counted on weights that are to be made again
                child.state = State.WAITING
                child.missing.add(key)
        if not node.missing:
            self._make_ready(node)

    def _obtainable(self, key: str) -> bool:
        """Whether a stage's weights are there or can be made: nothing that this takes has failed."""
        node = self.nodes[key]
        if node.state in (State.FAILED, State.BLOCKED):
            return False
        if node.state in _TO_RUN or self._store.has_model(key):
            return True
        return all(self._obtainable(parent) for parent in node.parents)

    def _has_model(self, key: str) -> bool:
        if key not in self._weights_seen and self._store.has_model(key):
            self._weights_seen.add(key)  # every stage that starts from it will ask
        return key in self._weights_seen

    def _arrived(self, node: Node, parent: str) -> None:
        if node.state is State.WAITING:
            node.missing.discard(parent)
            if not node.missing:
                self._make_ready(node)

    def _make_ready(self, node: Node) -> None:
        node.state = State.READY
        self._push(node)

    def _push(self, node: Node) -> None:
        heapq.heappush(self._ready, ((-node.priority, node.group, node.order), node.key))

    def _again(self, node: Node) -> bool:
        """Puts a running stage back; False where an input that was to be made again has failed meanwhile."""
        parents = [self.nodes[parent] for parent in node.parents]
        if any(parent.state in (State.FAILED, State.BLOCKED) for parent in parents):
            return False
        self.running.discard(node.key)
        self.retried += 1
        node.missing = {parent.key for parent in parents if parent.state is not State.FINISHED}
        if node.missing:
            node.state = State.WAITING
        else:
            self._make_ready(node)
        return True

    def _leave(self, node: Node, state: State) -> None:
        if node.state in _TO_RUN:
            self._unfinished -= 1
        self.running.discard(node.key)
        node.state = state


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"
