"""Classes for real-valued scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import accumulate

from trainables.errors import UserError


def kmeans_boundaries(scores: Iterable[float]) -> tuple[float, float]:
    """Boundaries of the three clusters with the smallest sum of squared distances to their means.

    In one dimension clusters are intervals, so all pairs of boundaries can be tried: the result is the exact optimum
    and depends on no start.

    Args:
        scores: At least three different ones.

    Returns:
        The smallest scores of the second and of the third cluster.

    Raises:
        UserError: For fewer different scores.
    """
    counted = sorted(Counter(scores).items())
    if len(counted) < 3:
        raise UserError(f"{len(counted)} different scores cannot be clustered into 3 classes")
    cost = _costs(counted)
    size = len(counted)
    _, first, second = min(
        (cost(0, first) + cost(first, second) + cost(second, size), first, second)
        for first in range(1, size - 1)
        for second in range(first + 1, size)
    )
    return counted[first][0], counted[second][0]


def _costs(counted: list[tuple[float, int]]) -> Callable[[int, int], float]:
    """The sum of squared distances to the mean of the scores from one place up to another, from running sums."""
    numbers = [0, *accumulate(number for _, number in counted)]
    sums = [0.0, *accumulate(score * number for score, number in counted)]
    squares = [0.0, *accumulate(score * score * number for score, number in counted)]

    def cost(start: int, end: int) -> float:
        total = sums[end] - sums[start]
        return squares[end] - squares[start] - total * total / (numbers[end] - numbers[start])

    return cost
