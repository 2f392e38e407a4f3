"""What a run shows, with and without a terminal, and how long it says it will take."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.engine.clock import Clock
from orchestrator.engine.costs import CostModel
from orchestrator.engine.progress import Cell, Display, GridPanel, duration
from orchestrator.engine.schedule import Schedule
from orchestrator.engine.store import Store
from tests.noop import Sleep


def result(score: float, seconds: float) -> dict[str, Any]:
    return {"metrics": {"test/score": score}, "cost": {"seconds": seconds, "gpu_seconds": 0.0}}


@pytest.fixture
def schedule(tmp_path: Path) -> Schedule:
    base = Sleep("base")
    return Schedule([Sleep("one", (base,)), Sleep("two", (base,))], Store(str(tmp_path)))


def cells(schedule: Schedule) -> dict[str, list[Cell]]:
    return {key: [Cell("model", schedule.nodes[key].stage.name, "baseline", "test/score")] for key in schedule.roots}


def finish(schedule: Schedule, display: Display, score: float) -> None:
    node = schedule.next()
    assert node is not None
    display.started(node)
    display.progressed(node, {"stage_step": 3, "stage_total": 8, "phase": "train"})
    schedule.finished(node.key, result(score, 2.0))
    display.finished(node)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (42.4, "0:42"), (59.7, "1:00"), (725, "12:05"), (10_890, "3:01:30")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_clock_counts_what_is_left_by_the_cost_of_like_stages(schedule: Schedule) -> None:
    clock = Clock(schedule, CostModel(), slots=2)
    assert clock.seconds_left(0.0) is None  # nothing is known yet
    base = schedule.next()
    assert base is not None
    clock.ended(base.stage, result(0.5, 10.0))
    assert clock.seconds_left(0.0) == pytest.approx(10.0)  # two stages of ten seconds on two slots
    assert clock.seconds_left(6.0) == pytest.approx(7.0)
    assert clock.seconds_left(100.0) == 0.0


def test_without_a_terminal_every_event_is_a_plain_line(schedule: Schedule) -> None:
    written = io.StringIO()
    with Display(schedule, GridPanel(cells(schedule)), CostModel(), 1, Console(file=written, width=500)) as display:
        finish(schedule, display, 0.5)
        finish(schedule, display, 0.25)
        node = schedule.next()
        assert node is not None
        display.started(node)
        display.failed(node, schedule.failed(node.key, "Traceback\nValueError: it broke"))
    lines = written.getvalue().splitlines()
    assert "\x1b" not in written.getvalue()
    assert lines[0].startswith("[0/3, 0:00] start  sleep base")
    assert "done   sleep one  test/score 0.2500" in lines[3]
    assert lines[3].startswith("[2/3, 0:00")
    assert lines[5].endswith("FAILED sleep two: ValueError: it broke")


def test_on_a_terminal_the_grid_fills_in(schedule: Schedule) -> None:
    written = io.StringIO()
    console = Console(file=written, width=100, height=30, force_terminal=True)
    display = Display(schedule, GridPanel(cells(schedule)), CostModel(), 1, console)
    finish(schedule, display, 0.5)
    finish(schedule, display, 0.25)
    node = schedule.next()
    assert node is not None
    display.started(node)
    display.progressed(node, {"stage_step": 3, "stage_total": 8, "phase": "train"})
    with console.capture() as captured:
        console.print(display._render())
    shown = captured.get()
    assert "25.0" in shown  # in percent
    assert "..." in shown  # the cell under way
    assert "3/8" in shown
    assert "2/3" in shown
    assert "Ctrl-C stops cleanly" in shown


def test_a_finished_recipe_is_in_the_grid_from_the_start(tmp_path: Path) -> None:
    store, stage = Store(str(tmp_path)), Sleep("one")
    folder = store.working_folder(stage.key)
    store.publish(stage.key, folder, stage.to_json(), result(0.75, 1.0))
    schedule = Schedule([stage], store)
    display = Display(schedule, GridPanel(cells(schedule)), CostModel(), 1, Console(file=io.StringIO(), width=100))
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as captured:
        console.print(display._render())
    assert "75.0" in captured.get()


def test_the_clock_takes_in_what_is_added_and_forgets_what_is_pruned(schedule: Schedule) -> None:
    clock = Clock(schedule, CostModel(), slots=1)
    base = schedule.next()
    assert base is not None
    clock.ended(base.stage, result(0.5, 10.0))
    assert clock.seconds_left(0.0) == pytest.approx(20.0)
    clock.added(schedule.extend([Sleep("three"), Sleep("four", (Sleep("three"),))]))
    assert clock.seconds_left(0.0) == pytest.approx(40.0)
    clock.added([schedule.nodes[Sleep("three").key]])
    assert clock.seconds_left(0.0) == pytest.approx(40.0), "each is awaited once"
    clock.ended(Sleep("four", (Sleep("three"),)), None)
    assert clock.seconds_left(0.0) == pytest.approx(30.0)


def test_the_clock_learns_from_what_is_added_finished(tmp_path: Path) -> None:
    store, stage = Store(str(tmp_path)), Sleep("one")
    schedule = Schedule([Sleep("two")], store)
    clock = Clock(schedule, CostModel(), slots=1)
    assert clock.seconds_left(0.0) is None
    store.publish(stage.key, store.working_folder(stage.key), stage.to_json(), result(0.75, 7.0))
    clock.added(schedule.extend([stage]))
    assert clock.seconds_left(0.0) == pytest.approx(7.0), "two is to go, and one says how long such a stage takes"


def test_the_clock_is_not_thrown_off_by_a_stage_that_is_made_again(schedule: Schedule) -> None:
    clock = Clock(schedule, CostModel(), slots=1)
    base = schedule.next()
    assert base is not None
    schedule.finished(base.key, result(0.5, 10.0))
    clock.ended(base.stage, base.result)
    clock.ended(base.stage, base.result)  # its weights were wanted again
    assert clock.seconds_left(0.0) == pytest.approx(20.0)


def test_a_growing_schedule_counts_what_was_added_and_pruned(schedule: Schedule) -> None:
    written = io.StringIO()
    with Display(schedule, GridPanel({}), CostModel(), 1, Console(file=written, width=500)) as display:
        finish(schedule, display, 0.5)
        display.added(schedule.extend([Sleep("three")]))
        node = schedule.next()
        assert node is not None
        display.started(node)
        schedule.pruned(node.key)
        display.pruned(node)
    lines = written.getvalue().splitlines()
    assert lines[2].startswith("[1/4, ")
    assert lines[3].startswith("[2/4, ")
    assert lines[3].endswith(f"pruned {node.stage.label()}")


def test_a_panel_has_the_word_on_the_rest(schedule: Schedule) -> None:
    class Panel(GridPanel):
        def news(self) -> list[str]:
            return ["something happened"]

        def line(self) -> str:
            return "3/7 trials"

        def seconds_left(self, stages: float | None) -> float | None:
            return 725.0

    written = io.StringIO()
    with Display(schedule, Panel({}), CostModel(), 1, Console(file=written, width=500)) as display:
        finish(schedule, display, 0.5)
    assert "[3/7 trials, 0/3 stages, 0:00, about 12:05 left] something happened" in written.getvalue().splitlines()
