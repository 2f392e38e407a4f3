"""Which rows may be compared: those of one task that were trained with the same settings on the same data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.leaderboard import schema

if TYPE_CHECKING:
    import pandas as pd

#: What tells two runs of the same cell apart. Trials of a search are never averaged, even where they chose alike.
_SETTINGS = [
    *(
        column.name
        for columns in (
            schema.HYPERPARAMETERS,
            schema.TEACHER_HYPERPARAMETERS,
            schema.STUDENT_HYPERPARAMETERS,
            schema.PRETRAINING_HYPERPARAMETERS,
        )
        for column in columns
    ),
    "study",
    "trial",
]


def comparable(rows: pd.DataFrame, *, per_method: bool = False) -> pd.DataFrame:
    """Of each model and task, the runs with the settings and data of the one that was started last.

    A sweep may hold the same cells with several settings (``--epochs 5``, then ``--epochs 10``). The change that an
    intermediate task makes is only one if its target was trained as its baseline was, so they are never mixed, and
    no score chooses between them. Where a pair was run with several settings of its intermediate, the last counts.

    Args:
        rows: From :func:`orchestrator.leaderboard.rows.read`; of one sweep, or of several that belong together.
        per_method: Each method has settings of its own, as a distillation has other ones than the fine-tuning that
            it is compared with; so has each set of teachers.

    Returns:
        At most one row for each model, method, task, intermediate, set of teachers and seed.
    """
    if rows.empty:
        return rows
    ordered = rows.sort_values(["started_at", "row_key"], na_position="first")
    teachers = ordered["teachers"].map(lambda names: "+".join(names) if names is not None else "")
    place = [ordered["model"], ordered["task"], *([ordered["method"], teachers] if per_method else [])]
    # Files from before there was a penalty have none: not another setting than a penalty of 0.
    fields = ordered[_SETTINGS].assign(confidence_penalty=ordered["confidence_penalty"].fillna(0.0))
    settings = fields.map(str).agg("|".join, axis=1)
    same = settings == settings.groupby(place).transform("last")
    for name in ("data", "transfer_data"):
        # What failed has no fingerprint of its data, and is of any.
        latest = ordered[name].where(same).groupby(place).transform("last")
        same &= ordered[name].isna() | (ordered[name] == latest)
    chosen = ordered[same]
    labels = chosen[["model", "method", "task", "intermediate", "seed"]].assign(teachers=teachers[same])
    return chosen[~labels.duplicated(keep="last")]


def of_shown_teachers(rows: pd.DataFrame, teachers: pd.DataFrame) -> pd.Series[bool]:
    """Which students learned from the very teachers that stand beside them in a table.

    A sweep may hold students of teachers with several settings (``--epochs 4``, then ``--epochs 1`` for some of the
    strategies). What a student gained over a teacher is only that if it learned from this one.

    Args:
        rows: From :func:`comparable`.
        teachers: The rows of teachers that are shown, from there too. A teacher without a row is any.

    Returns:
        One value per row; rows without teachers fit.
    """
    shown: dict[str, set[str]] = {}
    for name, key in zip(teachers["model"], teachers["key"], strict=True):
        shown.setdefault(str(name), set()).add(str(key))

    def fits(row: pd.Series) -> bool:
        if row["teachers"] is None or row["teacher_keys"] is None:  # a file from before rows had them
            return True
        return all(
            key in shown.get(name, {key}) for name, key in zip(row["teachers"], row["teacher_keys"], strict=False)
        )

    return rows[["teachers", "teacher_keys"]].apply(fits, axis=1).astype(bool)
