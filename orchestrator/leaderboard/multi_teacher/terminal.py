"""The multi-teacher tables in a terminal: ours, and dim the printed numbers beside them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator.leaderboard.multi_teacher.comparison import (
    DEV_SCORE,
    SCORE,
    Table,
    in_order,
    printed_median,
    tables,
)
from orchestrator.leaderboard.tables import Cell
from trainables.data import tasks

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType
    from rich.table import Table as RichTable

    from orchestrator.engine.store import Store

_NOTE_WIDTH = 100


def blocks(rows: pd.DataFrame, task: str, store: Store, *, largest_only: bool = False) -> Iterator[RenderableType]:
    """The tables of a task, one after the other.

    Args:
        rows: Of one sweep.
        task: Key of the task.
        store: Where the teachers' expertise stands.
        largest_only: Leave smaller sets of teachers than the largest out.
    """
    from rich.console import Group
    from rich.text import Text

    found = tables(rows, task)
    most = max((len(table.teachers) for table in found), default=0)
    for table in found:
        if largest_only and len(table.teachers) < most:
            continue
        explained = Text("accuracy in percent by class; ours | ").append("the thesis's", "dim")
        notes = [line for note in table.notes for line in textwrap.wrap(note, _NOTE_WIDTH)]
        yield Group(
            Text(table.title, style="bold"),
            explained if table.printed else Text("accuracy in percent by class"),
            accuracies(table),
            Text(),
            Text("median over classes of the student's accuracy less a teacher's"),
            medians(table),
            *expertise(table, store),
            *(Text(line, style="dim") for line in notes),
            Text(),
        )


def accuracies(table: Table) -> RichTable:
    """Classes down, teachers and students across (Tables 5.2, 5.4, 5.6, 5.8); last 5.1, 5.10 and 5.11."""
    made = _empty("class", table.columns)
    metric = tasks.get(table.task).metric.replace("_", " ")
    titles = {**dict.fromkeys(table.labels), SCORE: metric, DEV_SCORE: f"{metric} on dev"}
    for row, title in titles.items():
        cells = [_both(table.ours.get((name, row)), table.printed.get((name, row))) for name in table.columns]
        made.add_row(title or row, *cells)
    return made


def medians(table: Table) -> RichTable:
    """Strategies down, teachers across (Tables 5.3, 5.5, 5.7, 5.9)."""
    from rich.text import Text

    made = _empty("student", table.teachers)
    for strategy in table.strategies:
        cells = []
        for teacher in table.teachers:
            mine = table.median(strategy, teacher)
            theirs = printed_median(table.task, table.student, strategy, teacher) if table.printed else None
            cell = Text("-" if mine is None else f"{mine:+.2f}")
            if theirs is not None:
                cell.append(f" | {theirs:+.2f}", "dim")
            cells.append(cell)
        made.add_row(strategy, *cells)
    return made


def expertise(table: Table, store: Store) -> list[RenderableType]:
    """What the expertise strategy goes by: the teachers' accuracy by class where it was measured, of the first seed."""
    from rich.text import Text

    result = store.result(table.keys[0]) if table.keys else None
    found = (result or {}).get("facts", {}).get("expertise")
    if not found:
        return []
    made = _empty("class", table.teachers)
    for label in in_order(table.task, found["experts"]):
        best = found["experts"][label]
        shares = [f"{100 * known[label]:.1f}" for known in found["class_accuracy"]]
        made.add_row(label, *(f"{share}{'*' if number == best else ' '}" for number, share in enumerate(shares)))
    made.add_row("all", *(f"{100 * share:.1f} " for share in found["accuracy"]))
    return [Text(), Text(f"the teachers' expertise on {found['split']} (first seed; * the expert of a class)"), made]


def _empty(first: str, names: tuple[str, ...]) -> RichTable:
    from rich.table import Table as RichTable

    made = RichTable(box=None, padding=(0, 2, 0, 0), header_style="bold")
    made.add_column(first, no_wrap=True)
    for name in names:
        made.add_column(name.replace("_", "_\u200b"), justify="right", overflow="fold")
    return made


def _both(ours: Cell | None, theirs: Cell | None) -> RenderableType:
    from rich.text import Text

    if ours is None:
        cell = Text("-")
    elif ours.mean is None:
        cell = Text(ours.status, style="red")
    else:
        cell = Text(f"{ours.mean:.1f}" + (f" ±{ours.std:.1f}" if ours.std is not None else ""))
    return cell.append(f" | {theirs.mean:.1f}", "dim") if theirs is not None and theirs.mean is not None else cell
