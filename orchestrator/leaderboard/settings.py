"""Which rows may be compared: those of one task that were trained with the same settings on the same data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.leaderboard import schema

if TYPE_CHECKING:
    import pandas as pd

_HYPERPARAMETERS = [column.name for column in schema.HYPERPARAMETERS]


def comparable(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each model and task, the runs with the settings and data of the one that was started last.

    A sweep may hold the same cells with several settings (``--epochs 5``, then ``--epochs 10``). The change that an
    intermediate task makes is only one if its target was trained as its baseline was, so they are never mixed, and
    no score chooses between them. Where a pair was run with several settings of its intermediate, the last counts.

    Args:
        rows: From :func:`orchestrator.leaderboard.rows.read`; of one sweep, or of several that belong together.

    Returns:
        At most one row for each model, method, task, intermediate and seed.
    """
    if rows.empty:
        return rows
    ordered = rows.sort_values(["started_at", "row_key"], na_position="first")
    place = [ordered["model"], ordered["task"]]
    settings = ordered[_HYPERPARAMETERS].map(str).agg("|".join, axis=1)
    same = settings == settings.groupby(place).transform("last")
    # What failed has no fingerprint of its data, and is of any.
    latest = ordered["data"].where(same).groupby(place).transform("last")
    same &= ordered["data"].isna() | (ordered["data"] == latest)
    return ordered[same].drop_duplicates(["model", "method", "task", "intermediate", "seed"], keep="last")
