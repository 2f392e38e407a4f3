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
PRUNED = "stopped early by its search"


class State(enum.Enum):
    """Where a stage of the graph stands."""

    UNNEEDED = "unneeded"  # everything that starts from it is finished
    FINISHED = "finished"
    WAITING = "waiting"  # for its inputs
    READY = "ready"
    RUNNING = "running"
    FAILED = "failed"
    BLOCKED = "blocked"  # something it starts from failed
    PRUNED = "pruned"  # stopped early by a search


_TO_RUN = frozenset({State.WAITING, State.READY, State.RUNNING})
_LOST = frozenset({State.FAILED, State.BLOCKED, State.PRUNED})


@dataclasses.dataclass
class Node:
    """A stage of the graph.

    Attributes:
        stage: The expression.
        order: Position in the sweep; decides between equal priorities.
        parents: Keys of the stored stages that it starts from.
        weights: Those of them whose weights it needs; of the others it reads results and files.
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
    weights: frozenset[str] = frozenset()
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
        self._seconds: Callable[[Stage], float] = lambda stage: 1.0
        self._group: Callable[[Stage], float] = lambda stage: 0.0
        self.on_added: Callable[[list[Node]], None] = lambda added: None  # told of what is added while it is run
        self.extend(roots)

    def extend(self, roots: Iterable[Stage], weights: bool = False) -> list[Node]:
        """Adds expressions, while the schedule is run or before; their cost is that of the stages that are new.

        Args:
            roots: The expressions.
            weights: Whether others will start from them, so that the weights of those that are yet to be trained must
                be kept.

        Returns:
            The stages that are new, inputs before what starts from them. One that starts from something that failed
            is blocked from the beginning.
        """
        wanted = [root for root in roots if root.stored]
        added = [node for root in wanted for node in self._add(root)]
        for key, result in self._store.results([node.key for node in added]).items():
            self.nodes[key].state, self.nodes[key].result = State.FINISHED, result
        for root in wanted:
            unfinished = self.nodes[root.key].state is not State.FINISHED
            self._require(root.key, model=weights and unfinished and root.makes_model)
        for node in reversed(added):
            node.group = self._group(node.stage)
            self._rank(node)
        self.on_added(added)
        return added

    def want_weights(self) -> None:
        """Sees to it that the weights of all roots are there: where they were dropped, they are made again."""
        for key in list(self.roots):
            if self.nodes[key].stage.makes_model:
                self._require(key, model=True)

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

    def knows(self, stage: Stage) -> bool:
        """Whether a stage, wanted or not, is finished."""
        return self.result(stage) is not None

    def result(self, stage: Stage) -> dict[str, Any] | None:
        """What a stage found, wanted or not; None where it is not finished."""
        node = self.nodes.get(stage.key)
        return self._store.result(stage.key) if node is None else node.result

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
        self._seconds, self._group = seconds, group
        for node in reversed(self.nodes.values()):  # children were added after their parents
            node.priority, node.group = self._path(node), group(node.stage)
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
        node.error = error
        return self._lose(node, State.FAILED)

    def pruned(self, key: str) -> list[Node]:
        """A stage was stopped early, since its search has no more use for it.

        Returns:
            The stages that are blocked by it, as of :meth:`failed`; a search adds none before it has decided.
        """
        node = self.nodes[key]
        node.error = PRUNED
        return self._lose(node, State.PRUNED)

    def _lose(self, node: Node, state: State) -> list[Node]:
        """A stage will not be finished; what waits for it is blocked."""
        self._leave(node, state)
        blocked: list[Node] = []
        stack = list(node.children)
        while stack:
            child = self.nodes[stack.pop()]
            if child.state is State.WAITING:
                self._leave(child, State.BLOCKED)
                child.error = _blocked_by(node)
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
        if corrupt not in node.parents or not self._obtainable(corrupt):
            return False
        self._weights_seen.discard(corrupt)
        again = node.attempts < MAX_ATTEMPTS
        others = (self.nodes[child] for child in self.nodes[corrupt].children if child != key)
        if again or any(one.state in _TO_RUN for one in others):  # these count on it, too
            gone = self._store.result(corrupt) is None  # the whole entry, not only its weights
            self._require(corrupt, model=corrupt in node.weights, gone=gone)
        return again and self._again(node)

    # --- inside ----------------------------------------------------------------------------------------------

    def _add(self, root: Stage) -> list[Node]:
        added = []
        for stage in root.walk():
            if not stage.stored or stage.key in self.nodes:
                continue
            parents = stored_inputs(stage)
            weights = frozenset(parent.key for parent in stage.starts_from).intersection(parents)
            node = self.nodes[stage.key] = Node(stage, len(self.nodes), parents, weights)
            added.append(node)
            for parent in parents:
                self.nodes[parent].children.append(stage.key)
        self.roots[root.key] = None
        return added

    def _require(self, key: str, model: bool, gone: bool = False) -> None:
        """Sees to it that a stage will be finished and, if wanted, its weights be there.

        Args:
            key: The stage's.
            model: Whether its weights are wanted.
            gone: Whether its entry is not in the store any more, although it was finished.
        """
        node = self.nodes[key]
        node.want_model |= model
        if node.state is State.FINISHED and not gone and (not model or self._has_model(key)):
            return
        if node.state not in (State.FINISHED, State.UNNEEDED):
            return
        self._unfinished += 1
        node.state = State.WAITING
        for parent in node.parents:
            self._require(parent, model=parent in node.weights)
            if self.nodes[parent].state is not State.FINISHED:
                node.missing.add(parent)
        lost = [self.nodes[parent] for parent in node.parents if self.nodes[parent].state in _LOST]
        if lost:
            self._leave(node, State.BLOCKED)
            node.error = _blocked_by(lost[0])
            return
        for child in map(self.nodes.__getitem__, node.children):
            if child.state in (State.WAITING, State.READY):  # it counted on weights that are to be made again
                child.state = State.WAITING
                child.missing.add(key)
        if not node.missing:
            self._make_ready(node)
        if node.result is not None:  # its weights are made again; those that lead to it were ranked without it
            self._rank(node)

    def _obtainable(self, key: str) -> bool:
        """Whether a stage's weights are there or can be made: nothing that this takes has failed."""
        node = self.nodes[key]
        if node.state in _LOST:
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

    def _path(self, node: Node) -> float:
        """The length of the longest path that begins with a stage."""
        children = (self.nodes[child] for child in node.children)
        return self._seconds(node.stage) + max((one.priority for one in children if one.state in _TO_RUN), default=0.0)

    def _rank(self, node: Node) -> None:
        """Gives a stage that is wanted now its priority, and those that lead to it what it adds to theirs."""
        climbing = [node]
        while climbing:
            one = climbing.pop()
            priority = self._path(one)
            if priority <= one.priority:
                continue
            one.priority = priority
            if one.state is State.READY:
                self._push(one)
            climbing.extend(self.nodes[parent] for parent in one.parents)

    def _make_ready(self, node: Node) -> None:
        node.state = State.READY
        self._push(node)

    def _push(self, node: Node) -> None:
        heapq.heappush(self._ready, ((-node.priority, node.group, node.order), node.key))

    def _again(self, node: Node) -> bool:
        """Puts a running stage back; False where an input that was to be made again has failed meanwhile."""
        parents = [self.nodes[parent] for parent in node.parents]
        if any(parent.state in _LOST for parent in parents):
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


def _blocked_by(node: Node) -> str:
    return f"blocked by {node.stage.label()} ({node.key[:8]}): {_last_line(node.error)}"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"
