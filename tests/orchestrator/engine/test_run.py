"""The engine on a real Ray of its own: order, failures, retries, resuming, extending, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine import run
from orchestrator.engine.listener import Listener
from orchestrator.engine.resources import Cluster, Shares
from orchestrator.engine.schedule import Node, Schedule, State
from orchestrator.engine.store import Store
from tests.noop import Climb, Sleep
from trainables.expression import Stage

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "local")
        with run.connected() as found:
            yield found


class Recorder(Listener):
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.running = 0
        self.most = 0

    def started(self, node: Node) -> None:
        self.events.append(("started", node.stage.name))
        self.running += 1
        self.most = max(self.most, self.running)

    def finished(self, node: Node) -> None:
        self.events.append(("finished", node.stage.name))
        self.running -= 1

    def failed(self, node: Node, blocked: Any) -> None:
        self.events.append(("failed", node.stage.name))
        self.events += [("blocked", one.stage.name) for one in blocked]
        self.running -= 1

    def retried(self, node: Node, why: str) -> None:
        self.events.append(("retried", node.stage.name))
        self.running -= 1

    def names(self, event: str) -> list[str]:
        return [name for kind, name in self.events if kind == event]


def execute(
    roots: list[Stage], store: Store, cluster: Cluster, shares: Shares | None = None
) -> tuple[Schedule, Recorder]:
    schedule, recorder = Schedule(roots, store), Recorder()
    assert run.execute(schedule, store, shares or Shares(), cluster, lambda node: False, recorder)
    assert schedule.done
    return schedule, recorder


def test_shared_stages_run_once_and_in_order(cluster: Cluster, tmp_path: Path) -> None:
    base = Sleep("base", marker=str(tmp_path))
    middle = [Sleep(f"middle {i}", (base,), marker=str(tmp_path)) for i in range(3)]
    ends: list[Stage] = [Sleep(f"end {i} {j}", (middle[i], middle[j])) for i in range(3) for j in range(3) if i != j]
    _, recorder = execute(ends, Store(str(tmp_path / "store")), cluster)
    assert len(recorder.names("finished")) == 1 + 3 + 6
    order = [(kind, name) for kind, name in recorder.events]
    for i in range(3):
        assert order.index(("finished", "base")) < order.index(("started", f"middle {i}"))
    for end in ends:
        for parent in end.inputs:
            assert order.index(("finished", parent.name)) < order.index(("started", end.name))
    assert all(len((tmp_path / f"middle {i}.starts").read_text().splitlines()) == 1 for i in range(3))


def test_dependents_start_while_other_stages_of_their_inputs_level_still_run(cluster: Cluster, tmp_path: Path) -> None:
    long, short = Sleep("long", seconds=4.0), Sleep("short", seconds=0.1)
    _, recorder = execute([long, Sleep("after short", (short,))], Store(str(tmp_path)), cluster)
    assert recorder.events.index(("started", "after short")) < recorder.events.index(("finished", "long"))
    assert recorder.most == 2


def test_all_slots_are_used_after_one_long_first_stage(cluster: Cluster, tmp_path: Path) -> None:
    first = Sleep("first", seconds=1.5)
    _, recorder = execute([Sleep(f"{i}", (first,), seconds=0.4) for i in range(6)], Store(str(tmp_path)), cluster)
    assert recorder.most == int(cluster.cpus)


def test_a_failure_blocks_what_depends_on_it_and_nothing_else(cluster: Cluster, tmp_path: Path) -> None:
    bad, good = Sleep("bad", how="fails"), Sleep("good")
    roots: list[Stage] = [
        Sleep("child", (bad,)),
        Sleep("grandchild", (Sleep("child", (bad,)),)),
        Sleep("fine", (good,)),
    ]
    schedule, recorder = execute(roots, Store(str(tmp_path)), cluster)
    assert recorder.names("failed") == ["bad"]
    assert sorted(recorder.names("blocked")) == ["child", "grandchild"]
    assert schedule.nodes[roots[2].key].state is State.FINISHED
    assert "bad fails by order" in schedule.nodes[bad.key].error
    assert recorder.names("started").count("bad") == 1  # a StageError is not tried again


@pytest.mark.parametrize("how", ["dies once", "broken pipe once"])
def test_what_can_pass_is_tried_again(cluster: Cluster, tmp_path: Path, how: str) -> None:
    shaky = Sleep("shaky", how=how, marker=str(tmp_path))
    _, recorder = execute([Sleep("after", (shaky,))], Store(str(tmp_path / "store")), cluster)
    assert recorder.names("retried") == ["shaky"]
    assert recorder.names("finished") == ["shaky", "after"]


def test_a_stage_that_always_kills_its_worker_fails_after_three_tries(cluster: Cluster, tmp_path: Path) -> None:
    deadly = Sleep("deadly", how="dies")
    schedule, recorder = execute([deadly, Sleep("other")], Store(str(tmp_path)), cluster)
    assert recorder.names("started").count("deadly") == 3
    assert schedule.nodes[deadly.key].state is State.FAILED
    assert "worker process died" in schedule.nodes[deadly.key].error
    assert "other" in recorder.names("finished")


def test_running_again_runs_nothing_and_extending_runs_only_what_is_new(cluster: Cluster, tmp_path: Path) -> None:
    store, base = Store(str(tmp_path)), Sleep("base")
    roots: list[Stage] = [Sleep("one", (base,)), Sleep("two", (base,))]
    execute(roots, store, cluster)
    _, again = execute(roots, store, cluster)
    assert again.events == []
    _, extended = execute([*roots, Sleep("three", (base,))], store, cluster)
    assert extended.names("started")[-1] == "three"
    assert set(extended.names("started")) <= {"base", "three"}


def test_dropped_weights_are_made_again_only_when_wanted(cluster: Cluster, tmp_path: Path) -> None:
    store, base = Store(str(tmp_path)), Sleep("base")
    execute([Sleep("one", (base,))], store, cluster)
    assert store.has_model(base.key)
    store.drop_model(base.key)
    _, nothing = execute([Sleep("one", (base,))], store, cluster)
    assert nothing.events == []
    _, recorder = execute([Sleep("two", (base,))], store, cluster)
    assert recorder.names("started") == ["base", "two"]
    assert store.has_model(base.key)


def test_corrupt_weights_are_made_again(cluster: Cluster, tmp_path: Path) -> None:
    store, base = Store(str(tmp_path)), Sleep("base")
    execute([Sleep("one", (base,))], store, cluster)
    weights = tmp_path / "stages" / base.key / "model" / "config.json"
    weights.write_text("BASE")  # as long as before: only its digest tells
    _, recorder = execute([Sleep("two", (base,))], store, cluster)
    assert recorder.names("retried") == ["two"]
    assert recorder.names("finished") == ["base", "two"]
    assert weights.read_text() == "base"


# --- a schedule that grows, and stages that are given up -----------------------------------------------------


class OneByOne:
    """Adds stages one after the other, each when the one before it has ended; gives some up.

    Args:
        stages: What to add.
        hopeless: Names of stages that are given up once they have reported so many epochs.
    """

    def __init__(self, stages: list[Stage], hopeless: dict[str, int]) -> None:
        self.to_come = list(stages)
        self.hopeless = hopeless
        self.schedule = Schedule([], Store("nowhere"))
        self.epochs: dict[str, float] = {}
        self.asked = 0

    @property
    def done(self) -> bool:
        return not self.to_come

    def propose(self) -> bool:
        if self.schedule.running or not self.to_come:
            return False
        self.schedule.extend([self.to_come.pop(0)])
        return True

    def wants_pruned(self, node: Node) -> bool:
        given_up = self.epochs.get(node.stage.name, 0) >= self.hopeless.get(node.stage.name, 1_000)  # type: ignore
        self.asked += given_up
        return given_up


class Pruning(Recorder):
    def __init__(self, proposer: OneByOne) -> None:
        super().__init__()
        self.proposer = proposer
        self.added_: list[str] = []

    def added(self, nodes: Any) -> None:
        self.added_ += [node.stage.name for node in nodes]

    def progressed(self, node: Node, report: dict[str, Any]) -> None:
        if "resource" in report:
            self.proposer.epochs[node.stage.name] = report["resource"]  # type: ignore[attr-defined]

    def pruned(self, node: Node) -> None:
        self.events.append(("pruned", node.stage.name))  # type: ignore[attr-defined]
        self.running -= 1


def grow(stages: list[Stage], store: Store, cluster: Cluster, hopeless: dict[str, int]) -> tuple[Schedule, Pruning]:
    proposer = OneByOne(stages, hopeless)
    schedule, recorder = Schedule([], store), Pruning(proposer)
    proposer.schedule = schedule
    shares = Shares(checkpoint_seconds=0.2)
    assert run.execute(schedule, store, shares, cluster, lambda node: False, recorder, proposer=proposer)
    return schedule, recorder


def test_a_proposer_adds_stages_one_after_the_other(cluster: Cluster, tmp_path: Path) -> None:
    base = Sleep("base")
    stages: list[Stage] = [Sleep(f"{number}", (base,)) for number in range(4)]
    schedule, recorder = grow(stages, Store(str(tmp_path)), cluster, {})
    assert schedule.done
    assert recorder.names("finished") == ["base", "0", "1", "2", "3"]
    assert recorder.added_ == ["base", "0", "1", "2", "3"]
    assert recorder.most == 1


def test_a_stage_that_is_given_up_ends_and_leaves_nothing_but_its_worker(cluster: Cluster, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    climb = {"scores": (0.1,) * 60, "seconds": 0.5, "marker": str(tmp_path)}
    stages: list[Stage] = [
        Climb("hopeless", **climb),  # type: ignore[arg-type]
        Sleep("blocked", (Climb("hopeless", **climb),)),  # type: ignore[arg-type]
        Climb("next", (0.5, 0.6), marker=str(tmp_path)),
    ]
    schedule, recorder = grow(stages, store, cluster, {"hopeless": 2})
    states = {node.stage.name: node.state for node in schedule.nodes.values()}  # type: ignore[attr-defined]
    assert states == {"hopeless": State.PRUNED, "blocked": State.BLOCKED, "next": State.FINISHED}
    assert recorder.names("pruned") == ["hopeless"]
    assert recorder.proposer.epochs["hopeless"] < 60
    assert store.result(stages[0].key) is None
    assert store.load_checkpoint(stages[0].key) is None
    assert store.storage.names("tmp") == []
    processes = [(tmp_path / f"{name}.starts").read_text().split() for name in ("hopeless", "next")]
    assert processes[0] == processes[1], "the next stage has the same worker"


def test_a_request_that_nobody_heeds_does_no_harm(cluster: Cluster, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    late = Sleep("late", seconds=2.5)  # may not be stopped early, as one that has come to its end by then
    schedule, recorder = grow([late, Sleep("after")], store, cluster, {"late": 0})
    assert recorder.proposer.asked, "it was asked for"
    assert recorder.names("finished") == ["late", "after"]
    assert recorder.names("pruned") == []
    assert schedule.done
    assert store.storage.names("tmp") == []


def test_a_stage_whose_worker_dies_while_it_is_given_up_is_not_run_again_to_its_end(
    cluster: Cluster, tmp_path: Path
) -> None:
    class Murder(Pruning):
        def progressed(self, node: Node, report: dict[str, Any]) -> None:
            super().progressed(node, report)
            if "resource" in report and not self.names("retried"):
                os.kill(int((tmp_path / "hopeless.starts").read_text().split()[-1]), signal.SIGKILL)

    store = Store(str(tmp_path / "store"))
    proposer = OneByOne([Climb("hopeless", (0.1,) * 60, seconds=0.5, marker=str(tmp_path))], {"hopeless": 1})
    schedule, recorder = Schedule([], store), Murder(proposer)
    proposer.schedule = schedule
    assert run.execute(schedule, store, Shares(), cluster, lambda node: False, recorder, proposer=proposer)
    assert recorder.names("retried") == ["hopeless"]
    assert recorder.names("pruned") == ["hopeless"]
    assert not [name for name in store.storage.names("tmp") if name.startswith("stop-")]


def test_max_concurrent_holds(cluster: Cluster, tmp_path: Path) -> None:
    roots: list[Stage] = [Sleep(f"{i}", seconds=0.2) for i in range(4)]
    _, recorder = execute(roots, Store(str(tmp_path)), cluster, Shares(max_concurrent=1))
    assert recorder.most == 1


def test_a_stop_waits_for_a_step_that_takes_longer_than_tune_would(cluster: Cluster, tmp_path: Path) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVER), str(tmp_path / "store"), "25"],
        cwd=ROOT,
        env={**os.environ, "RAY_ADDRESS": "local"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    assert driver.stdout.readline().startswith("started")
    time.sleep(8)
    driver.send_signal(signal.SIGINT)
    assert driver.stdout.read().split()[-1] == "interrupted"
    assert Store(str(tmp_path / "store")).load_checkpoint(Sleep("long", seconds=100.0, step=25.0).key) is not None


DRIVER = """
    import sys
    from orchestrator.engine import run
    from orchestrator.engine.listener import Listener
    from orchestrator.engine.resources import Shares
    from orchestrator.engine.schedule import Schedule
    from orchestrator.engine.store import Store
    from tests.noop import Climb, Sleep

    class Say(Listener):
        def started(self, node):
            print("started", node.stage.name, flush=True)

    store = Store(sys.argv[1])
    if len(sys.argv) > 2:
        roots = [Sleep("long", seconds=100.0, step=float(sys.argv[2]))]
    else:
        roots = [Sleep("long", seconds=30.0), Sleep("longer", seconds=40.0)]
    schedule = Schedule(roots, store)
    with run.connected() as cluster:
        done = run.execute(
            schedule, store, Shares(), cluster, lambda node: False, Say(),
            on_interrupt=lambda: print("stopping", flush=True),
        )
    print("done" if done else "interrupted", flush=True)
