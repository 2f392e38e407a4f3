"""The schedule, driven as the engine drives it, over random graphs, orders and misfortunes."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.engine.schedule import MAX_ATTEMPTS, MAX_MEMORY_RETRIES, Node, Schedule, State
from orchestrator.engine.store import Store
from tests.noop import Sleep
from trainables.data import tasks
from trainables.expression import Stage
from trainables.stages import FineTune, MaskedLanguageModel, Pretrained, RandomInit

FINE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@st.composite
def graphs(draw: st.DrawFn) -> list[Sleep]:
    """Stages, each after those that it starts from."""
    made: list[Sleep] = []
    for number in range(draw(st.integers(1, 9))):
        parents = draw(st.lists(st.sampled_from(made), max_size=3, unique=True)) if made else []
        made.append(Sleep(str(number), tuple(parents), seconds=draw(st.integers(1, 5))))
    return made


@st.composite
def sweeps(draw: st.DrawFn) -> tuple[list[Sleep], list[Sleep]]:
    """A graph, and the roots of a sweep over it."""
    graph = draw(graphs())
    return graph, draw(st.lists(st.sampled_from(graph), min_size=1, unique=True))


def finish(store: Store, stage: Stage, weights: bool = True) -> dict[str, object]:
    folder = store.working_folder(stage.key)
    if weights:
        (folder / "model").mkdir()
        (folder / "model" / "config.json").write_text("{}")
    return store.publish(stage.key, folder, stage.to_json(), {"metrics": {"test/score": 0.5}})


def wanted(roots: list[Sleep], store: Store) -> set[str]:
    """What must be run, by the definition: unfinished roots, and what they need weights of."""
    found: set[str] = set()

    def require(stage: Stage, model: bool) -> None:
        if stage.key in found or (store.result(stage.key) and (not model or store.has_model(stage.key))):
            return
        found.add(stage.key)
        for parent in stage.inputs:
            require(parent, model=True)

    for root in roots:
        require(root, model=False)
    return found


def below(schedule: Schedule, keys: set[str]) -> set[str]:
    """All that starts from some stages, directly or not."""
    found: set[str] = set()
    stack = [child for key in keys for child in schedule.nodes[key].children]
    while stack:
        key = stack.pop()
        if key not in found:
            found.add(key)
            stack.extend(schedule.nodes[key].children)
    return found


class Simulation:
    """Hands stages out and ends them in random order, and checks at each step what must hold."""

    def __init__(self, schedule: Schedule, store: Store, chance: random.Random) -> None:
        self.schedule = schedule
        self.store = store
        self.chance = chance
        self.handed: Counter[str] = Counter()
        self.put_back: Counter[str] = Counter()
        self.running: list[Node] = []
        self.failed: set[str] = set()
        self.blocked: set[str] = set()

    def run(self, misfortunes: dict[str, float]) -> None:
        for _ in range(10_000):
            if self.schedule.done:
                break
            if self.chance.random() < 0.5 and self._hand_out():
                continue
            if self.running:
                self._end(self.running.pop(self.chance.randrange(len(self.running))), misfortunes)
            else:
                assert self._hand_out(), "nothing runs, nothing is ready, and yet it is not done"
        assert self.schedule.done
        assert not self.running
        assert not self.schedule.running
        assert self.schedule.next() is None
        assert self.schedule.to_run() == []
        assert self.schedule.unfinished == 0

    def _hand_out(self) -> bool:
        ready = [node for node in self.schedule.nodes.values() if node.state is State.READY]
        node = self.schedule.next()
        assert (node is None) == (not ready)
        if node is None:
            return False
        assert node.priority == max(one.priority for one in ready), "the longest remaining path goes first"
        for parent in node.parents:
            assert self.schedule.nodes[parent].state is State.FINISHED
            assert self.store.has_model(parent)
        self.handed[node.key] += 1
        assert self.handed[node.key] <= 1 + self.put_back[node.key]
        assert node.state is State.RUNNING
        self.running.append(node)
        return True

    def _end(self, node: Node, misfortunes: dict[str, float]) -> None:
        for what, probability in misfortunes.items():
            if self.chance.random() < probability:
                getattr(self, what)(node)
                return
        self.schedule.finished(node.key, finish(self.store, node.stage))

    def dies(self, node: Node) -> None:
        self._again_or_fails(node, self.schedule.retry(node.key))

    def lacks_memory(self, node: Node) -> None:
        share = node.share
        again = self.schedule.retry_with_more_memory(node.key)
        assert not again or node.share == 2 * share
        self._again_or_fails(node, again)

    def fails(self, node: Node) -> None:
        self._again_or_fails(node, again=False)

    def has_a_corrupt_input(self, node: Node) -> None:
        if not node.parents:
            return self.dies(node)
        corrupt = self.chance.choice(node.parents)
        self.store.drop_model(corrupt)
        before = {key: one.state for key, one in self.schedule.nodes.items()}
        again = self.schedule.retry_after_remaking(node.key, corrupt)
        for key, one in self.schedule.nodes.items():
            if before[key] is State.FINISHED and one.state is not State.FINISHED:
                self.put_back[key] += 1
        return self._again_or_fails(node, again)

    def _again_or_fails(self, node: Node, again: bool) -> None:
        if again:
            self.put_back[node.key] += 1
            assert node.attempts <= MAX_ATTEMPTS + MAX_MEMORY_RETRIES
        else:
            blocked = self.schedule.failed(node.key, f"no luck\nwith {node.stage.label()}")
            self.failed.add(node.key)
            self.blocked |= {one.key for one in blocked}
            assert all(one.state is State.BLOCKED for one in blocked)
            assert all(node.key[:8] in one.error and "with sleep" in one.error for one in blocked)


def new_store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory() as folder:
        yield Store(folder)


@FINE
@given(sweeps(), st.randoms(use_true_random=False))
def test_all_that_is_wanted_is_run_once_and_nothing_else(
    sweep: tuple[list[Sleep], list[Sleep]], chance: random.Random
) -> None:
    graph, roots = sweep
    for store in new_store():
        for stage in graph:  # some of it was done before, some of that without weights
            if chance.random() < 0.4:
                finish(store, stage, weights=chance.random() < 0.5)
        needed = wanted(roots, store)
        schedule = Schedule(roots, store)
        assert {node.key for node in schedule.to_run()} == needed
        simulation = Simulation(schedule, store, chance)
        simulation.run({})
        assert simulation.handed == Counter(needed)
        assert all(schedule.nodes[root.key].state is State.FINISHED for root in roots)
        assert wanted(roots, store) == set()
        assert Schedule(roots, store).done
        # extending the sweep runs what is new, and no more
        more = [*roots, *chance.sample(graph, chance.randint(0, len(graph)))]
        needed = wanted(more, store)
        extended = Simulation(Schedule(more, store), store, chance)
        extended.run({})
        assert extended.handed == Counter(needed)


@FINE
@given(graphs(), st.randoms(use_true_random=False))
def test_a_failure_costs_what_depends_on_it_and_nothing_else(graph: list[Sleep], chance: random.Random) -> None:
    for store in new_store():
        schedule = Schedule(graph, store)
        simulation = Simulation(schedule, store, chance)
        simulation.run({"fails": 0.25, "dies": 0.2, "lacks_memory": 0.1})
        states = {key: node.state for key, node in schedule.nodes.items()}
        assert {key for key, state in states.items() if state is State.FAILED} == simulation.failed
        blocked = {key for key, state in states.items() if state is State.BLOCKED}
        assert blocked == below(schedule, simulation.failed) == simulation.blocked
        assert {key for key, state in states.items() if state is State.FINISHED} == (
            set(states) - simulation.failed - blocked
        )
        again = Schedule(graph, store)  # the next start tries what failed, and what that blocked
        assert {node.key for node in again.to_run()} == simulation.failed | blocked
        Simulation(again, store, chance).run({})
        assert all(store.result(stage.key) for stage in graph)


@settings(FINE, max_examples=150)
@given(sweeps(), st.randoms(use_true_random=False))
def test_corrupt_inputs_are_made_again_and_the_sweep_still_ends(
    sweep: tuple[list[Sleep], list[Sleep]], chance: random.Random
) -> None:
    _, roots = sweep
    for store in new_store():
        schedule = Schedule(roots, store)
        simulation = Simulation(schedule, store, chance)
        simulation.run({"has_a_corrupt_input": 0.3, "fails": 0.08, "dies": 0.1})
        for key, node in schedule.nodes.items():
            lost = [schedule.nodes[parent].state in (State.FAILED, State.BLOCKED) for parent in node.parents]
            assert node.state in (State.FINISHED, State.FAILED, State.BLOCKED, State.UNNEEDED)
            if node.state is State.BLOCKED:
                assert any(lost)
            if node.state is State.FINISHED:
                assert store.result(key) is not None
        if not simulation.failed:
            assert all(schedule.nodes[root.key].state is State.FINISHED for root in roots)


@FINE
@given(graphs(), st.randoms(use_true_random=False))
def test_a_priority_is_the_longest_remaining_path(graph: list[Sleep], chance: random.Random) -> None:
    for store in new_store():
        for stage in graph:
            if chance.random() < 0.3:
                finish(store, stage)
        schedule = Schedule(graph, store)
        schedule.prioritise(lambda stage: stage.seconds)  # type: ignore[attr-defined]
        assert all(node.priority == longest(schedule, node) for node in schedule.to_run())
        Simulation(schedule, store, chance).run({"dies": 0.1})


def longest(schedule: Schedule, node: Node) -> float:
    children = [schedule.nodes[child] for child in node.children]
    to_run = [child for child in children if child.state in (State.WAITING, State.READY)]
    return node.stage.seconds + max((longest(schedule, child) for child in to_run), default=0.0)  # type: ignore[attr-defined]


# --- single cases --------------------------------------------------------------------------------------------


def chain(*names: str) -> list[Sleep]:
    made: list[Sleep] = []
    for name in names:
        made.append(Sleep(name, tuple(made[-1:])))
    return made


def test_equal_priorities_go_in_the_order_of_the_sweep(store: Store) -> None:
    schedule = Schedule([Sleep(name) for name in "dbca"], store)
    assert [node.stage.name for node in iter(schedule.next, None)] == list("dbca")  # type: ignore[attr-defined]


def test_a_stage_is_tried_three_times(store: Store) -> None:
    schedule = Schedule([Sleep("a")], store)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        node = schedule.next()
        assert node is not None
        assert node.attempts == attempt
        assert schedule.retry(node.key) == (attempt < MAX_ATTEMPTS)
    assert schedule.retried == MAX_ATTEMPTS - 1


def test_memory_is_doubled_twice(store: Store) -> None:
    schedule = Schedule([Sleep("a")], store)
    shares = []
    while (node := schedule.next()) is not None:
        shares.append(node.share)
        if not schedule.retry_with_more_memory(node.key):
            schedule.failed(node.key, "out of memory")
    assert shares == [1.0, 2.0, 4.0]


def test_pretrained_weights_are_not_a_stage_to_run(store: Store) -> None:
    bert = Pretrained("owner/name", "0" * 40)
    baseline = FineTune("ddi", bert, "mini")
    schedule = Schedule([baseline, bert], store)
    assert list(schedule.nodes) == [baseline.key]
    assert [node.key for node in iter(schedule.next, None)] == [baseline.key]


def test_intermediates_are_not_wanted_once_their_targets_are_finished(store: Store) -> None:
    first, second = chain("first", "second")
    finish(store, second)
    schedule = Schedule([second], store)
    assert schedule.done
    assert schedule.nodes[first.key].state is State.UNNEEDED
    assert schedule.nodes[first.key].want_model is False


def test_the_weights_of_roots_are_made_again_where_all_are_to_be_kept(store: Store) -> None:
    first = Sleep("first")
    roots = [Sleep("kept", (first,)), Sleep("dropped", (first,))]
    finish(store, first)
    for root in roots:
        finish(store, root, weights=root is roots[0])
    schedule = Schedule(roots, store)
    assert schedule.done
    schedule.want_weights()
    node = schedule.next()
    assert node is not None
    assert (node.key, node.want_model) == (roots[1].key, True)
    assert schedule.next() is None


def test_dropped_weights_are_made_again_when_wanted_and_only_then(store: Store) -> None:
    first, second, third = chain("first", "second", "third")
    for stage in (first, second):
        finish(store, stage, weights=False)
    assert Schedule([first, second], store).done, "nothing unfinished starts from them"
    schedule = Schedule([second, third], store)
    assert [node.key for node in schedule.to_run()] == [first.key, second.key, third.key]
    assert all(schedule.nodes[stage.key].want_model for stage in (first, second))
    assert not schedule.nodes[third.key].want_model


def test_a_stage_that_waits_for_several_is_not_blocked_twice(store: Store) -> None:
    one, two = Sleep("one"), Sleep("two")
    both = Sleep("both", (one, two))
    schedule = Schedule([both], store)
    schedule.next()
    schedule.next()
    assert [node.key for node in schedule.failed(one.key, "x")] == [both.key]
    assert schedule.failed(two.key, "y") == []
    assert schedule.done


def test_an_input_that_cannot_be_made_again_fails_those_that_want_it(store: Store) -> None:
    start = Sleep("start")
    one, two = Sleep("one", (start,)), Sleep("two", (start,))
    finish(store, start)
    schedule = Schedule([one, two], store)
    assert {schedule.next().key, schedule.next().key} == {one.key, two.key}  # type: ignore[union-attr]
    store.drop_model(start.key)
    assert schedule.retry_after_remaking(one.key, start.key)
    again = schedule.next()
    assert again is not None
    assert again.key == start.key
    assert [node.key for node in schedule.failed(start.key, "no luck")] == [one.key]
    assert not schedule.retry_after_remaking(two.key, start.key), "it would wait for ever"
    assert not schedule.retry(two.key)
    schedule.failed(two.key, "its input is lost")
    assert schedule.done


def test_an_input_that_others_have_made_again_is_not_made_a_third_time(store: Store) -> None:
    start = Sleep("start")
    one = Sleep("one", (start,))
    finish(store, start)
    schedule = Schedule([one], store)
    schedule.next()
    assert schedule.retry_after_remaking(one.key, start.key)  # its weights are whole again by now
    assert [node.key for node in iter(schedule.next, None)] == [one.key]


def test_the_mini_grid_shares_its_stages(store: Store) -> None:
    random_model = RandomInit("mini:general", hidden_size=16, layers=1, heads=2)
    model = MaskedLanguageModel("mini:general", random_model)
    first = {task: FineTune(task, model, "mini") for task in tasks.STILT_TASKS}
    roots = [*first.values()]
    roots += [FineTune(task, first[other], "mini") for task in first for other in first if task != other]
    schedule = Schedule(roots, store)
    assert Counter(type(node.stage).__name__ for node in schedule.nodes.values()) == {
        "RandomInit": 1,
        "MaskedLanguageModel": 1,
        "FineTune": 121,
    }
    assert schedule.unfinished == 123
    assert [node.stage for node in iter(schedule.next, None)] == [random_model]
