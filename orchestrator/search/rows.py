"""The rows of one choice of settings: what was distilled, and what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.options import RunOptions
from orchestrator.recipe import Recipe

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.engine.store import Store

_MEANS = ("score", "dev_score", "ece", "teacher_score", "student_score", "retention", "l_at_boundary", "l_at")
_BY = ["method", "model", "task"]

#: Of which teacher and student the columns are, since others may stand below.
_OWN = (
    "teacher_score and student_score are those of the very teacher and student that a row was distilled from and into; "
    "retention is score over teacher_score"
)


def show_rows(options: RunOptions, recipes: Sequence[Recipe], store: Store, console: Console) -> None:
    """Prints rows as means over seeds, with the score's standard deviation; the rows of single folds are left out.

    A model may be there with several settings, as a student that is its own teacher is: they are told apart.
    """
    from orchestrator.leaderboard import rows, schema, terminal

    frame = rows.read(store.filesystem, store.root)
    wanted = [recipe.row_key(options.sweep) for recipe in recipes if "/" not in recipe.task]
    wanted = wanted or [recipe.row_key(options.sweep) for recipe in recipes]
    frame = frame[frame["row_key"].isin(wanted)].sort_values("row_key", key=lambda keys: keys.map(wanted.index))
    if frame.empty:
        console.print(f"no rows of sweep {options.sweep} in {store.root} yet")
        return
    settings = [column.name for column in schema.HYPERPARAMETERS]
    which = frame[settings].map(str).agg("|".join, axis=1)
    groups = frame.groupby([*_BY, which.rename("settings")], sort=False)
    shown = groups[list(_MEANS)].mean()
    shown.insert(0, "seeds", groups.size())
    shown.insert(2, "std", groups["score"].std())
    shown = shown.reset_index().drop(columns="settings").dropna(axis=1, how="all")
    console.print(terminal.frame_table(shown.round(2)))
    if "retention" in shown:
        console.print(_OWN, style="dim")
