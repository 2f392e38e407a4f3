"""The points of a figure, out of rows: means over seeds along one hyperparameter."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.leaderboard.statistics import spread
from orchestrator.leaderboard.tables import Cell, latest_sweep
from orchestrator.leaderboard.vekd.comparison import title
from orchestrator.vekd_averages import AVERAGE, average
from orchestrator.vekd_figures import Curve, PaperFigure
from orchestrator.vekd_recipes import DISTILLED
from orchestrator.wording import counted
from search_spaces.vekd import BASE_VOCABULARY
from trainables.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType


_EQUAL = 1e-9
_THOUSANDS = 10_000  # vocabulary sizes from which on papers write 60k


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A figure of the paper with our points; it prints none of its own.

    Attributes:
        figure: What it shows.
        sweep: Whose rows.
        points: Mean over seeds by (panel, curve, value along the axis). Of an average it is the mean over tasks, and
            the spread that of this mean over seeds.
        notes: What a reader should know.
    """

    figure: PaperFigure
    sweep: str
    points: Mapping[tuple[str, str, float], Cell]
    notes: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """What it shows, and of which sweep."""
        return f"VE-KD, Figure {self.figure.number}: {self.figure.title} (sweep {self.sweep})"


def draw(rows: pd.DataFrame, figure: PaperFigure, sweep: str | None = None) -> Drawn:
    """Fills a figure with rows of one sweep, as far as it has got.

    Args:
        rows: From :func:`orchestrator.leaderboard.rows.read`.
        figure: Of :func:`orchestrator.vekd_figures.get`.
        sweep: Its name; of those that have rows of the figure the one started last where None.

    Raises:
        UserError: For an unknown sweep, or where there are no rows of the figure.
    """
    sweeps = sorted(set(rows["sweep"]))
    if sweep is not None and sweep not in sweeps:
        raise UserError(f"no sweep {sweep!r} in the leaderboard{did_you_mean(sweep, sweeps)}")
    methods = [curve.method for curve in figure.curves]
    mine = rows[rows["method"].isin(methods) & rows["task"].isin(figure.tasks) & rows["trial"].isna()]
    mine = mine[mine["share"].notna()] if sweep is None else mine[mine["share"].notna() & (mine["sweep"] == sweep)]
    if mine.empty:
        raise UserError(f"no rows of Figure {figure.number}; run python -m orchestrator.vekd --figure {figure.number}")
    chosen = sweep or latest_sweep(mine)
    mine = mine[(mine["sweep"] == chosen) & (mine["status"] == "finished") & mine["score"].notna()]
    points: dict[tuple[str, str, float], Cell] = {}
    for curve in figure.curves:
        for value in figure.values:
            points |= _panels(figure, curve, value, _at(mine, figure, curve, value))
    missing = len(figure.shows) * len(figure.curves) * len(figure.values) - len(points)
    notes = [f"The paper prints no numbers of Figure {figure.number}; bars are standard deviations over seeds."]
    notes += [f"{counted(missing, 'point')} {'is' if missing == 1 else 'are'} not finished yet."] if missing else []
    notes += [f"The average is over {', '.join(map(title, figure.tasks))}."] if AVERAGE in figure.shows else []
    return Drawn(figure, chosen, points, tuple(notes))


def _at(rows: pd.DataFrame, figure: PaperFigure, curve: Curve, value: float) -> pd.DataFrame:
    """The rows of a point; of several settings of what the figure leaves open, those started last."""
    found = rows[rows["method"] == curve.method]
    wanted = {**curve.changes, figure.along: value}
    if curve.method == DISTILLED:  # plain distillation has neither
        wanted = {name: each for name, each in wanted.items() if name not in ("vocabulary_size", "tolerance")}
    if curve.tolerant:
        found = found[found["tolerance"].astype(float) > 0]
    for name, each in wanted.items():
        found = found[_is(found[name], None if name == "vocabulary_size" and each == BASE_VOCABULARY else each)]
    found = found.sort_values(["started_at", "row_key"], na_position="first")
    for name in ("vocabulary_size", "tolerance", "share"):
        if name not in wanted and len(found):
            last = float(found[name].astype(float).iloc[-1])
            found = found[_is(found[name], None if math.isnan(last) else last)]
    return found.drop_duplicates(["task", "seed"], keep="last")


def _is(column: pd.Series[Any], value: float | None) -> pd.Series[bool]:
    """Where a column has a number, or none."""
    numbers = column.astype(float)
    return numbers.isna() if value is None else (numbers - value).abs() < _EQUAL


def _panels(figure: PaperFigure, curve: Curve, value: float, rows: pd.DataFrame) -> dict[tuple[str, str, float], Cell]:
    by_seed = {
        seed: dict(zip(part["task"], map(float, part["score"]), strict=True)) for seed, part in rows.groupby("seed")
    }
    found = {}
    for panel in figure.shows:
        if panel == AVERAGE:
            scores = [average(each) for each in by_seed.values() if set(each) == set(figure.tasks)]
        else:
            scores = [each[panel] for each in by_seed.values() if panel in each]
        if scores:
            found[panel, curve.title, value] = Cell(sum(scores) / len(scores), spread(scores), len(scores))
    return found


def axis(figure: PaperFigure, value: float) -> str:
    """A value along the axis: ``base`` and ``60k`` for vocabulary sizes, percent for shares."""
    if figure.along == "share":
        return f"{value:.0%}"
    if figure.along != "vocabulary_size":
        return f"{value:g}"
    if value == BASE_VOCABULARY:
        return "base"
    return f"{value / 1_000:g}k" if value >= _THOUSANDS else f"{value:g}"


def block(drawn: Drawn) -> RenderableType:
    """The points as a table, for a terminal."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    figure = drawn.figure
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("", no_wrap=True)
    for value in figure.values:
        table.add_column(axis(figure, value), justify="right", no_wrap=True)
    for panel in figure.shows:
        for curve in figure.curves:
            cells = (drawn.points.get((panel, curve.title, value)) for value in figure.values)
            table.add_row(title(panel), curve.title, *map(_text, cells))
    return Group(Text(drawn.heading, style="bold"), table, *(Text(note, style="dim") for note in drawn.notes))


def _text(cell: Cell | None) -> str:
    if cell is None or cell.mean is None:
        return "-"
    return f"{cell.mean:.2f}" + (f" ±{cell.std:.2f}" if cell.std is not None else "")
