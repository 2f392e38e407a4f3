"""Numbers of a paper's table by place, ours and the printed ones, and how they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from orchestrator.leaderboard.tables import Cell

_FORMATS = {
    "score": "{:.2f}",
    "l_at": "{:.2f}",
    "improvement": "{:+.2f}",
    "retention": "{:.2f}%",
    "parameters": "{:.3g}M",
    "hours": "{:.3g} h",
    "speedup": "x{:.2f}",
}


class Place(NamedTuple):
    """Where a number stands.

    Attributes:
        line: Title of the method.
        task: Key of the task, of an average over tasks, or empty for a property of the model.
        measure: ``score`` and ``retention`` in percent, ``improvement`` in points, ``l_at`` in hidden units,
            ``parameters`` in millions, ``hours``, or ``speedup`` as a factor.
    """

    line: str
    task: str
    measure: str = "score"


Numbers = Mapping[Place, Cell]


class Comparison(Protocol):
    """A table of a paper with our numbers in it, as it is shown."""

    @property
    def title(self) -> str:
        """What it shows, and of which sweep."""
        ...

    @property
    def heads(self) -> tuple[str, ...]:
        """Titles of the columns, that of the rows' names first."""
        ...

    @property
    def rows(self) -> Sequence[tuple[str, Sequence[Place]]]:
        """Each row's name, and what stands in it."""
        ...

    @property
    def ours(self) -> Numbers:
        """Our numbers; what is not there yet is left out."""
        ...

    @property
    def printed(self) -> Numbers:
        """The paper's."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What a reader should know, one sentence each."""
        ...


def text(cell: Cell | None, measure: str) -> str:
    """What a cell says: ``77.42 ±0.04 (3)``, mean, standard deviation and seeds as far as they are known.

    Args:
        cell: None is shown as ``-``.
        measure: Of its place.
    """
    if cell is None:
        return "-"
    if cell.mean is None:
        return cell.status
    shown = _FORMATS[measure].format(cell.mean)
    shown += f" ±{cell.std:.2f}" if cell.std is not None else ""
    return shown + (f" ({cell.seeds})" if cell.seeds is not None else "")
