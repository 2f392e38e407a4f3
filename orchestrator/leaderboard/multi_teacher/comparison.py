"""The multi-teacher thesis's tables (5.1 to 5.11): accuracies per class, and students against each of their teachers.

Of a task and a student there is one table per set of teachers; beside ours stand the printed numbers where the thesis
has the same task, models and teachers. The thesis's labels of ``tweet_emotion`` look permuted against the data set, so
its per-class numbers are shown under the labels as printed.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.leaderboard.settings import comparable, of_shown_teachers
from orchestrator.leaderboard.statistics import spread
from orchestrator.leaderboard.tables import Cell, heading
from trainables.data import tasks

if TYPE_CHECKING:
    import pandas as pd

FINE_TUNED = "finetune"
#: In place of a class: the task's own metric, which of most tasks here is the accuracy over all classes.
SCORE, DEV_SCORE = "score", "dev score"
#: As published results name what stands in these places.
_METRICS = ("accuracy", "f1")


@dataclasses.dataclass(frozen=True)
class Table:
    """One student and one set of teachers on a task.

    Attributes:
        task: Key of the task.
        student: Name of the student.
        teachers: Names of the teachers, in order.
        strategies: Of distillation, in the order of the rows.
        labels: Classes of the task.
        ours: Accuracy in percent by (column, row): a column is a teacher, the student (before distillation) or a
            strategy; a row is a class, :data:`SCORE` or :data:`DEV_SCORE`.
        printed: The thesis's.
        keys: Keys of the stages that measured the teachers' expertise, one per seed.
        notes: What a reader should know, one sentence each.
    """

    task: str
    student: str
    teachers: tuple[str, ...]
    strategies: tuple[str, ...]
    labels: tuple[str, ...]
    ours: Mapping[tuple[str, str], Cell]
    printed: Mapping[tuple[str, str], Cell]
    keys: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What it shows."""
        return f"{heading(self.task)}: {' + '.join(self.teachers)} into {self.student}"

    @property
    def columns(self) -> tuple[str, ...]:
        """Teachers, the student before distillation (which may be one of them), strategies."""
        return tuple(dict.fromkeys((*self.teachers, self.student, *self.strategies)))

    def median(self, strategy: str, teacher: str) -> float | None:
        """Median over classes of the student's accuracy less a teacher's (section 4.10); None where one is missing."""
        pairs = [(self.ours.get((strategy, label)), self.ours.get((teacher, label))) for label in self.labels]
        changes = [
            mine.mean - theirs.mean
            for mine, theirs in pairs
            if mine is not None and theirs is not None and mine.mean is not None and theirs.mean is not None
        ]
        return statistics.median(changes) if len(changes) == len(self.labels) and changes else None


def tables(rows: pd.DataFrame, task: str) -> list[Table]:
    """The tables of a task, of the largest set of teachers first.

    Of teachers and students that were trained with several settings the last ones count, and students of these.

    Args:
        rows: Of one sweep.
        task: Key of the task.
    """
    found = comparable(rows[rows["task"] == task], per_method=True)
    found = found[of_shown_teachers(found, found[found["method"] == FINE_TUNED])]
    sets = [names for names in found["teachers"].map(_names) if len(names) > 1]
    ordered = sorted(dict.fromkeys(sets), key=lambda names: -len(names))
    return [
        _table(found, task, student, teachers)
        for teachers in ordered
        for student in dict.fromkeys(found[_of(found, teachers)]["model"])
    ]