"""


GIVING_UP = """
    import sys
    from orchestrator.engine import run
    from orchestrator.engine.listener import Listener
    from orchestrator.engine.resources import Shares
    from orchestrator.engine.schedule import Schedule
    from orchestrator.engine.store import Store
    from tests.noop import Climb

    class Say(Listener):
        done = True

        def progressed(self, node, report):
            print(node.stage.name, "reports", flush=True)

        def propose(self):
            return False

        def wants_pruned(self, node):
            return node.stage.name == "hopeless"

    store = Store(sys.argv[1])
    schedule = Schedule([Climb(name, (0.1,) * 100, seconds=2.0) for name in ("hopeless", "good")], store)
    with run.connected() as cluster:
        say = Say()
        done = run.execute(schedule, store, Shares(), cluster, lambda node: False, say, proposer=say)
    print("done" if done else "interrupted", flush=True)
"""


def test_ctrl_c_while_a_stage_is_given_up_ends_cleanly(cluster: Cluster, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(GIVING_UP), str(tmp_path / "store")],
        cwd=ROOT,
        env={**os.environ, "RAY_ADDRESS": "local"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    seen: set[str] = set()
    while seen != {"hopeless reports\n", "good reports\n"}:
        seen.add(driver.stdout.readline())
    driver.send_signal(signal.SIGINT)
    rest = driver.stdout.read()
    assert driver.wait(timeout=60) == 0
    assert rest.split()[-1] == "interrupted"
    assert not list((tmp_path / "store" / "tmp").iterdir())
    assert store.load_checkpoint(Climb("good", (0.1,) * 100, seconds=2.0).key) is not None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_state_of_running_stages(cluster: Cluster, tmp_path: Path, number: signal.Signals) -> None:
    store = Store(str(tmp_path / "store"))
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVER), str(tmp_path / "store")],
        cwd=ROOT,
        env={**os.environ, "RAY_ADDRESS": "local"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    assert driver.stdout.readline().startswith("started")
    assert driver.stdout.readline().startswith("started")
    time.sleep(8)
    driver.send_signal(number)
    rest = driver.stdout.read()
    assert driver.wait(timeout=60) == 0
    assert rest.split() == ["stopping", "interrupted"]
    assert not list((tmp_path / "store" / "tmp").iterdir())
    keys = [Sleep("long", seconds=30.0).key, Sleep("longer", seconds=40.0).key]
    assert all(store.load_checkpoint(key) is not None for key in keys)
