"""The transfer-data paper's numbers: AUROC on the target, and the share of the gap to the teacher that is closed.

The paper prints AUROC as a fraction; here all is in percent.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.leaderboard.settings import comparable, of_shown_teachers
from orchestrator.leaderboard.statistics import spread
from orchestrator.leaderboard.tables import Cell, heading

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

UNTRAINED = "untrained"
FINE_TUNED = "finetune"
_DISTILLED = "distill_"
_TUNED = "finetune_"
#: The column of what learns from a transfer set's own labels.
OWN_LABELS = "own labels"
#: Between the untrained student and its teacher, in points: no share is told of less, nor of what two standard errors
#: of the difference do not exceed. One AUROC on a few hundred examples has a standard error of about three points.
SMALLEST_GAP = 5.0
_BASELINE = "The paper's baseline is a BERT of which it does not say whether it was fine-tuned; ours is not."


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Transfer sets down, teachers across.

    Attributes:
        task: Key of the target.
        student: Name of the student.
        teachers: Names of the teachers.
        transfer: Names of the transfer sets.
        ours: AUROC in percent by (row, column). A row is a transfer set, :data:`UNTRAINED` or ``teacher``; a column a
            teacher or :data:`OWN_LABELS`.
        printed: The paper's.
        closed: Share of the gap that is closed, in percent, by (transfer set, teacher).
        printed_closed: The paper's.
        notes: What a reader should know, one sentence each.
    """

    task: str
    student: str
    teachers: tuple[str, ...]
    transfer: tuple[str, ...]
    ours: Mapping[tuple[str, str], Cell]
    printed: Mapping[tuple[str, str], Cell]
    closed: Mapping[tuple[str, str], float]
    printed_closed: Mapping[tuple[str, str], float]
    notes: tuple[str, ...] = ()


def belonging(rows: pd.DataFrame, task: str) -> pd.Series[bool]:
    """Which rows are of students that were distilled into on transfer data, evaluated on a task."""
    return rows["method"].str.startswith(_DISTILLED) & (rows["task"] == task)


def compare(rows: pd.DataFrame, task: str) -> list[Comparison]:
    """A table for each student, filled with rows of one sweep.

    Of teachers and students that were trained with several settings the last ones count, and students of these.

    Args:
        rows: Of one sweep.
        task: Key of the target task.
    """
    found = comparable(rows[rows["task"] == task], per_method=True)
    found = found[of_shown_teachers(found, found[found["method"] == FINE_TUNED])]
    students = dict.fromkeys(found[~found["method"].isin([FINE_TUNED])]["model"])
    return [_compare(found, task, str(student)) for student in students]


def _compare(rows: pd.DataFrame, task: str, student: str) -> Comparison:
    own = rows[rows["model"] == student]
    distilled = own[own["method"].str.startswith(_DISTILLED)]
    ours: dict[tuple[str, str], Cell] = {}
    for part in (distilled, own[own["method"].str.startswith(_TUNED)]):
        for (method, names), some in part.groupby([part["method"], part["teachers"].map(_joined)], sort=False):
            ours[str(method).partition("_")[2], str(names) or OWN_LABELS] = _cell(some)
    teachers = tuple(sorted({name for names in distilled["teachers"] for name in names}))
    for name in teachers:
        alone = rows[(rows["method"] == FINE_TUNED) & (rows["model"] == name)]
        if len(alone):
            ours["teacher", name] = _cell(alone)
    untrained = own[own["method"] == UNTRAINED]
    if len(untrained):
        ours[UNTRAINED, OWN_LABELS] = _cell(untrained)
    transfer = tuple(dict.fromkeys(row for row, _ in ours if row not in (UNTRAINED, "teacher")))
    closed = {
        (row, name): share for row in transfer for name in teachers if (share := _closed(ours, row, name)) is not None
    }
    printed = _printed(task, student)
    notes = (_BASELINE,) if (UNTRAINED, OWN_LABELS) in printed else ()
    return Comparison(task, student, teachers, transfer, ours, printed, closed, _printed_gaps(task, student), notes)


