"""Numbers of a table by place: ours from rows, the paper's from its transcription, and what follows from either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator import doktra_tables
from orchestrator.doktra_tables import Line, PaperTable
from orchestrator.leaderboard.paper.cells import Numbers, Place
from orchestrator.leaderboard.statistics import spread
from orchestrator.leaderboard.tables import Cell

if TYPE_CHECKING:
    import pandas as pd

#: In place of a task: the mean over the table's tasks.
AVERAGE = "average"

_MEASURES = {"retain_percent": "retention", "l_at": "l_at", "improvement": "improvement", "parameters": "parameters"}


def score(numbers: Numbers, line: Line, task: str) -> float | None:
    """A method's score on a task, or its average; None where there is none."""
    cell = numbers.get(Place(line.title, task))
    return cell.mean if cell is not None else None


def printed(number: int) -> dict[Place, Cell]:
    """What the paper prints in a table, its averages too."""
    from orchestrator.leaderboard.published import published

    everything = published("doktra")
    everything = everything[everything["table"] == str(number)]
    found = {}
    for line in doktra_tables.get(number).lines:
        teacher = everything["teacher"].fillna("") == (line.teacher or "")
        of_line = everything[(everything["method"] == line.method) & (everything["model"] == line.model) & teacher]
        columns = (of_line["task"].fillna(""), of_line["metric"], of_line["value"], of_line["std"])
        for task, metric, value, std in zip(*columns, strict=True):
            place = Place(line.title, str(task), _MEASURES.get(str(metric), "score"))
            found[place] = Cell(float(value), float(std) if std == std else None)  # NaN is not itself
    return found


def rows_of(table: PaperTable, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that belong into a table, with the title of their method as ``line``.

    A search's trials do not: their settings are not the table's. Nor do rows of single folds, whose task is another.
    """
    titles = {(line.method, line.model, line.teacher or ""): line.title for line in table.lines}
    teachers = rows["teachers"].map(lambda names: "+".join(names) if names is not None else "")
    labels = zip(rows["method"], rows["model"], teachers, strict=True)
    named = rows.assign(line=[titles.get(each, "") for each in labels])
    return named[(named["line"] != "") & named["task"].isin(table.tasks) & named["trial"].isna()]


def measured(table: PaperTable, rows: pd.DataFrame) -> dict[Place, Cell]:
    """Means over seeds of what rows hold.

    Args:
        table: The table.
        rows: From :func:`rows_of`, of one sweep and one setting for each line and task.
    """
    found: dict[Place, Cell] = {}
    for (line, task), part in rows.sort_values("seed").groupby(["line", "task"]):
        place = Place(str(line), str(task))
        finished = part[(part["status"] == "finished") & part["score"].notna()]
        found[place] = _mean(finished, "score") or Cell(None, status=str(part["status"].iloc[-1]))
        boundaries = _mean(finished, "l_at")
        if boundaries is not None and table.layout == "boundaries":
            found[place._replace(measure="l_at")] = boundaries
    for line, part in rows.groupby("line"):
        sizes = part["parameters"].dropna()
        if len(sizes):
            found[Place(str(line), "", "parameters")] = Cell(float(sizes.median()) / 1e6)
    return found


def _mean(rows: pd.DataFrame, column: str) -> Cell | None:
    values = [float(value) for value in rows[column].dropna()]
    if not values:
        return None
    return Cell(sum(values) / len(values), spread(values), len(values), keys=tuple(rows["key"]))


def complete(table: PaperTable, numbers: Numbers) -> tuple[str, ...]:
    """The tasks that averages may be over: those that every method has a score for, of the methods that have any."""
    begun = [line for line in table.lines if any(score(numbers, line, task) is not None for task in table.tasks)]
    return tuple(
        task for task in table.tasks if begun and all(score(numbers, line, task) is not None for line in begun)
    )


def derived(table: PaperTable, numbers: Numbers, over: Sequence[str]) -> dict[Place, Cell]:
    """What follows from scores: averages, what students retain of their teachers', improvements over fine-tuning.

    Args:
        table: The table; its layout says what it shows.
        numbers: Scores.
        over: The tasks that averages are over.
    """
    found: dict[Place, Cell] = {}
    fine_tuned = {line.model: line for line in table.lines if line.method == "finetune"}
    averages = {line.title: _average(numbers, line, over) for line in table.lines}
    for line in table.lines:
        mine = averages[line.title]
        if table.layout in ("retention", "methods") and mine is not None:
            found[Place(line.title, AVERAGE)] = Cell(mine)
        teacher = fine_tuned.get(line.teacher or "")
        teachers = averages[teacher.title] if teacher is not None else None
        if table.layout == "retention" and mine is not None and teachers:
            found[Place(line.title, AVERAGE, "retention")] = Cell(100 * mine / teachers)
        if table.layout == "ablation" and line.method != "finetune":
            own = averages[fine_tuned[line.model].title]  # over its one task
            if mine is not None and own is not None:
                found[Place(line.title, over[0], "improvement")] = Cell(mine - own)
    return found


def _average(numbers: Numbers, line: Line, over: Sequence[str]) -> float | None:
    scores = [value for task in over if (value := score(numbers, line, task)) is not None]
    return sum(scores) / len(scores) if scores and len(scores) == len(over) else None
