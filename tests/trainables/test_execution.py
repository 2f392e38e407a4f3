"""One stage from start to finished entry, where that is not the contract of every stage."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from orchestrator.engine.store import Store
from tests.noop import Climb, Sleep
from tests.trainables import tiny
from trainables.execution import Execution, Job
from trainables.stages import FineTune, Pretrained

ROOT = Path(__file__).resolve().parents[2]


def run(job: Job, store: Store) -> dict:
    execution = Execution(job, store)
    while execution.result is None:
        execution.advance(1.0)
    return execution.result


def test_weights_that_changed_since_the_plan_are_refused(tmp_path: Path) -> None:
    folder = tiny.bert(tmp_path / "model")
    job = Job.of(FineTune("gad", Pretrained(str(folder)), "mini", epochs=1, train_limit=8))
    (folder / "config.json").write_text(json.dumps({**json.loads((folder / "config.json").read_text()), "changed": 1}))
    program = """
        import sys
        from orchestrator.engine.store import Store
        from trainables.execution import Execution, Job

        Execution(Job.from_text(sys.argv[1]), Store(sys.argv[2])).advance(60.0)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), job.to_text(), str(tmp_path / "store")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "StageError: the weights of" in done.stderr
    assert "start the command again" in done.stderr
    assert Store(str(tmp_path / "store")).result(job.key) is None


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    store, stage = Store(str(tmp_path / "store")), Sleep("once", marker=str(tmp_path))
    first = run(Job.of(stage), store)
    assert run(Job.of(stage), store) == first
    assert len((tmp_path / "once.starts").read_text().splitlines()) == 1


def test_weights_that_were_dropped_are_made_again_only_where_they_are_wanted(tmp_path: Path) -> None:
    store, stage = Store(str(tmp_path / "store")), Sleep("twice", marker=str(tmp_path))
    first = run(Job.of(stage), store)
    store.drop_model(stage.key)
    assert run(Job.of(stage, keep_model=False), store) == first
    assert not store.has_model(stage.key)
    assert run(Job.of(stage), store) == first  # the earlier result stands
    assert store.has_model(stage.key)
    assert len((tmp_path / "twice.starts").read_text().splitlines()) == 2


@pytest.mark.parametrize("stops", [1, 3])
def test_an_interrupted_stage_goes_on_from_where_it_was(tmp_path: Path, stops: int) -> None:
    store, stage = Store(str(tmp_path)), Sleep("long", seconds=0.5)
    for _ in range(stops):
        execution = Execution(Job.of(stage), store)
        execution.advance(0.0)
        execution.interrupt()
        assert execution.result is None
    assert run(Job.of(stage), store)["facts"]["resumed_at"] == 2 * stops
    assert store.load_checkpoint(stage.key) is None
    assert store.storage.names("tmp") == []


def test_an_epoch_that_ended_in_a_kill_is_told_before_the_next_one(tmp_path: Path) -> None:
    store, stage = Store(str(tmp_path)), Climb("short", (0.1, 0.2, 0.3))
    job = Job.of(stage, checkpoint_interval=0.0)
    execution = Execution(job, store)
    for _ in range(4):
        execution.advance(0.0)  # the second epoch's report is sent, and lost with whoever sent it
    execution.abandon()
    again = Execution(job, store)
    told = [again.advance(60.0) for _ in range(4)]
    seen = [(one.step, one.total, one.metrics["resource"], one.metrics["dev/score"]) for one in told if one is not None]
    assert seen == [(1, 3, 1.0, 0.1), (2, 3, 2.0, 0.2), (3, 3, 3.0, 0.3)]
    assert told[-1] is None
    assert again.result is not None
    assert again.result["facts"]["resumed_at"] == 2


def test_what_no_search_judges_tells_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Climb, "prunable", False)
    store, job = Store(str(tmp_path)), Job.of(Climb("short", (0.1, 0.2, 0.3)), checkpoint_interval=0.0)
    execution = Execution(job, store)
    for _ in range(4):
        execution.advance(0.0)
    execution.abandon()
    progress = Execution(job, store).advance(0.0)
    assert progress is not None
    assert (progress.step, progress.metrics) == (2, {})
