"""What a running sweep shows: what it is for, stages under way, time left; plain lines without a terminal."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.engine.clock import Clock
from orchestrator.engine.costs import CostModel
from orchestrator.engine.listener import Listener
from orchestrator.engine.schedule import Node, Schedule

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


class Panel(Protocol):
    """The upper part of the display: what the run is for. All but :meth:`render` is called in the driver's thread."""

    def scored(self, node: Node) -> None:
        """A stage is finished, now or from the beginning; ``node.result`` is there."""
        ...

    def news(self) -> list[str]:
        """Lines on what happened since the last call, for where there is no terminal; asked after every event."""
        ...

    def line(self) -> str:
        """What the status line begins with; nothing where stages are all that is counted."""
        ...

    def seconds_left(self, stages: float | None) -> float | None:
        """Expected seconds until the end, or None while they are not known.

        Args:
            stages: Those of the stages that are known so far.
        """
        ...

    def render(self, busy: Sequence[str]) -> RenderableType:
        """The panel, for a terminal.

        Args:
            busy: Keys of the stages under way, in the order in which they were started.
        """
        ...


class GridPanel:
    """A grid of scores that fills in: one model's tasks, and what was trained before each.

    Args:
        cells: Where finished recipes appear, by stage key.
    """

    def __init__(self, cells: Mapping[str, Sequence[Cell]]) -> None:
        self._cells = cells
        self._scores: dict[Cell, list[float]] = {}
        self._group = next((cell.group for found in cells.values() for cell in found), "")

    def scored(self, node: Node) -> None:
        """See :class:`Panel`."""
        for cell in self._cells.get(node.key, ()):
            score = (node.result or {}).get("metrics", {}).get(cell.metric)
            if score is not None:
                self._scores.setdefault(cell, []).append(100 * score)

    def news(self) -> list[str]:
        """Nothing: the lines on stages say it all."""
        return []

    def line(self) -> str:
        """Nothing: stages are what is counted."""
        return ""

    def seconds_left(self, stages: float | None) -> float | None:
        """As the stages; all are known from the beginning."""
        return stages

    def render(self, busy: Sequence[str]) -> RenderableType:
        """The grid of the model that was last started."""
        from rich.table import Table
        from rich.text import Text

        started = {cell: None for key in busy for cell in self._cells.get(key, ())}
        self._group = next((cell.group for cell in reversed(started)), self._group)
        cells = [cell for found in self._cells.values() for cell in found if cell.group == self._group]
        rows = dict.fromkeys(cell.row for cell in cells)
        # In the rows' order, as the paper's table is; what is no row (the baseline, a method) comes first.
        position = {name: index for index, name in enumerate(rows)}
        columns = sorted(dict.fromkeys(cell.column for cell in cells), key=lambda name: position.get(name, -1))
        metrics = {(cell.row, cell.column): cell for cell in cells}
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
                    line.append(Text("-" if cell is None else "..." if cell in started else "", style="dim"))
            table.add_row(row, *line)
        return table


class Display(Listener):
    """Shows a run; used as a context manager around it.

    Args:
        schedule: What is run.
        panel: What is shown above the stages under way.
        costs: Costs of like stages so far.
        slots: Stages at once.
        console: Where to; a live display on a terminal, else lines.
    """

    def __init__(self, schedule: Schedule, panel: Panel, costs: CostModel, slots: int, console: Console) -> None:
        self._schedule = schedule
        self._panel = panel
        self._clock = Clock(schedule, costs, slots)
        self._console = console
        self._begun = self._last_line = time.monotonic()
        self._ended = self._failed = 0
        self._running: dict[str, _Running] = {}
        self._lock = threading.Lock()
        self._live: Live | None = None
        for node in schedule.nodes.values():
            if node.result is not None:
                panel.scored(node)

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

    def added(self, nodes: Sequence[Node]) -> None:
        """See :class:`Listener`."""
        with self._lock:
            self._clock.added(nodes)
            for node in nodes:
                if node.result is not None:
                    self._panel.scored(node)

    def started(self, node: Node) -> None:
        """See :class:`Listener`."""
        with self._lock:
            self._running[node.key] = _Running(time.monotonic())
            self._clock.added([node])  # it may be one that was finished, whose weights are wanted again
        self._news()
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
        self._news()

    def finished(self, node: Node) -> None:
        """See :class:`Listener`."""
        with self._lock:
            running = self._running.pop(node.key, None)
            self._ended += 1
            self._clock.ended(node.stage, node.result)
            self._panel.scored(node)
        if self._live is None:
            seconds = time.monotonic() - running.started if running else 0.0
            self._line(f"done   {node.stage.label()}  {_scores(node)} in {seconds:.1f} s")
        self._news()

    def failed(self, node: Node, blocked: Sequence[Node]) -> None:
        """See :class:`Listener`."""
        with self._lock:
            self._running.pop(node.key, None)
            for one in (node, *blocked):
                self._ended += 1
                self._failed += 1
                self._clock.ended(one.stage, None)
        last = node.error.strip().splitlines()[-1] if node.error.strip() else "no message"
        also = f"; blocks {len(blocked)} more" if blocked else ""
        self._line(f"FAILED {node.stage.label()}: {last}{also}")
        self._news()

    def pruned(self, node: Node) -> None:
        """See :class:`Listener`."""
        with self._lock:
            self._running.pop(node.key, None)
            self._ended += 1
            self._clock.ended(node.stage, None)
        if self._live is None:
            self._line(f"pruned {node.stage.label()}")
        self._news()

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

    def _news(self) -> None:
        for text in self._panel.news():
            if self._live is None:
                self._line(text)

    def _line(self, text: str) -> None:
        self._last_line = time.monotonic()
        self.note(f"[{self._status()}] {text}" if self._live is None else text)

    def _status(self) -> str:
        now = time.monotonic()
        left = self._clock.seconds_left(sum(now - one.started for one in self._running.values()))
        left = self._panel.seconds_left(left)
        eta = "" if left is None else f", about {duration(left)} left"
        # An input that is made again counts too, and what a search adds, so the sum can grow.
        stages = f"{self._ended}/{self._ended + self._schedule.unfinished}"
        of = self._panel.line()
        counts = f"{of}, {stages} stages" if of else stages
        return f"{counts}, {duration(now - self._begun)}{eta}"

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        with self._lock:
            failed = f", {self._failed} failed or blocked" if self._failed else ""
            parts: list[RenderableType] = [self._panel.render(list(self._running)), self._stages()]
            unit = "" if self._panel.line() else " (stages)"
            parts.append(Text(f"{self._status()}{unit}{failed}    Ctrl-C stops cleanly", style="bold"))
            return Group(*parts)

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
