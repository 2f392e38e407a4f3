"""What a running sweep shows: the grid filling in, stages under way, time left; plain lines without a terminal."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.engine.costs import Cost, CostModel, likeness
from orchestrator.engine.listener import Listener
from orchestrator.engine.schedule import Node, Schedule
from trainables.expression import Stage

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

QUIET_SECONDS = 60.0  # without a terminal, a sign of life after so long without an event


@dataclasses.dataclass(frozen=True)
class Cell:
    """Where a recipe's score appears in the live grid.

    Attributes:
        group: One table per group (the model).
        row: The target task.
        column: The intermediate task or the method.
        metric: Name of the score in the stage's metrics, such as ``test/f1``.
    """

    group: str
    row: str
    column: str
    metric: str


@dataclasses.dataclass
class _Running:
    started: float
    step: int = 0
    total: int = 0
    phase: str = "starting"


@dataclasses.dataclass
class _Mean:
    """A running mean of seconds."""

    total: float = 0.0
    count: int = 0

    def add(self, seconds: float) -> None:
        self.total += seconds
        self.count += 1

    @property
    def value(self) -> float:
        return self.total / self.count


class Clock:
    """Expected seconds until a schedule is done, from the cost of like stages; its upkeep per stage is constant.

    Args:
        schedule: What is to be run.
        costs: Costs of like stages so far.
        slots: Stages at once.
    """

    def __init__(self, schedule: Schedule, costs: CostModel, slots: int) -> None:
        self._slots = max(1, slots)
        self._left: Counter[str] = Counter()  # stages to go, by likeness
        self._means: dict[str, _Mean] = {}  # by likeness, and by type for those that are like none so far
        self._work = 0.0  # of the stages to go whose likeness has a mean
        self._unlike: Counter[str] = Counter()  # the others, by type
        for node in schedule.to_run():
            kind, type_ = likeness(node.stage), type(node.stage).__name__
            if not self._left[kind]:
                self._learn(kind, costs.known(node.stage))
                self._learn(type_, costs.seconds(node.stage))
            self._left[kind] += 1
            if kind in self._means:
                self._work += self._means[kind].value
            else:
                self._unlike[type_] += 1

    def finished(self, stage: Stage, result: Mapping[str, Any] | None) -> None:
        """A stage ended, with a result or without."""
        kind, type_ = likeness(stage), type(stage).__name__
        if kind in self._means:
            self._work -= self._left[kind] * self._means[kind].value
        else:
            self._unlike[type_] -= self._left[kind]
        self._left[kind] -= 1
        if result is not None:
            seconds = result.get("cost", {}).get("seconds", 0.0)
            self._means.setdefault(kind, _Mean()).add(seconds)
            self._means.setdefault(type_, _Mean()).add(seconds)
        if kind in self._means:
            self._work += self._left[kind] * self._means[kind].value
        else:
            self._unlike[type_] += self._left[kind]

    def seconds_left(self, running: float) -> float | None:
        """Expected seconds, or None while nothing is known of some type of stage.

        Args:
            running: Seconds that the running stages have already had, in all.
        """
        work = self._work
        for type_, count in self._unlike.items():
            if count and type_ not in self._means:
                return None
            work += count * self._means[type_].value if count else 0.0
        return max(0.0, work - running) / self._slots

    def _learn(self, name: str, cost: Cost | float | None) -> None:
        if cost is not None and name not in self._means:
            self._means[name] = _Mean(cost.seconds if isinstance(cost, Cost) else cost, 1)


class Display(Listener):
    """Shows a run; used as a context manager around it.

    Args:
        schedule: What is run.
        cells: Where finished recipes appear, by stage key.
        costs: Costs of like stages so far.
        slots: Stages at once.
        console: Where to; a live display on a terminal, else lines.
    """

    def __init__(
        self, schedule: Schedule, cells: Mapping[str, Sequence[Cell]], costs: CostModel, slots: int, console: Console
    ) -> None:
        self._schedule = schedule
        self._cells = cells
        self._clock = Clock(schedule, costs, slots)
        self._console = console
        self._begun = self._last_line = time.monotonic()
        self._ended = self._failed = 0
        self._running: dict[str, _Running] = {}
        self._scores: dict[Cell, list[float]] = {}
        self._group = next((cell.group for found in cells.values() for cell in found), "")
        self._lock = threading.Lock()
        self._live: Live | None = None
        for node in schedule.nodes.values():
            if node.result is not None:
                self._score(node)

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def note(self, text: str) -> None:
        """Prints a line above the display."""
        if self._live is None:  # rich takes a millisecond to print a line, which is a tenth of a short stage's cost
            self._console.file.write(f"{text}\n")
            self._console.file.flush()
        else:
            self._console.print(text, markup=False, highlight=False)

    # --- events ----------------------------------------------------------------------------------------------

    def started(self, node: Node) -> None:
        """See :class:`Listener`."""
        with self._lock:
            self._running[node.key] = _Running(time.monotonic())
            for cell in self._cells.get(node.key, ()):
                self._group = cell.group
        if self._live is None:
            self._line(f"start  {node.stage.label()}  [{node.key[:8]}]")

    def progressed(self, node: Node, report: dict[str, Any]) -> None:
        """See :class:`Listener`."""
        running = self._running.get(node.key)
        if running is not None:
            running.step, running.total = report.get("stage_step", 0), report.get("stage_total", 0)
            running.phase = report.get("phase", "")
        if self._live is None and time.monotonic() - self._last_line > QUIET_SECONDS:
            parts = (
                f"{self._schedule.nodes[key].stage.label()} {one.phase} {_share(one)}"
                for key, one in self._running.items()
            )
            self._line("running: " + ", ".join(parts))

    def finished(self, node: Node) -> None:
        """See :class:`Listener`."""
        with self._lock:
            running = self._running.pop(node.key, None)
            self._ended += 1
            self._clock.finished(node.stage, node.result)
            self._score(node)
        if self._live is None:
            seconds = time.monotonic() - running.started if running else 0.0
            self._line(f"done   {node.stage.label()}  {_scores(node)} in {seconds:.1f} s")

    def failed(self, node: Node, blocked: Sequence[Node]) -> None:
        """See :class:`Listener`."""
        with self._lock:
            self._running.pop(node.key, None)
            for one in (node, *blocked):
                self._ended += 1
                self._failed += 1
                self._clock.finished(one.stage, None)
        last = node.error.strip().splitlines()[-1] if node.error.strip() else "no message"
        also = f"; blocks {len(blocked)} more" if blocked else ""
        self._line(f"FAILED {node.stage.label()}: {last}{also}")

    def retried(self, node: Node, why: str) -> None:
        """See :class:`Listener`."""
        with self._lock:
            self._running.pop(node.key, None)
        self._line(f"again  {node.stage.label()}: {why.strip().splitlines()[-1]}")

    def stopping(self) -> None:
        """The run was told to stop; the stages under way are saving their state."""
        for one in self._running.values():
            one.phase = "saving"
        self.note("stopping: running stages save their state; Ctrl-C again stops at once")

    # --- drawing ---------------------------------------------------------------------------------------------

    def _score(self, node: Node) -> None:
        for cell in self._cells.get(node.key, ()):
            score = (node.result or {}).get("metrics", {}).get(cell.metric)
            if score is not None:
                self._scores.setdefault(cell, []).append(100 * score)

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        self.note(f"[{self._status()}] {text}" if self._live is None else text)

    def _status(self) -> str:
        now = time.monotonic()
        left = self._clock.seconds_left(sum(now - one.started for one in self._running.values()))
        eta = "" if left is None else f", about {duration(left)} left"
        # An input that is made again counts too, so the sum can grow.
        total = self._ended + self._schedule.unfinished
        return f"{self._ended}/{total}, {duration(now - self._begun)}{eta}"

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        with self._lock:
            failed = f", {self._failed} failed or blocked" if self._failed else ""
            parts: list[RenderableType] = [self._grid(), self._stages()]
            parts.append(Text(f"{self._status()} (stages){failed}    Ctrl-C stops cleanly", style="bold"))
            return Group(*parts)

    def _grid(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        cells = [cell for found in self._cells.values() for cell in found if cell.group == self._group]
        rows = dict.fromkeys(cell.row for cell in cells)
        # In the rows' order, as the paper's table is; what is no row (the baseline, a method) comes first.
        position = {name: index for index, name in enumerate(rows)}
        columns = sorted(dict.fromkeys(cell.column for cell in cells), key=lambda name: position.get(name, -1))
        metrics = {(cell.row, cell.column): cell for cell in cells}
        busy = {cell for key in self._running for cell in self._cells.get(key, ())}
        table = Table(title=self._group, title_justify="left", padding=(0, 1, 0, 0), box=None)
        table.add_column("target", no_wrap=True)
        for column in columns:
            table.add_column(_short(column), justify="right", no_wrap=True, min_width=5)
        for row in rows:
            line = []
            for column in columns:
                cell = metrics.get((row, column))
                scores = self._scores.get(cell, []) if cell else []
                if scores:
                    line.append(Text(f"{sum(scores) / len(scores):.1f}"))
                else:
                    line.append(Text("-" if cell is None else "..." if cell in busy else "", style="dim"))
            table.add_row(row, *line)
        return table

    def _stages(self) -> RenderableType:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table(padding=(0, 1), pad_edge=False, box=None, show_header=False)
        now = time.monotonic()
        for key, one in list(self._running.items()):
            table.add_row(
                self._schedule.nodes[key].stage.label(),
                one.phase,
                ProgressBar(total=max(1, one.total), completed=one.step, width=24),
                _share(one),
                duration(now - one.started),
            )
        return table


def duration(seconds: float) -> str:
    """Seconds as ``0:42``, ``12:05`` or ``3:01:30``."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _short(name: str) -> str:
    """At most six letters of a task's name, so that a grid of eleven fits a terminal: ``bc5chem`` is ``bc5che``."""
    return "base" if name == "baseline" else name.replace("_", "")[:6]


def _share(running: _Running) -> str:
    return f"{running.step}/{running.total}" if running.total else ""


def _scores(node: Node) -> str:
    metrics = (node.result or {}).get("metrics", {})
    return "  ".join(f"{name} {value:.4f}" for name, value in sorted(metrics.items()) if _headline(name))


def _headline(name: str) -> bool:
    return name.split("/")[-1] in ("f1", "macro_f1", "micro_f1", "accuracy", "loss", "score")
