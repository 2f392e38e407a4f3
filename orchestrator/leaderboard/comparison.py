"""Our grid against the published one: do the same intermediates help the same targets?"""

from __future__ import annotations

import dataclasses

from orchestrator.leaderboard.tables import Grid


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How far two grids say the same, over the pairs that both have a change for.

    Attributes:
        pairs: Their number.
        same_direction: Pairs that gain in both or lose in both.
        gains: Pairs that gain in the first grid.
        published_gains: Pairs that gain in the second.
        rank_correlation: Spearman's, of the changes; None for fewer than three pairs or constant changes.
    """

    pairs: int
    same_direction: int
    gains: int
    published_gains: int
    rank_correlation: float | None

    def sentence(self) -> str:
        """One line for people."""
        if not self.pairs:
            return "No pair has a change in both grids yet."
        rank = "" if self.rank_correlation is None else f"; rank correlation of the changes {self.rank_correlation:.2f}"
        return (
            f"Of {self.pairs} pairs in both, {self.gains} gain here and {self.published_gains} in the published grid; "
            f"{self.same_direction} go the same way{rank}."
        )


def agreement(ours: Grid, theirs: Grid) -> Agreement:
    """Compares the changes of two grids."""
    from scipy.stats import spearmanr

    both = []
    for place, cell in ours.pairs.items():
        other = theirs.pairs.get(place)
        if cell.change is not None and other is not None and other.change is not None:
            both.append((cell.change, other.change))
    mine, printed = [change for change, _ in both], [change for _, change in both]
    varied = len(set(mine)) > 1 and len(set(printed)) > 1
    return Agreement(
        pairs=len(both),
        same_direction=sum((first > 0) == (second > 0) and (first < 0) == (second < 0) for first, second in both),
        gains=sum(change > 0 for change in mine),
        published_gains=sum(change > 0 for change in printed),
        rank_correlation=float(spearmanr(mine, printed).statistic) if len(both) > 2 and varied else None,
    )