def _table(rows: pd.DataFrame, task: str, student: str, teachers: tuple[str, ...]) -> Table:
    alone = rows[rows["method"] == FINE_TUNED]
    distilled = rows[_of(rows, teachers) & (rows["model"] == student)]
    parts = {name: alone[alone["model"] == name] for name in (*teachers, student)}
    strategies = tuple(sorted(set(distilled["method"]), key=_order))
    parts |= {strategy: distilled[distilled["method"] == strategy] for strategy in strategies}
    labels: tuple[str, ...] = ()
    ours: dict[tuple[str, str], Cell] = {}
    for column, part in parts.items():
        finished = part[part["status"] == "finished"]
        if finished.empty and len(part):
            ours[column, SCORE] = Cell(None, status=str(part["status"].iloc[-1]))
        for name, field in ((SCORE, "score"), (DEV_SCORE, "dev_score")):
            if len(finished):
                ours[column, name] = _cell(finished[field].dropna().tolist())
        by_class = [one for one in finished["class_accuracy"] if one is not None]
        for label in in_order(task, by_class[0]) if by_class else ():
            labels = labels or in_order(task, by_class[0])
            ours[column, label] = _cell([one[label] for one in by_class if one.get(label) is not None])
    notes = []
    if (distilled["expertise_split"] == "test").any():
        notes.append("Expertise was measured on test: these students have looked at test data.")
    finished = distilled[distilled["status"] == "finished"].sort_values("seed")
    keys = tuple(finished[finished["method"] == strategies[0]]["key"]) if strategies else ()
    theirs = printed(task, student, teachers)
    return Table(task, student, teachers, strategies, labels, ours, theirs, keys, tuple(notes))


def in_order(task: str, labels: Iterable[str]) -> tuple[str, ...]:
    """Labels as the task lists them; those that it does not know (the thesis's of other names) come last."""
    known = tasks.get(task).labels
    return tuple(sorted(labels, key=lambda label: known.index(label) if label in known else len(known)))


def printed(task: str, student: str, teachers: Sequence[str]) -> dict[tuple[str, str], Cell]:
    """What the thesis prints for a task, a student and a set of teachers; nothing where it has no such table."""
    from orchestrator.leaderboard.published import published

    everything = published("multi_teacher")
    everything = everything[
        (everything["task"] == task) & everything["metric"].isin(_METRICS) & (everything["table"] != "text")
    ]
    pool = set(teachers)
    found: dict[tuple[str, str], Cell] = {}
    in_percent = everything["value"].where(everything["metric"] != "f1", 100 * everything["value"])
    columns = ("method", "model", "teacher", "label", "split", "value")
    values = (everything.assign(value=in_percent)[name] for name in columns)
    for method, model, teacher, label, split, value in zip(*values, strict=True):
        row = str(label) if label == label else (DEV_SCORE if split == "dev" else SCORE)  # NaN is not itself
        if method == FINE_TUNED and model in teachers:
            found[str(model), row] = Cell(float(value))
        elif method != FINE_TUNED and model == student and set(str(teacher).split("+")) == pool:
            found[str(method), row] = Cell(float(value))
    return found if any(column not in teachers for column, _ in found) else {}


def printed_median(task: str, student: str, strategy: str, teacher: str) -> float | None:
    """The thesis's median of differences (Tables 5.3, 5.5, 5.7, 5.9); None where it has none."""
    from orchestrator.leaderboard.published import published

    rows = published("multi_teacher")
    rows = rows[(rows["metric"] == "median_difference") & (rows["task"] == task) & (rows["table"] != "text")]
    rows = rows[(rows["method"] == strategy) & (rows["model"] == student) & (rows["teacher"] == teacher)]
    return float(rows["value"].iloc[0]) if len(rows) else None


def belonging(rows: pd.DataFrame, task: str) -> pd.Series[bool]:
    """Which rows are of students that several teachers were distilled into on a task."""
    return rows["teachers"].map(lambda names: len(_names(names)) > 1) & (rows["task"] == task)


def _of(rows: pd.DataFrame, teachers: tuple[str, ...]) -> pd.Series[bool]:
    return rows["teachers"].map(lambda names: _names(names) == teachers)


def _cell(values: Sequence[float]) -> Cell:
    if not values:
        return Cell(None, status="-")
    return Cell(sum(values) / len(values), spread(values), len(values))


def _names(names: object) -> tuple[str, ...]:
    return () if names is None else tuple(names)  # type: ignore[arg-type]


def _order(strategy: str) -> int:
    from trainables.stages.multi_teacher import STRATEGIES

    return STRATEGIES.index(strategy) if strategy in STRATEGIES else len(STRATEGIES)
