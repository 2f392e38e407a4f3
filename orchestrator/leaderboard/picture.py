"""Grids as a PNG picture, for slides and papers."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from orchestrator.leaderboard import colours
from orchestrator.leaderboard.tables import Grid, heading, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 0.85, 0.42  # of a cell, in inches
_LEFT, _TOP, _BOTTOM = 1.75, 1.35, 0.55  # around the cells: row names, titles, notes
_FAINT = "#667079"
_LINE = "#c9cfd5"
_DIAGONAL = "#eef0f2"


def png(grids: Sequence[Grid], notes: Sequence[str] = (), *, std: bool = False) -> bytes:
    """A picture of one or more grids, one below the other, in one scale of colours.

    Args:
        grids: At least one.
        notes: Sentences for the foot.
        std: Show standard deviations and numbers of seeds too.

    Returns:
        The PNG file's content, at 150 dots per inch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    largest = max(grid.largest_change for grid in grids)
    cell_width = _WIDTH * (1.7 if std else 1.0)
    width = _LEFT + cell_width * max(max(len(grid.columns) for grid in grids), 7) + 0.25
    foots = [0.22 * len(_lines(grid.notes, width)) + 0.1 for grid in grids]
    heights = [_TOP + _HEIGHT * len(grid.targets) + foot for grid, foot in zip(grids, foots, strict=True)]
    last = _BOTTOM + 0.22 * len(_lines(notes, width))
    total = sum(heights) + last
    figure = Figure(figsize=(width, total), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    top = total
    for grid, height, foot in zip(grids, heights, foots, strict=True):
        wide, high = cell_width * len(grid.columns), _HEIGHT * len(grid.targets)
        axes = figure.add_axes((_LEFT / width, (top - _TOP - high) / total, wide / width, high / total))
        _draw(axes, grid, largest, std=std)
        figure.text(0.2 / width, (top - 0.4) / total, grid.title, fontsize=13, fontweight="bold", color="black")
        for place, line in enumerate(_lines(grid.notes, width)):
            below = top - height + foot - 0.22 * (place + 1)
            figure.text(_LEFT / width, below / total, line, fontsize=8.5, color=_FAINT)
        top -= height
    legend = figure.add_axes((_LEFT / width, (last - 0.4) / total, 7 * _WIDTH / width, 0.26 / total))
    _draw_legend(legend, largest)
    for place, line in enumerate(_lines(notes, width)):
        figure.text(_LEFT / width, (last - _BOTTOM - 0.22 * (place + 0.5)) / total, line, fontsize=8.5, color=_FAINT)
    out = BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _lines(notes: Sequence[str], width: float) -> list[str]:
    import textwrap

    return [line for note in notes for line in textwrap.wrap(note, int((width - _LEFT) * 15))]


def _draw(axes: Axes, grid: Grid, largest: float, *, std: bool) -> None:
    columns, targets = grid.columns, grid.targets
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(targets), 0)
    axes.set_axis_off()
    for y, target in enumerate(targets):
        axes.text(-0.12, y + 0.5, heading(target), ha="right", va="center", fontsize=10)
        for x, column in enumerate(columns):
            _draw_cell(axes, grid, target, column, (x, y), largest, std=std)
    for x, column in enumerate(columns):
        axes.text(x + 0.5, -0.15, heading(column).replace("-", "-\n"), ha="center", va="bottom", fontsize=10)
    axes.text(1 + len(grid.intermediates) / 2, -1.25, "Intermediate task", ha="center", va="bottom", color=_FAINT)
    axes.text(-0.12, -0.15, "Target task", ha="right", va="bottom", color=_FAINT)


def _draw_cell(
    axes: Axes, grid: Grid, target: str, column: str | None, place: tuple[int, int], largest: float, *, std: bool
) -> None:
    from matplotlib.patches import Rectangle

    x, y = place
    cell = grid.cell(target, column)
    change = cell.change if cell is not None else None
    face = "white"
    if change is not None:
        face = colours.hexadecimal(colours.of_change(change, largest))
    elif target == column:
        face = _DIAGONAL
    axes.add_patch(Rectangle((x, y), 1, 1, facecolor=face, edgecolor=_LINE, linewidth=0.6, clip_on=False))
    shown = cell is not None and cell.mean is not None
    axes.text(
        x + 0.5,
        y + 0.52,
        text(grid, target, column, std=std),
        ha="center",
        va="center",
        fontsize=10 if shown else 8,
        fontweight="bold" if column is None and shown else "normal",
        color="black" if shown else _FAINT,
    )


def _draw_legend(axes: Axes, largest: float) -> None:
    from matplotlib.patches import Rectangle

    axes.set_axis_off()
    if largest <= 0:
        return
    changes = colours.legend(largest)
    axes.set_xlim(0, len(changes))
    axes.set_ylim(0, 1)
    for x, change in enumerate(changes):
        face = colours.hexadecimal(colours.of_change(change, largest))
        axes.add_patch(Rectangle((x, 0), 1, 1, facecolor=face, edgecolor=_LINE, linewidth=0.6, clip_on=False))
        axes.text(x + 0.5, 0.48, colours.points(change), ha="center", va="center", fontsize=9)
    axes.text(-0.12, 0.5, "Change in points", ha="right", va="center", fontsize=9, color=_FAINT)
