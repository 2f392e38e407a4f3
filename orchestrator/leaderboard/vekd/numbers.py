"""Numbers of a table by place: ours from rows, the paper's from its transcription, and what follows from either."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.leaderboard.paper.agreement import score
from orchestrator.leaderboard.paper.cells import Numbers, Place
from orchestrator.leaderboard.statistics import spread
from orchestrator.leaderboard.tables import Cell
from orchestrator.vekd_averages import AVERAGE, MACRO_AVERAGE, average, macro_average
from orchestrator.vekd_recipes import PLAIN
from orchestrator.vekd_tables import PaperTable

if TYPE_CHECKING:
    import pandas as pd

_MEASURES = {"parameters": "parameters", "speedup": "speedup", "training_hours": "hours"}
#: Both averages of scores by task.
AVERAGES: Mapping[str, Callable[[Mapping[str, float]], float]] = {AVERAGE: average, MACRO_AVERAGE: macro_average}
_SECONDS_PER_HOUR = 3_600


def printed(table: PaperTable) -> dict[Place, Cell]:
    """What the paper prints in a table, its averages too."""
    from orchestrator.leaderboard.published import published

    everything = published("vekd")
    everything = everything[everything["table"] == str(table.printed)]
    found = {}
    for line in table.lines:
        teacher = everything["teacher"].fillna("") == (line.teacher or "")
        of_line = everything[(everything["method"] == line.method) & (everything["model"] == line.model) & teacher]
        for task, metric, value in zip(of_line["task"].fillna(""), of_line["metric"], of_line["value"], strict=True):
            measure = _MEASURES.get(str(metric), "score")
            if measure == "score" and task not in (*table.tasks, *AVERAGES):
                continue
            found[Place(line.title, str(task) if measure == "score" else "", measure)] = Cell(float(value))
    return found


def rows_of(table: PaperTable, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that belong into a table, with the title of their method as ``line``.

    A search's trials do not: their settings are not the table's. Nor do rows of single folds, whose task is another.
    Measurements of speed are rows of their own.
    """
    titles = {(line.method, line.model, line.teacher or ""): line.title for line in table.lines}
    teachers = rows["teachers"].map(lambda names: "+".join(names) if names is not None else "")
    labels = zip(rows["method"], rows["model"], teachers, strict=True)
    named = rows.assign(line=[titles.get(each, "") for each in labels])
    mine = named[(named["line"] != "") & named["task"].isin(table.tasks) & named["trial"].isna()]
    return mine[mine["speedup"].notna() | (mine["status"] != "finished")] if table.layout == "speed" else mine


def measured(table: PaperTable, rows: pd.DataFrame) -> dict[Place, Cell]:
    """Means over seeds of what rows hold.

    Args:
        table: The table.
        rows: From :func:`rows_of`, of one sweep and one setting for each line and task.
    """
    found: dict[Place, Cell] = {}
    for (line, task), part in rows.sort_values("seed").groupby(["line", "task"]):
        finished = part[(part["status"] == "finished") & part["score"].notna()]
        cell = _mean(finished, "score") or Cell(None, status=str(part["status"].iloc[-1]))
        if table.layout == "speed":
            speed = _mean(finished, "speedup")
            found[Place(str(line), "", "speedup")] = speed or Cell(None, status=cell.status)
        else:
            found[Place(str(line), str(task))] = cell
    for line, part in rows.groupby("line"):
        sizes = part["parameters"].dropna()
        if len(sizes):
            found[Place(str(line), "", "parameters")] = Cell(float(sizes.median()) / 1e6)
    return found | _hours(table, rows)


def _hours(table: PaperTable, rows: pd.DataFrame) -> dict[Place, Cell]:
    """Hours of each line's pretraining: all that its fine-tunings start from, less what the downloaded model took.

    That is nothing where it was downloaded; miniature models are trained in the same store.
    """
    seconds = {str(line): float(part.median()) for line, part in rows.groupby("line")["inherited_seconds"]}
    before = {line.model: seconds.get(line.title) for line in table.lines if line.method == PLAIN}
    found = {}
    for line in table.lines:
        own = seconds.get(line.title)
        if own is not None and own == own:  # NaN is not itself
            took = max(0.0, own - (before.get(line.starts_from) or 0.0))
            found[Place(line.title, "", "hours")] = Cell(took / _SECONDS_PER_HOUR)
    return found


def _mean(rows: pd.DataFrame, column: str) -> Cell | None:
    values = [float(value) for value in rows[column].dropna()]
    if not values:
        return None
    return Cell(sum(values) / len(values), spread(values), len(values), keys=tuple(rows["key"]))


def complete(table: PaperTable, numbers: Numbers) -> tuple[str, ...]:
    """The tasks that averages may be over: those that every method has a score for, of the methods that have any."""
    titles = [line.title for line in table.lines]
    begun = [line for line in titles if any(score(numbers, line, task) is not None for task in table.tasks)]
    return tuple(
        task for task in table.tasks if begun and all(score(numbers, line, task) is not None for line in begun)
    )


def derived(table: PaperTable, numbers: Numbers, over: Sequence[str]) -> dict[Place, Cell]:
    """Both averages of each line.

    Args:
        table: The table.
        numbers: Scores.
        over: The tasks that averages are over.
    """
    found: dict[Place, Cell] = {}
    for line in table.lines:
        scores = {task: value for task in over if (value := score(numbers, line.title, task)) is not None}
        if scores and len(scores) == len(over):
            found |= {Place(line.title, name): Cell(mean(scores)) for name, mean in AVERAGES.items()}
    return found
