"""The papers' printed numbers, in the leaderboard's keys, so that ours and theirs join.

The DoKTra paper's GAD is cross-validated over ten folds, of which its Table 4 has the first alone. The file holds both
as ``gad``, as printed; here they are ``gad@10`` and ``gad@1/10``, which are other tasks than the ``gad`` of the BLURB
benchmark with its one test set, and join with rows of the same protocol only.
"""

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

    DoKTra's tables repeat each other's numbers, so choose a ``table`` of it before joining.

    Args:
        paper: Only this one's (``stilt``, ``doktra``, ``vekd``, ``multi_teacher``, ``transfer_data``).

    Raises:
        UserError: For an unknown paper.
    """
    import pandas as pd

    kinds = {**dict.fromkeys(_TEXT, "str"), "value": "float64", "std": "float64", "seeds": "Int64"}
    with resources.files(__package__).joinpath("published", "results.csv").open(encoding="utf-8") as file:
        everything = _with_protocols(pd.read_csv(file, dtype=kinds))
    if paper is None:
        return everything
    papers = sorted(set(everything["paper"]))
    if paper not in papers:
        raise UserError(f"unknown paper {paper!r}{did_you_mean(paper, papers)}")
    return everything[everything["paper"] == paper].reset_index(drop=True)


def _with_protocols(printed: pd.DataFrame) -> pd.DataFrame:
    folds = (printed["paper"] == "doktra") & (printed["task"] == "gad")
    first = folds & (printed["table"] == "4")
    return printed.assign(task=printed["task"].mask(folds, "gad@10").mask(first, "gad@1/10"))
