"""A table of the paper with our numbers in it, laid out as the paper has it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from orchestrator import doktra_tables
from orchestrator.doktra_tables import PaperTable
from orchestrator.leaderboard.doktra import notes
from orchestrator.leaderboard.doktra.notes import title
from orchestrator.leaderboard.doktra.numbers import (
    AVERAGE,
    complete,
    derived,
    measured,
    printed,
    rows_of,
)
from orchestrator.leaderboard.paper.agreement import agreement
from orchestrator.leaderboard.paper.cells import Numbers, Place
from orchestrator.leaderboard.settings import comparable
from orchestrator.leaderboard.tables import latest_sweep
from orchestrator.wording import counted
from trainables.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A table of the paper with our numbers in it.

    Attributes:
        table: What the paper compares.
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
        return f"DoKTra, Table {self.table.number}: {self.table.title} ({of_sweep})"

    @property
    def heads(self) -> tuple[str, ...]:
        """Titles of the columns, that of the rows' names first."""
        names = [line.title for line in self.table.lines]
        if self.table.layout == "retention":
            return ("Models", "#Params", *map(title, self.table.tasks), "Avg.", "Retain")
        if self.table.layout == "methods":
            return ("Dataset", *names)
        if self.table.layout == "boundaries":
            return ("Dataset", *(f"{name}: {what}" for name in names for what in ("F1", "L_AT")))
        return ("Models", "F1", "Improvement")

    @property
    def rows(self) -> tuple[tuple[str, tuple[Place, ...]], ...]:
        """Each row's name, and what stands in it."""
        names = [line.title for line in self.table.lines]
        if self.table.layout == "methods":
            every = (*self.table.tasks, AVERAGE)
            return tuple((title(task), tuple(Place(name, task) for name in names)) for task in every)
        if self.table.layout == "boundaries":
            pair = ("score", "l_at")
            return tuple(
                (title(task), tuple(Place(name, task, what) for name in names for what in pair))
                for task in self.table.tasks
            )
        return tuple((name, self._across(name)) for name in names)

    def _across(self, name: str) -> tuple[Place, ...]:
        if self.table.layout == "ablation":
            (task,) = self.table.tasks
            return Place(name, task), Place(name, task, "improvement")
        scores = (Place(name, task) for task in (*self.table.tasks, AVERAGE))
        return Place(name, "", "parameters"), *scores, Place(name, AVERAGE, "retention")


def compare(rows: pd.DataFrame, number: int, sweep: str | None = None) -> Comparison:
    """Fills a table of the paper with rows of one sweep, as far as it has got.

    Args:
        rows: From :func:`orchestrator.leaderboard.rows.read`; there may be none.
        number: Of the table.
        sweep: Its name; of those that have rows of the table the one started last where None.

    Raises:
        UserError: For a table that the paper lacks, an unknown sweep, or one without rows of the table.
    """
    table = doktra_tables.get(number)
    sweeps = sorted(set(rows["sweep"]))
    if sweep is not None and sweep not in sweeps:
        raise UserError(f"no sweep {sweep!r} in the leaderboard{did_you_mean(sweep, sweeps)}")
    mine = rows_of(table, rows)
    chosen = sweep if sweep is not None else latest_sweep(mine) if len(mine) else None
    mine = mine[mine["sweep"] == chosen]
    if sweep is not None and mine.empty:
        raise UserError(
            f"sweep {sweep!r} has no rows of Table {number}, which is made of rows of the models "
            f"{', '.join(table.models)} on {', '.join(table.tasks)}"
        )
    shown = comparable(mine, per_method=True)
    ours, theirs = measured(table, shown), printed(number)
    averaged = complete(table, ours)
    sentences = [
        *agreement([line.title for line in table.lines], table.tasks, ours, theirs),
        *notes.protocol(table, averaged, theirs),
    ]
    sentences += notes.runs(table, shown)
    if len(shown) < len(mine):
        others = len(mine) - len(shown)
        verb = "is" if others == 1 else "are"
        sentences.append(f"{counted(others, 'more run')} with other settings or data {verb} left out.")
    if 0 < len(averaged) < len(table.tasks):
        theirs |= derived(table, theirs, averaged)
    return Comparison(table, chosen, ours | derived(table, ours, averaged), theirs, tuple(sentences))