def _closed(numbers: Mapping[tuple[str, str], Cell], transfer: str, teacher: str) -> float | None:
    """(student - init) / (teacher - init), in percent; None where a number is missing or the gap may be noise."""
    student, init, best = (
        numbers.get(place) for place in ((transfer, teacher), (UNTRAINED, OWN_LABELS), ("teacher", teacher))
    )
    if student is None or init is None or best is None:
        return None
    if student.mean is None or init.mean is None or best.mean is None:
        return None
    gap = best.mean - init.mean
    noise = math.hypot(*((cell.std or 0.0) / math.sqrt(cell.seeds or 1) for cell in (init, best)))
    return 100 * (student.mean - init.mean) / gap if gap >= max(SMALLEST_GAP, 2 * noise) else None


def _printed(task: str, student: str) -> dict[tuple[str, str], Cell]:
    from orchestrator.leaderboard.published import published

    rows = published("transfer_data")
    rows = rows[(rows["metric"] == "auroc") & (rows["task"] == task.partition("@")[0])]
    found: dict[tuple[str, str], Cell] = {}
    columns = (rows[name] for name in ("method", "model", "teacher", "value"))
    for method, model, teacher, value in zip(*columns, strict=True):
        cell = Cell(100 * float(value))
        if method == FINE_TUNED:
            found["teacher", str(model)] = cell
        elif method == "baseline":
            found[UNTRAINED, OWN_LABELS] = cell
        elif model == student:
            found[str(method).partition("_")[2], str(teacher) if teacher == teacher else OWN_LABELS] = cell
    return found


def _printed_gaps(task: str, student: str) -> dict[tuple[str, str], float]:
    from orchestrator.leaderboard.published import published

    rows = published("transfer_data")
    rows = rows[(rows["metric"] == "gap_reduction_percent") & (rows["task"] == task) & (rows["model"] == student)]
    return {
        (str(method).partition("_")[2], str(teacher)): float(value)
        for method, teacher, value in zip(rows["method"], rows["teacher"], rows["value"], strict=True)
    }


def block(comparison: Comparison) -> RenderableType:
    """The table in a terminal: ours, and dim the paper's beside it."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("trained on", no_wrap=True)
    for name in comparison.teachers:
        table.add_column(f"AUROC from {name}", justify="right")
        table.add_column("gap closed", justify="right")
    table.add_column(f"AUROC from {OWN_LABELS}", justify="right")
    for row in ("teacher", *comparison.transfer, UNTRAINED):
        cells: list[RenderableType] = []
        for name in comparison.teachers:
            cells.append(_both(comparison.ours.get((row, name)), comparison.printed.get((row, name))))
            cells.append(_share(comparison.closed.get((row, name)), comparison.printed_closed.get((row, name))))
        cells.append(_both(comparison.ours.get((row, OWN_LABELS)), comparison.printed.get((row, OWN_LABELS))))
        table.add_row("the teacher itself" if row == "teacher" else row, *cells)
    title = f"{heading(comparison.task)}: what transfer data teaches {comparison.student}"
    explained = Text("AUROC in percent; ours | ").append("the paper's", "dim")
    notes = (Text(line, style="dim") for line in comparison.notes)
    return Group(Text(title, style="bold"), explained, table, *notes)


def _cell(rows: pd.DataFrame) -> Cell:
    values = [float(value) for value in rows["auroc"].dropna()]
    if not values:
        return Cell(None, status=str(rows["status"].iloc[-1]))
    return Cell(sum(values) / len(values), spread(values), len(values))


def _joined(names: object) -> str:
    return "+".join(names) if names is not None else ""  # type: ignore[arg-type]


def _both(ours: Cell | None, theirs: Cell | None) -> RenderableType:
    from rich.text import Text

    cell = Text("")
    if ours is not None:
        shown = ours.status if ours.mean is None else f"{ours.mean:.1f}"
        cell = Text(shown + (f" ±{ours.std:.1f}" if ours.std is not None else ""))
    return cell.append(f" | {theirs.mean:.1f}", "dim") if theirs is not None and theirs.mean is not None else cell


def _share(ours: float | None, theirs: float | None) -> RenderableType:
    from rich.text import Text

    cell = Text("" if ours is None else f"{ours:.0f}%")
    return cell if theirs is None else cell.append(f" | {theirs:.0f}%", "dim")
