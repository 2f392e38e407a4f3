"""Grids and rows in a terminal, or as plain text where the output is a file or a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.leaderboard import colours
from orchestrator.leaderboard.tables import Grid, heading, text

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, RenderableType
    from rich.table import Table

_HUNDREDTHS = ("score", "ece", "retention", "l_at", "l_at_boundary")  # columns of measures
_UNLIMITED = 10_000  # a file has no width: nothing is wrapped or cut
_NOTE_WIDTH = 100  # about that of a full grid, so that notes do not push a second grid out of the screen


def console() -> Console:
    """A console on standard output: colours only in a terminal, and no wrapping elsewhere."""
    from rich.console import Console

    wide = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return Console(width=_UNLIMITED if wide else None, highlight=False)


def grid_table(grid: Grid, largest: float | None = None, *, std: bool = False) -> Table:
    """A grid as a rich table, in the paper's colours, without its title and notes.

    Args:
        grid: What to show; it may be half filled.
        largest: The change of full colour; the grid's own largest where None.
        std: Show standard deviations and numbers of seeds too.
    """
    from rich.table import Table
    from rich.text import Text

    scale = grid.largest_change if largest is None else largest
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("Target", no_wrap=True)
    for column in grid.columns:
        table.add_column(heading(column).replace("-", "-\n"), justify="right", no_wrap=True, vertical="bottom")
    widths = {column: _width(grid, column, std=std) for column in grid.columns}
    for target in grid.targets:
        cells = []
        for column in grid.columns:
            cell = grid.cell(target, column)
            style = "" if cell is None or cell.mean is not None else "dim red"
            if cell is not None and cell.change is not None:
                style = f"black on {colours.hexadecimal(colours.of_change(cell.change, scale))}"
            # Padded here, so that the colour fills the column and not just its digits.
            cells.append(Text(text(grid, target, column, std=std).rjust(widths[column]), style=style))
        table.add_row(heading(target), *cells)
    return table


def _width(grid: Grid, column: str | None, *, std: bool) -> int:
    lines = heading(column).replace("-", "-\n").split("\n")
    return max(len(each) for each in (*lines, *(text(grid, target, column, std=std) for target in grid.targets)))


def legend(largest: float) -> RenderableType:
    """A line that explains the colours."""
    from rich.text import Text

    line = Text("Change against the baseline in points: ")
    if largest <= 0:
        return line.append("none yet")
    for change in colours.legend(largest):
        line.append(
            f" {colours.points(change)} ", f"black on {colours.hexadecimal(colours.of_change(change, largest))}"
        )
    return line


def grid_block(grid: Grid, largest: float, *, std: bool = False) -> RenderableType:
    """A grid with its title and notes."""
    import textwrap

    from rich.console import Group
    from rich.text import Text

    table = grid_table(grid, largest, std=std)
    lines = [line for note in grid.notes for line in textwrap.wrap(note, _NOTE_WIDTH)]
    return Group(Text(grid.title, style="bold"), table, *(Text(line, style="dim") for line in lines))


def beside(blocks: Sequence[RenderableType], output: Console) -> RenderableType:
    """Blocks side by side where the console is wide enough, else one below the other."""
    from rich.console import Group
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    needed = sum(Measurement.get(output, output.options, block).maximum + 3 for block in blocks)
    if needed > output.width:
        return Group(*(part for block in blocks for part in (block, Text()))) if len(blocks) > 1 else blocks[0]
    row = Table.grid(padding=(0, 3, 0, 0))
    row.add_row(*blocks)
    return row


def frame_table(frame: pd.DataFrame) -> Table:
    """A data frame as a rich table: numbers to the right, missing values empty."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in frame.columns:
        numeric = is_numeric_dtype(frame[name]) and not is_bool_dtype(frame[name])
        table.add_column(Text(str(name)), justify="right" if numeric else "left", overflow="fold")
    shown = [[_shown(value, str(name)) for value in frame[name]] for name in frame.columns]
    for row in zip(*shown, strict=True):
        table.add_row(*(Text(value) for value in row))
    return table


def _shown(value: object, name: str) -> str:
    """One value as people read it."""
    import numpy as np
    import pandas as pd

    if isinstance(value, list | tuple | np.ndarray):
        return "+".join(str(item) for item in value)
    if isinstance(value, dict):
        return " ".join(f"{key}={number:.1f}" for key, number in value.items() if number is not None)
    if value is None or pd.isna(value):  # type: ignore[call-overload]  # any scalar
        return ""
    if isinstance(value, float | np.floating):
        if name.endswith(_HUNDREDTHS):
            return f"{value:.2f}"
        return f"{value:.1f}" if name.endswith("seconds") else f"{value:.6g}"
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return str(value)
