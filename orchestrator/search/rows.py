"""The rows of one choice of settings: what was distilled, and what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.options import RunOptions
from orchestrator.recipe import Recipe

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.engine.store import Store

_MEANS = ("score", "dev_score", "ece", "retention", "l_at_boundary", "l_at")
_BY = ["method", "model", "task"]


def show_rows(options: RunOptions, recipes: Sequence[Recipe], store: Store, console: Console) -> None:
    """Prints rows as means over seeds, with the score's standard deviation; the rows of single folds are left out."""
    from orchestrator.leaderboard import rows, terminal

    frame = rows.read(store.filesystem, store.root)
    wanted = [recipe.row_key(options.sweep) for recipe in recipes if "/" not in recipe.task]
    wanted = wanted or [recipe.row_key(options.sweep) for recipe in recipes]
    frame = frame[frame["row_key"].isin(wanted)].sort_values("row_key", key=lambda keys: keys.map(wanted.index))
    if frame.empty:
        console.print(f"no rows of sweep {options.sweep} in {store.root} yet")
        return
    groups = frame.groupby(_BY, sort=False)
    shown = groups[list(_MEANS)].mean()
    shown.insert(0, "seeds", groups.size())
    shown.insert(2, "std", groups["score"].std())
    console.print(terminal.frame_table(shown.reset_index().dropna(axis=1, how="all").round(2)))
