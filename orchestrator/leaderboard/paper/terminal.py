"""The paper's tables in a terminal: ours, and dim the paper's beside it, or below where that is too wide."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from orchestrator.leaderboard.paper.cells import Comparison, text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

_NOTE_WIDTH = 100
_UNLIMITED = 10_000


def block(comparison: Comparison, output: Console) -> RenderableType:
    """A table with its title and notes.

    Args:
        comparison: What to show.
        output: Where to; its width decides how cells are laid out.
    """
    from rich.console import Group
    from rich.measure import Measurement
    from rich.text import Text

    notes = [Text(line, style="dim") for note in comparison.notes for line in textwrap.wrap(note, _NOTE_WIDTH)]
    title = Text(comparison.title, style="bold")
    if not comparison.printed:
        return Group(title, grid(comparison, ""), *notes)
    table, place = grid(comparison, " | "), " | "
    unlimited = output.options.update(max_width=_UNLIMITED)
    if Measurement.get(output, unlimited, table).maximum > output.width:
        table, place = grid(comparison, "\n"), ", below "
    explained = Text("ours").append(f"{place}the paper's", "dim")
    return Group(title, explained, table, *notes)


def grid(comparison: Comparison, separator: str) -> Table:
    """The cells alone.

    Args:
        comparison: What to show.
        separator: Between our number and the paper's, where that prints any.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    first, *heads = comparison.heads
    table.add_column(first, no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    for name, places in comparison.rows:
        cells = []
        for place in places:
            ours, theirs = comparison.ours.get(place), comparison.printed.get(place)
            cell = Text()
            if ours is not None or theirs is not None:
                lost = ours is not None and ours.mean is None
                cell.append(text(ours, place.measure), "red" if lost else "")
                if comparison.printed:
                    cell.append(f"{separator}{text(theirs, place.measure)}", "dim")
            cells.append(cell)
        table.add_row(name, *cells)
    return table
