"""One stage that several workers train, on a real Ray of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import safetensors.torch
import torch

from orchestrator.engine import run
from orchestrator.engine.listener import Listener
from orchestrator.engine.resources import Cluster, Shares
from orchestrator.engine.schedule import Node, Schedule, State
from orchestrator.engine.store import Store
from tests.contract.stage_suite import to_end
from tests.noop import Sleep
from tests.together import MISFORTUNE, Together
from trainables.data import miniature
from trainables.execution import Execution, Job
from trainables.expression import Stage
from trainables.stages import MaskedLanguageModel, RandomInit

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.slow
TWO = Shares(workers=2, checkpoint_seconds=0.0)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "local")
        with run.connected() as found:
            if found.cpus < 2:
                pytest.skip("needs two CPU cores")
            yield found


class Recorder(Listener):
    """Notes what happened; a proposer that adds nothing and gives a stage up after an epoch."""

    done = True

    def __init__(self, hopeless: str = "", on_progress: Callable[[], None] = lambda: None) -> None:
        self.events: list[tuple[str, str]] = []
        self.told: list[str] = []
        self._hopeless = hopeless
        self._on_progress = on_progress
        self._seen = False

    def propose(self) -> bool:
        return False

    def wants_pruned(self, node: Node) -> bool:
        return self._seen and node.stage.name == self._hopeless  # type: ignore[attr-defined]

    def started(self, node: Node) -> None:
        self.events.append(("started", node.stage.label()))

    def progressed(self, node: Node, report: dict[str, Any]) -> None:
        self._seen = self._seen or "resource" in report
        self._on_progress()

    def finished(self, node: Node) -> None:
        self.events.append(("finished", node.stage.label()))

    def failed(self, node: Node, blocked: Any) -> None:
        self.events.append(("failed", node.stage.label()))

    def pruned(self, node: Node) -> None:
        self.events.append(("pruned", node.stage.label()))

    def retried(self, node: Node, why: str) -> None:
        self.events.append(("retried", node.stage.label()))
        self.told.append(why)

    def count(self, event: str) -> int:
        return sum(kind == event for kind, _ in self.events)


def execute(
    roots: list[Stage], store: Store, cluster: Cluster, shares: Shares = TWO, recorder: Recorder | None = None
) -> tuple[Schedule, Recorder]:
    schedule, heard = Schedule(roots, store), recorder or Recorder()
    assert run.execute(schedule, store, shares, cluster, lambda node: True, heard, proposer=heard)
    assert schedule.done
    return schedule, heard


def gone(processes: list[int]) -> bool:
    deadline = time.monotonic() + 30
    while any(map(psutil.pid_exists, processes)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(map(psutil.pid_exists, processes))


def result_of(store: Store, stage: Stage) -> dict[str, Any]:
    result = store.result(stage.key)
    assert result is not None
    return result


def weights_of(store: Store, stage: Stage) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(Path(store.root) / "stages" / stage.key / "model" / "model.safetensors")


def test_two_workers_train_what_one_does(cluster: Cluster, tmp_path: Path) -> None:
    corpus = tmp_path / "some.txt"
    corpus.write_text("".join(f"{text}\n" for text in miniature.corpus("domain")[:150]))
    sizes = {"vocabulary_size": 400, "hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 32}
    start = RandomInit("mini:domain", positions=64, **sizes)
    stage = MaskedLanguageModel(
        str(corpus), start, epochs=2, max_length=32, batch_size=16, micro_batch_size=3, learning_rate=1e-3
    )
    to_end(Execution(Job.of(start), Store(str(tmp_path / "start"))))
    stores = [Store(str(shutil.copytree(tmp_path / "start", tmp_path / name))) for name in ("one", "two", "again")]
    for store, workers in zip(stores, (1, 2, 2), strict=True):
        _, recorder = execute([stage], store, cluster, Shares(workers=workers))
        assert recorder.events == [("started", stage.label()), ("finished", stage.label())]
        assert store.storage.names("tmp") == []
    one, two, again = (result_of(store, stage) for store in stores)
    assert [found["provenance"]["workers"] for found in (one, two)] == [1, 2]
    for entry, other in zip(two["history"], one["history"], strict=True):
        assert entry == pytest.approx(other, rel=1e-5)
    assert two["facts"] == one["facts"]
    assert two["history"] == again["history"]
    weights = [weights_of(store, stage) for store in stores]
    assert all(torch.allclose(weights[1][name], tensor, atol=1e-5) for name, tensor in weights[0].items())
    assert all(torch.equal(weights[1][name], tensor) for name, tensor in weights[2].items())


@pytest.mark.parametrize("how", ["dies", "raises", "memory"])
def test_a_worker_that_is_lost_is_made_up_for(cluster: Cluster, tmp_path: Path, how: str) -> None:
    store, stage = Store(str(tmp_path / "store")), Together("shaky", how=how, marker=str(tmp_path))
    schedule, recorder = execute([stage], store, cluster)
    assert recorder.count("retried") == recorder.count("finished") == 1
    wanted = {"dies": "one of the stage's 2 workers died", "raises": "in trouble", "memory": "too little memory"}
    assert wanted[how] in recorder.told[0]
    assert schedule.nodes[stage.key].memory_retries == (how == "memory")
    facts = result_of(store, stage)["facts"]
    assert (facts["resumed_at"], facts["size"]) == (MISFORTUNE - 1, 2)
    left = store.storage.names("tmp")
    assert len(left) == (how == "dies"), "who is killed can't tidy up; the rest leave nothing"
    assert [len(stage.processes(rank)) for rank in (0, 1)] == [2, 2]
    assert gone(stage.processes(1)), "what is not wanted any more has ended"


def test_the_failure_of_any_worker_is_that_of_the_stage(cluster: Cluster, tmp_path: Path) -> None:
    stage, store = Together("bad", how="fails", marker=str(tmp_path)), Store(str(tmp_path / "store"))
    schedule, recorder = execute([stage, Sleep("fine")], store, cluster)
    assert schedule.nodes[stage.key].state is State.FAILED
    assert schedule.nodes[stage.key].error == "rank 1 fails by order"
    assert recorder.count("retried") == 0
    assert store.storage.names("tmp") == []
    assert ("finished", "sleep fine") in recorder.events


def test_when_the_trials_process_dies_the_others_end_and_it_is_tried_again(cluster: Cluster, tmp_path: Path) -> None:
    stage = Together("shaky", epochs=4, seconds=0.1, marker=str(tmp_path))

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):  # it reported before it died
            os.kill(stage.processes(0)[0], signal.SIGKILL)

    store = Store(str(tmp_path / "store"))
    schedule = Schedule([stage], store)
    recorder = Recorder(on_progress=kill)
    assert run.execute(schedule, store, TWO, cluster, lambda node: True, recorder)
    assert recorder.count("retried") == recorder.count("finished") == 1
    assert result_of(store, stage)["facts"]["resumed_at"] > 0
    assert gone(stage.processes(1))


def test_a_process_that_waits_for_a_dead_one_is_ended(cluster: Cluster, tmp_path: Path) -> None:
    """As NCCL does; what was saved is gone on from."""
    store, stage = Store(str(tmp_path / "store")), Together("hanging", how="hangs", marker=str(tmp_path))
    begun = time.monotonic()
    _, recorder = execute([stage], store, cluster)
    assert recorder.events[1:] == [("retried", stage.label()), ("started", stage.label()), ("finished", stage.label())]
    assert "its worker process died" in recorder.told[0]
    assert time.monotonic() - begun < 200
    assert result_of(store, stage)["facts"]["resumed_at"] == MISFORTUNE - 1


def test_a_stage_that_is_given_up_ends_all_its_workers(cluster: Cluster, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    hopeless = Together("hopeless", epochs=30, seconds=0.05, marker=str(tmp_path))
    after = Together("after", marker=str(tmp_path))
    schedule, recorder = execute([hopeless, after], store, cluster, recorder=Recorder("hopeless"))
    assert schedule.nodes[hopeless.key].state is State.PRUNED
    assert store.load_checkpoint(hopeless.key) is None
    assert store.storage.names("tmp") == []
    assert recorder.count("finished") == 1
    assert hopeless.processes(0) == after.processes(0), "the trial's process is used again"
    assert gone(hopeless.processes(1) + after.processes(1))


DRIVER = """
    import sys
    from orchestrator.engine import run
    from orchestrator.engine.listener import Listener
    from orchestrator.engine.resources import Shares
    from orchestrator.engine.schedule import Schedule
    from orchestrator.engine.store import Store
    from tests.together import Together

    class Say(Listener):
        def progressed(self, node, report):
            print("progressed", flush=True)

    store = Store(sys.argv[1])
    schedule = Schedule([Together("long", epochs=20, seconds=0.05, marker=sys.argv[2])], store)
    with run.connected() as cluster:
        done = run.execute(schedule, store, Shares(workers=2), cluster, lambda node: False, Say())
    print("done" if done else "interrupted", flush=True)
"""


def test_ctrl_c_saves_a_checkpoint_that_one_worker_goes_on_from(cluster: Cluster, tmp_path: Path) -> None:
    store, stage = Store(str(tmp_path / "store")), Together("long", epochs=20, seconds=0.05, marker=str(tmp_path))
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(DRIVER), str(tmp_path / "store"), str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "RAY_ADDRESS": "local"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    assert driver.stdout.readline() == "progressed\n"
    driver.send_signal(signal.SIGINT)
    rest = driver.stdout.read()
    assert driver.wait(timeout=60) == 0
    assert rest.split()[-1] == "interrupted"
    assert store.load_checkpoint(stage.key) is not None
    assert store.storage.names("tmp") == []
    assert gone(stage.processes(0) + stage.processes(1))
    execute([stage], store, cluster, Shares())
    facts = result_of(store, stage)["facts"]
    assert facts["size"] == 1
    assert 0 < facts["resumed_at"] < 200
