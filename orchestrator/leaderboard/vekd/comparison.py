"""A table of the paper with our numbers in it, laid out as the paper has it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from orchestrator.leaderboard.paper.agreement import agreement
from orchestrator.leaderboard.paper.cells import Numbers, Place
from orchestrator.leaderboard.settings import comparable
from orchestrator.leaderboard.tables import heading, latest_sweep
from orchestrator.leaderboard.vekd.numbers import complete, derived, measured, printed, rows_of
from orchestrator.vekd_averages import AVERAGE, MACRO_AVERAGE
from orchestrator.vekd_tables import PaperTable
from orchestrator.wording import counted
from trainables.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

_TITLES = {AVERAGE: "Average of all tasks", MACRO_AVERAGE: "Macro-average"}
_SPEED = (
    "Speed-up of the forward pass over BERT's on the same texts, both in turns in one process; BERT's own line says "
    "how exact that is. The paper's is of one RTX 6000."
)
#: How far a printed average may be from that of its cells, which are rounded.
_ROUNDED = 0.0101


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A table of the paper, or one like them, with our numbers in it.

    Attributes:
        table: What is compared.
        sweep: Whose rows are shown; None where no sweep has any.
        ours: Our numbers; what is not there yet is left out.
        printed: The paper's.
        notes: What a reader should know, one sentence each.
    """

    table: PaperTable
    sweep: str | None
    ours: Numbers
    printed: Numbers
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """What it shows, and of which sweep."""
        of_sweep = f"sweep {self.sweep}" if self.sweep is not None else "not run yet"
        which = f"Table {self.table.number}: " if self.table.number is not None else ""
        return f"VE-KD, {which}{self.table.title} ({of_sweep})"

    @property
    def heads(self) -> tuple[str, ...]:
        """Titles of the columns, that of the rows' names first."""
        if self.table.layout == "time":
            return ("Model", "Training Time", *map(title, self.table.tasks))
        if self.table.layout == "speed":
            return ("Model", "Parameters", "Speedup")
        return ("Task", *(line.title for line in self.table.lines))

    @property
    def rows(self) -> tuple[tuple[str, tuple[Place, ...]], ...]:
        """Each row's name, and what stands in it."""
        names = [line.title for line in self.table.lines]
        if self.table.layout == "time":
            return tuple(
                (name, (Place(name, "", "hours"), *(Place(name, task) for task in self.table.tasks))) for name in names
            )
        if self.table.layout == "speed":
            return tuple((name, (Place(name, "", "parameters"), Place(name, "", "speedup"))) for name in names)
        every = (*self.table.tasks, AVERAGE, MACRO_AVERAGE)
        return tuple((title(task), tuple(Place(name, task) for name in names)) for task in every)


def title(task: str) -> str:
    """A task or average as it is headed."""
    return _TITLES.get(task) or heading(task)


def compare(rows: pd.DataFrame, table: PaperTable, sweep: str | None = None) -> Comparison:
    """Fills a table with rows of one sweep, as far as it has got.

    Args:
        rows: From :func:`orchestrator.leaderboard.rows.read`; there may be none.
        table: One of :data:`orchestrator.vekd_tables.TABLES`, or of :func:`orchestrator.vekd_tables.compared`.
        sweep: Its name; of those that have rows of the table the one started last where None.

    Raises:
        UserError: For an unknown sweep, or one without rows of the table.
    """
    sweeps = sorted(set(rows["sweep"]))
    if sweep is not None and sweep not in sweeps:
        raise UserError(f"no sweep {sweep!r} in the leaderboard{did_you_mean(sweep, sweeps)}")
    mine = rows_of(table, rows)
    chosen = sweep if sweep is not None else latest_sweep(mine) if len(mine) else None
    mine = mine[mine["sweep"] == chosen]
    if sweep is not None and mine.empty:
        raise UserError(
            f"sweep {sweep!r} has no rows of Table {table.number}, which is made of "
            f"{', '.join(dict.fromkeys(line.method for line in table.lines))} on {', '.join(table.tasks)}"
        )
    shown = comparable(mine, per_method=True)
    ours, theirs = measured(table, shown), printed(table)
    titles = [line.title for line in table.lines]
    averaged = complete(table, ours) if table.layout == "methods" else ()
    sentences = [*agreement(titles, table.tasks, ours, theirs), *_protocol(table, averaged, theirs)]
    sentences += _runs(table, shown)
    if len(shown) < len(mine):
        others = len(mine) - len(shown)
        verb = "is" if others == 1 else "are"
        sentences.append(f"{counted(others, 'more run')} with other settings or data {verb} left out.")
    whole = len(averaged) == len(table.tasks) and table.number is not None
    if averaged and not whole:
        theirs = {place: cell for place, cell in theirs.items() if place.task not in _TITLES}
        theirs |= derived(table, theirs, averaged)
    return Comparison(table, chosen, ours | derived(table, ours, averaged), theirs, tuple(sentences))


def _protocol(table: PaperTable, averaged: tuple[str, ...], theirs: Numbers) -> list[str]:
    """Which averages, and what is measured how."""
    if table.layout == "time":
        return ["Ours is the time of all stages behind a fine-tuning, on the machine at hand; the paper's is 8 A100."]
    if table.layout == "speed":
        return [_SPEED]
    if len(averaged) > 0 and (len(averaged) < len(table.tasks) or table.number is None):
        names = ", ".join(map(title, averaged))
        both = ", the paper's beside ours too," if theirs else ""
        return [f"Averages{both} are over what every method here has: {names}."]
    if misprinted := _misprinted(table, theirs):
        return [f"Averages that are printed otherwise than their cells give: {', '.join(misprinted)}."]
    return []


def _misprinted(table: PaperTable, theirs: Numbers) -> list[str]:
    expected = derived(table, theirs, table.tasks)
    found = []
    for place, cell in expected.items():
        there = theirs.get(place)
        if there is None or there.mean is None or cell.mean is None:
            continue
        if abs(there.mean - cell.mean) > _ROUNDED:
            found.append(f"{place.line}, {title(place.task)} {there.mean:.2f} (cells: {cell.mean:.2f})")
    return found


def _runs(table: PaperTable, rows: pd.DataFrame) -> list[str]:
    """What our runs had in common."""
    if rows.empty:
        return []
    parts = []
    for column, name in (
        ("corpus", "corpus"),
        ("vocabulary_size", "vocabulary"),
        ("tolerance", "tolerance"),
        ("train_limit", "training limit"),
        ("device", "device" if table.layout in ("time", "speed") else ""),
    ):
        values = list(dict.fromkeys(_shown(value) for value in rows[column].dropna()))
        parts += [f"{name} {' | '.join(sorted(values))}"] if values and name else []
    said = f"; {', '.join(parts)}" if parts else ""
    found = [f"Ours are means over seeds, with standard deviation and their number{said}."]
    for (_, _), part in rows[rows["new_pieces"].notna()].groupby(["new_pieces", "corpus_ratio"]):
        new, ratio = int(part["new_pieces"].iloc[0]), float(part["corpus_ratio"].iloc[0])
        lines = ", ".join(dict.fromkeys(part["line"]))
        found.append(f"{new:,} new pieces make the corpus {1 - ratio:.0%} shorter ({lines}).")
    unfinished = rows.groupby(["line", "task"])["score"].count()
    if (unfinished == 0).any():
        found.append(f"Cells without a finished run say what became of it: {int((unfinished == 0).sum())}.")
    return found


def _shown(value: object) -> str:
    return f"{value:,g}" if isinstance(value, int | float) else str(value)
