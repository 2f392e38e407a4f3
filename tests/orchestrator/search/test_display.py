"""What a search shows while it runs, on a terminal and without one."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from rich.console import Console

from orchestrator.engine.costs import CostModel
from orchestrator.engine.progress import Display
from orchestrator.engine.schedule import Schedule
from orchestrator.engine.store import Store
from orchestrator.search import report
from orchestrator.search.display import SearchPanel, SearchProgress, outcome
from tests.noop import Sleep
from tests.orchestrator.search.studies import add, mixed, study


class Search:
    """A study with a clock that is set by hand."""

    def __init__(self, made: optuna.Study, target: int, phase: str = "") -> None:
        self.study, self.target, self.phase = made, target, phase
        self.now = 100.0
        self.running: list[tuple[int, str]] = []
        self.uncounted = sum(trial.state.name == "FAIL" for trial in made.get_trials(deepcopy=False))
        self.panel = SearchPanel(self.progress, lambda: self.now)

    def progress(self) -> SearchProgress:
        states = [trial.state.name for trial in self.study.get_trials(deepcopy=False)]
        best = report.best(self.study)
        return SearchProgress(
            target=self.target,
            ended=sum(states.count(state) for state in ("COMPLETE", "PRUNED", "FAIL")) - self.uncounted,
            complete=states.count("COMPLETE"),
            pruned=states.count("PRUNED"),
            failed=states.count("FAIL"),
            running=list(self.running),
            best=None if best is None or best.value is None else (best.value, best.number, best.params),
            phase=self.phase,
        )

    def end(self, seconds: float, value: float | None, params: Mapping[str, Any], **how: Any) -> None:
        """Lets time pass, then a trial ends."""
        self.now += seconds
        add(self.study, value, params, **how)
        self.panel.ended(self.study, len(self.study.get_trials(deepcopy=False)) - 1)

    def shown(self, width: int = 100) -> list[str]:
        output = io.StringIO()
        Console(file=output, width=width).print(self.panel.render([]))
        return [line.rstrip() for line in output.getvalue().splitlines()]


def test_a_line_per_ended_trial() -> None:
    search = Search(study(), 64)
    search.end(1.0, 79.02, {"beta2": 0.7})
    search.end(1.0, 78.314, {"learning_rate": 1e-5, "beta2": 0.5})
    search.end(1.0, None, {"beta2": 0.5}, state="PRUNED", reports=[70.0, 71.5])
    search.end(1.0, None, {"beta2": 0.3}, state="FAIL")
    assert search.panel.news() == [
        "trial 0: 79.02 (the best so far) beta2=0.7",
        "trial 1: 78.31 (best 79.02 of trial 0) learning_rate=1e-05 beta2=0.5",
        "trial 2: pruned at epoch 2 of refinement (71.50)",
        "trial 3: failed",
    ]
    assert search.panel.news() == []
    assert search.panel.line() == "4/64 trials"


def test_a_trial_that_was_known_to_be_pruned_has_no_epoch() -> None:
    made = study()
    add(made, None, {"beta2": 0.5}, state="PRUNED")
    assert outcome(made, 0) == "pruned"


def test_lines_of_several_phases_name_their_study() -> None:
    search = Search(study("doktra_gad.teacher"), 3, phase="teacher")
    search.end(1.0, 80.0, {"beta2": 0.0})
    assert search.panel.news() == ["trial 0 of doktra_gad.teacher: 80.00 (the best so far) beta2=0"]
    assert search.panel.line() == "1/3 trials of teacher"
    search.panel.ended(search.study, 0, "teacher")
    assert search.panel.news() == ["trial 0 of teacher: 80.00 (the best so far) beta2=0"]


def test_time_left_is_that_of_the_trials_to_come() -> None:
    search = Search(study(), 10)
    assert search.panel.seconds_left(3.0) is None, "no trial has ended yet, and most have no stages"
    search.end(600.0, 78.0, {"beta2": 0.0})
    assert search.panel.seconds_left(3.0) is None, "what the first one waited for will not come again"
    search.end(60.0, 77.0, {"beta2": 0.5})
    assert search.panel.seconds_left(3.0) == pytest.approx(8 * 60.0)
    search.end(20.0, None, {"beta2": 0.3}, state="PRUNED")
    assert search.panel.seconds_left(None) == pytest.approx(7 * 40.0)


def test_time_left_of_a_continued_search_comes_from_this_run() -> None:
    search = Search(mixed(), 12)  # 4 ended before; one failed, and is tried again
    assert search.panel.line() == "4/12 trials"
    assert search.panel.seconds_left(None) is None
    search.end(30.0, 78.0, {"beta2": 0.0})
    assert search.panel.line() == "5/12 trials"
    search.end(30.0, None, {"beta2": 0.0}, state="FAIL")
    assert search.panel.line() == "6/12 trials", "what fails in this run has had its turn"
    assert search.panel.seconds_left(None) == pytest.approx(6 * 30.0)


def test_after_the_last_trial_the_stages_count() -> None:
    search = Search(study(), 1)
    search.end(30.0, 78.0, {"beta2": 0.0})
    assert search.panel.seconds_left(12.0) == 12.0


def test_the_search_is_looked_at_now_and_then_and_when_a_trial_ends() -> None:
    search = Search(study(), 4)
    search.running.append((0, "1 of 8 stages"))
    assert search.panel.news() == []
    assert "1 of 8 stages" not in "\n".join(search.shown())
    search.now += 1.0
    search.panel.news()
    assert "trial 0  1 of 8 stages" in search.shown()


def test_the_panel_has_the_best_the_counts_and_the_running_trials() -> None:
    search = Search(study(), 64)
    assert search.shown()[:2] == [
        "best so far  no trial is complete yet",
        "trials       0 complete, 0 pruned, 0 failed, 0 running, of 64",
    ]
    search.running += [(number, f"{number} of 8 stages, FineTune") for number in range(20)]
    search.end(1.0, 79.02, {"learning_rate": 1e-5, "beta2": 0.7})
    lines = search.shown()
    assert lines[0] == "best so far  79.02  trial 0  learning_rate=1e-05 beta2=0.7"
    assert lines[1] == "trials       1 complete, 0 pruned, 0 failed, 20 running, of 64"
    assert lines[2] == "trial 0  0 of 8 stages, FineTune"
    assert lines[10] == "and 12 more trials"


def test_a_narrow_terminal_wraps_the_settings() -> None:
    search = Search(study(), 64)
    search.end(1.0, 79.02, {"learning_rate": 1e-5, "beta2": 0.7})
    lines = search.shown(width=40)
    assert max(map(len, lines)) <= 40
    assert "".join("".join(lines).split()).count("learning_rate=1e-05beta2=0.7") == 1


def run_a_trial(schedule: Schedule, display: Display, search: Search) -> None:
    """As a search does: a stage is added, run and finished, then its trial ends, and the display hears of all."""
    (node,) = schedule.extend([Sleep(f"trial {len(schedule.nodes)}")])
    display.added([node])
    assert schedule.next() is node
    display.started(node)
    schedule.finished(node.key, {"metrics": {"test/score": 0.5}, "cost": {"seconds": 1.0}})
    search.end(10.0, 78.0, {"beta2": 0.5})
    display.finished(node)


def test_without_a_terminal_stages_and_trials_are_lines(tmp_path: Path) -> None:
    search, schedule, written = Search(study(), 3), Schedule([], Store(str(tmp_path))), io.StringIO()
    with Display(schedule, search.panel, CostModel(), 1, Console(file=written, width=300)) as display:
        run_a_trial(schedule, display, search)
        run_a_trial(schedule, display, search)
    lines = written.getvalue().splitlines()
    assert "\x1b" not in written.getvalue()
    assert len(lines) == 6
    lines = [re.sub(r"stages, \d+:\d\d", "stages", line) for line in lines]  # the display's own clock is a real one
    assert lines[0].startswith("[0/3 trials, 0/1 stages] start  sleep trial 0")
    assert lines[1].startswith("[1/3 trials, 1/1 stages] done   sleep trial 0")
    assert lines[2].endswith("] trial 0: 78.00 (the best so far) beta2=0.5")
    assert lines[5].startswith("[2/3 trials, 2/2 stages, about 0:10 left] trial 1: 78.00 (best 78.00 of trial 0)")


def test_on_a_terminal_the_panel_is_above_the_stages(tmp_path: Path) -> None:
    search, schedule = Search(study(), 3), Schedule([], Store(str(tmp_path)))
    console = Console(file=io.StringIO(), width=100, height=30, force_terminal=True)
    display = Display(schedule, search.panel, CostModel(), 1, console)
    run_a_trial(schedule, display, search)
    (node,) = schedule.extend([Sleep("under way")])
    display.added([node])
    schedule.next()
    display.started(node)
    display.progressed(node, {"stage_step": 3, "stage_total": 8, "phase": "refine"})
    with console.capture() as captured:
        console.print(display._render())
    shown = captured.get()
    places = [
        shown.index(part) for part in ("best so far", "1 complete", "sleep under way", "refine", "3/8", "1/3 trials")
    ]
    assert places == sorted(places)
    assert "1/2 stages" in shown
    assert "(stages)" not in shown
