"""The papers' printed numbers, in the leaderboard's keys, so that ours and theirs join."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from trainables.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

#: What a row of ours and a printed number have in common: ``ours.merge(published("stilt"), on=JOIN)``.
JOIN = ["method", "model", "task", "intermediate"]

#: Columns that look like numbers and are not: table "5.10" is not table 5.1.
_TEXT = ("paper", "table", "method", "model", "teacher", "intermediate", "task", "label", "metric", "split", "note")


def published(paper: str | None = None) -> pd.DataFrame:
    """Every published number, one per row; ``value`` as printed (mostly percent), ``std`` and ``seeds`` where stated.

    Args:
        paper: Only this one's (``stilt``, ``doktra``, ``vekd``, ``multi_teacher``, ``transfer_data``).

    Raises:
        UserError: For an unknown paper.
    """
    import pandas as pd

    kinds = {**dict.fromkeys(_TEXT, "str"), "value": "float64", "std": "float64", "seeds": "Int64"}
    with resources.files(__package__).joinpath("published", "results.csv").open(encoding="utf-8") as file:
        everything = pd.read_csv(file, dtype=kinds)
    if paper is None:
        return everything
    papers = sorted(set(everything["paper"]))
    if paper not in papers:
        raise UserError(f"unknown paper {paper!r}{did_you_mean(paper, papers)}")
    return everything[everything["paper"] == paper].reset_index(drop=True)
