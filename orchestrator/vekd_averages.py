"""The paper's two averages: over all tasks, and over kinds of tasks."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from trainables.data import tasks

AVERAGE = "average"
MACRO_AVERAGE = "macro_average"


def average(scores: Mapping[str, float]) -> float:
    """The mean over tasks.

    Args:
        scores: By task; at least one.
    """
    return statistics.fmean(scores.values())


def macro_average(scores: Mapping[str, float]) -> float:
    """The mean over kinds of tasks (entities, PICO, relations, documents, questions) of the means over their tasks.

    So the five tasks of entity recognition count as much as the one of document classification. It is the macro-average
    that the BLURB benchmark ranks by.

    Args:
        scores: By task; at least one.
    """
    kinds: dict[str, list[float]] = {}
    for task, score in scores.items():
        kinds.setdefault(tasks.get(task).kind, []).append(score)
    return statistics.fmean(statistics.fmean(each) for each in kinds.values())
