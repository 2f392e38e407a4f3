"""A schedule that is extended while it is run: by a search, which adds what it thinks of next."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.engine.schedule import Node, Schedule, State
from orchestrator.engine.store import Store
from tests.noop import Climb, Notes, Reader, Sleep
from tests.orchestrator.engine.test_schedule import FINE, chain, finish, new_store
from trainables.expression import Stage

LOST = (State.FAILED, State.BLOCKED, State.PRUNED)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@st.composite
def mixed_graphs(draw: st.DrawFn) -> list[Stage]:
    """Stages with weights and some without, each after those that it starts from."""
    made: list[Stage] = []
    for number in range(draw(st.integers(1, 9))):
        starts: list[Stage] = [stage for stage in made if stage.makes_model]
        if starts and draw(st.booleans()) and draw(st.booleans()):
            made.append(Notes(str(number), draw(st.sampled_from(starts))))
        else:
            parents = draw(st.lists(st.sampled_from(made), max_size=3, unique=True)) if made else []
            made.append(Sleep(str(number), tuple(parents), seconds=draw(st.integers(0, 5))))
    return made


class Growing:
    """A schedule that is extended at any moment while its stages finish, fail and are given up."""

    def __init__(self, graph: list[Stage], store: Store, chance: random.Random) -> None:
        self.graph = graph
        self.store = store
        self.chance = chance
        self.schedule = Schedule([], store)
        self.schedule.prioritise(lambda stage: getattr(stage, "seconds", 1.0))
        self.added: list[str] = []
        self.schedule.on_added = lambda nodes: self.added.extend(node.key for node in nodes)
        self.handed: Counter[str] = Counter()
        self.lost: set[str] = set()
        self.roots: set[str] = set()
        self.done_before = {stage.key: store.has_model(stage.key) for stage in graph if store.result(stage.key)}

    def run(self, unlucky: float) -> None:
        to_come = list(self.graph)
        self.chance.shuffle(to_come)
        running: list[Node] = []
        for _ in range(1_000):
            self._check(running)
            if to_come and self.chance.random() < 0.3:
                self._extend([to_come.pop() for _ in range(self.chance.randint(1, len(to_come)))])
            elif running and self.chance.random() < 0.5:
                self._end(running.pop(self.chance.randrange(len(running))), unlucky)
            elif (node := self._next()) is not None:
                running.append(node)
            elif not running and not to_come:
                break
            elif not running:
                assert self.schedule.done, "nothing runs, nothing is ready, and yet it is not done"
        assert self.schedule.done

    def _extend(self, roots: list[Stage]) -> None:
        before = set(self.schedule.nodes)
        added = self.schedule.extend(roots)
        self.roots |= {root.key for root in roots}
        assert [node.key for node in added] == [key for key in self.schedule.nodes if key not in before]
        for node in added:
            if any(self.schedule.nodes[parent].state in LOST for parent in node.parents):
                assert node.state in (State.BLOCKED, State.FINISHED, State.UNNEEDED)

    def _next(self) -> Node | None:
        node = self.schedule.next()
        if node is not None:
            self.handed[node.key] += 1
            assert self.handed[node.key] == 1 + self.remade(node.key), "handed out once"
            for parent in node.parents:
                assert self.schedule.nodes[parent].state is State.FINISHED
                assert parent not in node.weights or self.store.has_model(parent)
        return node

    def remade(self, key: str) -> int:
        """How often it may be run again: it had ended without weights before something wanted them."""
        return int(self.handed[key] == 2 and self.schedule.nodes[key].want_model)

    def _end(self, node: Node, unlucky: float) -> None:
        if self.chance.random() < unlucky:
            error = self.chance.choice(["fails", "pruned"])
            blocked = self.schedule.failed(node.key, "no luck") if error == "fails" else self.schedule.pruned(node.key)
            assert all(one.state is State.BLOCKED and node.key[:8] in one.error for one in blocked)
            self.lost.add(node.key)
        else:  # as a worker: weights only where they are wanted by now
            weights = node.stage.makes_model and (node.want_model or self.chance.random() < 0.5)
            self.schedule.finished(node.key, finish(self.store, node.stage, weights))

    def _check(self, running: list[Node]) -> None:
        nodes = self.schedule.nodes.values()
        assert self.schedule.running == {node.key for node in running}
        open_ = [node for node in nodes if node.state in (State.WAITING, State.READY, State.RUNNING)]
        assert self.schedule.unfinished == len(open_)
        assert self.schedule.done == (not open_)
        for node in open_:
            if node.state is State.WAITING:
                states = [self.schedule.nodes[parent].state for parent in node.parents]
                assert any(state in (State.WAITING, State.READY, State.RUNNING) for state in states), "it waits in vain"


@settings(FINE, max_examples=200)
@given(mixed_graphs(), st.randoms(use_true_random=False), st.sampled_from([0.0, 0.2]))
def test_a_schedule_that_grows_while_it_is_run_comes_to_its_end(
    graph: list[Stage], chance: random.Random, unlucky: float
) -> None:
    for store in new_store():
        for stage in graph:  # some of it was done before, some of that without weights
            if chance.random() < 0.25:
                finish(store, stage, weights=stage.makes_model and chance.random() < 0.5)
        growing = Growing(graph, store, chance)
        growing.run(unlucky)
        nodes = growing.schedule.nodes
        assert growing.added == list(nodes)
        assert {node.key for node in nodes.values() if node.state in (State.FAILED, State.PRUNED)} == growing.lost
        for node in nodes.values():
            lost = [parent for parent in node.parents if nodes[parent].state in LOST]
            if node.state is State.BLOCKED:
                assert lost
            if node.state is State.FINISHED:
                assert store.result(node.key) is not None
            if node.key in growing.roots and node.state is not State.FINISHED:
                assert node.key in growing.lost or lost


def test_extending_a_running_schedule_adds_only_what_is_new(store: Store) -> None:
    first, second, third = chain("first", "second", "third")
    schedule = Schedule([second], store)
    heard: list[list[str]] = []
    schedule.on_added = lambda nodes: heard.append([node.key for node in nodes])
    assert schedule.next().key == first.key  # type: ignore[union-attr]
    assert [node.key for node in schedule.extend([second, third])] == [third.key]
    assert schedule.extend([first]) == []
    assert heard == [[third.key], []]
    assert list(schedule.roots) == [second.key, third.key, first.key]
    schedule.finished(first.key, finish(store, first))
    assert [schedule.nodes[stage.key].state for stage in (first, second, third)] == [
        State.FINISHED,
        State.READY,
        State.WAITING,
    ]


def test_what_the_store_has_is_found_when_it_is_added(store: Store) -> None:
    first, second, third = chain("first", "second", "third")
    schedule = Schedule([Sleep("other")], store)
    finish(store, first)
    finish(store, second)
    schedule.extend([third])
    assert schedule.nodes[second.key].result is not None
    assert [node.stage.name for node in iter(schedule.next, None)] == ["other", "third"]  # type: ignore[attr-defined]


def test_weights_that_are_wanted_only_later_are_made_again(store: Store) -> None:
    first, second = chain("first", "second")
    schedule = Schedule([first], store)
    schedule.next()
    schedule.finished(first.key, finish(store, first, weights=False))
    assert schedule.done
    schedule.extend([second])
    assert not schedule.done
    assert [node.key for node in iter(schedule.next, None)] == [first.key]
    schedule.finished(first.key, finish(store, first))
    assert [node.key for node in iter(schedule.next, None)] == [second.key]


def test_the_weights_of_a_stage_under_way_are_asked_for_when_something_is_added_that_starts_from_it(
    store: Store,
) -> None:
    first, second = chain("first", "second")
    schedule = Schedule([first], store)
    node = schedule.next()
    assert node is not None
    assert not node.want_model
    schedule.extend([second])
    assert node.want_model
    assert node.attempts == 1
    schedule.finished(first.key, finish(store, first, weights=False))  # its worker had been told before that
    assert schedule.next() is schedule.nodes[second.key]
    assert schedule.retry_after_remaking(second.key, first.key)
    assert [node.key for node in iter(schedule.next, None)] == [first.key]


@pytest.mark.parametrize("how", ["failed", "pruned"])
def test_what_starts_from_a_lost_stage_is_blocked_at_once(store: Store, how: str) -> None:
    first, second, third = chain("first", "second", "third")
    schedule = Schedule([second], store)
    schedule.next()
    blocked = schedule.failed(first.key, "no luck") if how == "failed" else schedule.pruned(first.key)
    assert [node.key for node in blocked] == [second.key]
    assert schedule.done
    for root in (third, Sleep("beside", (first,)), first):
        schedule.extend([root])
        assert schedule.done, "nothing is waited for that cannot come"
    assert schedule.next() is None
    assert [schedule.nodes[key].state for key in (second.key, third.key)] == [State.BLOCKED] * 2
    assert "blocked by" in schedule.nodes[third.key].error
    assert schedule.running == set()


def test_another_root_goes_on_after_one_was_given_up(store: Store) -> None:
    base = Sleep("base")
    hopeless, other = Climb("hopeless", (0.1,), input_=base), Climb("other", (0.9,), input_=base)
    schedule = Schedule([hopeless, other], store)
    schedule.next()
    schedule.finished(base.key, finish(store, base))
    assert {schedule.next().key, schedule.next().key} == {hopeless.key, other.key}  # type: ignore[union-attr]
    assert schedule.pruned(hopeless.key) == []
    assert schedule.running == {other.key}
    schedule.finished(other.key, finish(store, other))
    assert schedule.done


def test_what_is_added_raises_the_priority_of_all_that_leads_to_it(store: Store) -> None:
    short, long = chain("first", "second"), Sleep("long", seconds=3.0)
    schedule = Schedule([short[-1], long], store)
    schedule.prioritise(lambda stage: getattr(stage, "seconds", 0.0) or 1.0)
    assert schedule.peek() is schedule.nodes[long.key]
    schedule.extend([Sleep("third", (short[-1],), seconds=5.0)])
    assert schedule.nodes[short[0].key].priority == 7.0
    assert schedule.peek() is schedule.nodes[short[0].key]
    assert [node.key for node in iter(schedule.next, None)] == [short[0].key, long.key], "each once"


def test_weights_that_are_made_again_are_ranked_by_what_wants_them(store: Store) -> None:
    first, second, third = chain("first", "second", "third")
    for stage in (first, second, third):
        finish(store, stage, weights=False)
    schedule = Schedule([third, Sleep("long", seconds=3.0)], store)
    schedule.prioritise(lambda stage: getattr(stage, "seconds", 0.0) or 1.0)
    schedule.extend([Sleep("fourth", (third,))])
    assert [schedule.nodes[stage.key].priority for stage in (first, second, third)] == [4.0, 3.0, 2.0]


def test_no_weights_are_made_again_for_what_reads_only_files(store: Store) -> None:
    base = Sleep("base")
    notes = Notes("notes", base)
    finish(store, base, weights=False)
    finish(store, notes, weights=False)
    reader = Reader("reader", notes)
    assert reader.starts_from == ()
    schedule = Schedule([reader], store)
    assert [node.key for node in schedule.to_run()] == [reader.key]
    assert not schedule.nodes[notes.key].want_model


def test_an_entry_without_weights_is_made_again_where_it_was_damaged(store: Store) -> None:
    base = Sleep("base")
    notes = Notes("notes", base)
    reader = Reader("reader", notes)
    finish(store, base)
    finish(store, notes, weights=False)
    schedule = Schedule([reader], store)
    schedule.next()
    store.storage.delete(f"stages/{notes.key}")
    assert schedule.retry_after_remaking(reader.key, notes.key)
    assert [node.key for node in iter(schedule.next, None)] == [notes.key], "base's weights are still there"
    schedule.finished(notes.key, finish(store, notes, weights=False))
    assert [node.key for node in iter(schedule.next, None)] == [reader.key]
