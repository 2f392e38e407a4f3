"""Splits for corpora that are distributed without any."""

from __future__ import annotations

from collections.abc import Sequence

from trainables.data import folds
from trainables.data.examples import Example, TextExample

_PARTS = 10


def tenths(examples: Sequence[TextExample]) -> dict[str, list[Example]]:
    """One tenth for test, one for dev, eight for train, each with the labels in the same shares.

    The DoKTra paper draws a tenth for test "preserving the label distribution" and says nothing of dev; its own draw is
    not recorded. This one is fixed and follows from the texts alone, and no text is in two splits.

    Raises:
        UserError: For fewer than ten different texts.
    """
    splits = folds.splits(folds.partition(examples, _PARTS), 1)
    return {split: list(members) for split, members in splits.items()}
