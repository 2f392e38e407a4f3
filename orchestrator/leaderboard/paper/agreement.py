"""How far our scores are from a paper's, in a sentence."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from orchestrator.leaderboard.paper.cells import Numbers, Place
from orchestrator.wording import counted


def score(numbers: Numbers, line: str, task: str) -> float | None:
    """A method's score on a task, or its average; None where there is none."""
    cell = numbers.get(Place(line, task))
    return cell.mean if cell is not None else None


def agreement(lines: Sequence[str], tasks: Sequence[str], ours: Numbers, printed: Numbers) -> list[str]:
    """How far our scores are from the paper's, and whether they rank its methods alike; nothing without any.

    Args:
        lines: Titles of the methods.
        tasks: Keys of the tasks.
        ours: Our numbers.
        printed: The paper's.
    """
    both = {
        (line, task): (mine, theirs)
        for line in lines
        for task in tasks
        if (mine := score(ours, line, task)) is not None and (theirs := score(printed, line, task)) is not None
    }
    if not both:
        return []
    distances = [abs(mine - theirs) for mine, theirs in both.values()]
    sentence = (
        f"Of {counted(len(both), 'score')} in both, ours are {sum(distances) / len(both):.2f} points "
        f"from the paper's on average, {max(distances):.2f} at most"
    )
    ranked = [
        (both[first, task], both[second, task])
        for task in tasks
        for first, second in itertools.combinations(lines, 2)
        if (first, task) in both and (second, task) in both
    ]
    if ranked:
        alike = sum((one[0] > two[0]) == (one[1] > two[1]) for one, two in ranked)
        pairs = f"{counted(len(ranked), 'pair')} of methods on the same task"
        sentence += f"; of {pairs}, {alike} rank{'s' if alike == 1 else ''} the same way"
    return [sentence + "."]
