"""Splits for corpora that are distributed without any, or without one of them.

No text is in two splits that are drawn here. Of pairs, which are questions and passages, that is the passage: another
question about a passage that was trained on is no unseen example.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from trainables.data import folds
from trainables.data.examples import SPLITS, Example, TextExample
from trainables.errors import UserError

_PARTS = 10


def tenths(examples: Sequence[TextExample]) -> dict[str, list[Example]]:
    """One tenth for test, one for dev, eight for train, each with the labels in the same shares.

    The DoKTra paper draws a tenth for test "preserving the label distribution" and says nothing of dev; its own draw is
    not recorded. This one is fixed and follows from the texts alone.

    Raises:
        UserError: For fewer than ten different texts.
    """
    splits = folds.splits(folds.partition(examples, _PARTS, _passage), 1)
    return {split: list(members) for split, members in splits.items()}


def with_dev(training: Sequence[TextExample], test: Sequence[TextExample]) -> dict[str, list[Example]]:
    """Takes a tenth of the training examples for dev, drawn as :func:`tenths` draws.

    Raises:
        UserError: For fewer than ten different texts.
    """
    dev, *rest = folds.partition(training, _PARTS, _passage)
    chosen = {example.id for part in rest for example in part}
    return {"train": [example for example in training if example.id in chosen], "dev": list(dev), "test": list(test)}


def sized(examples: Sequence[TextExample], sizes: Mapping[str, int]) -> dict[str, list[Example]]:
    """Splits of given sizes, each with the labels in the same shares; of fewer examples, in the sizes' proportions.

    The draw is fixed and follows from the texts alone. Examples that no split has room for are left out.

    Args:
        examples: Of different texts, whatever their ids; splits have them in this order.
        sizes: Of train, dev and test.

    Raises:
        UserError: Where a split would be empty.
    """
    of_label = Counter(str(example.label) for example in examples)
    place: Counter[str] = Counter()
    # Drawn at random within each label; then the labels are laid side by side, so that any stretch has all in shares.
    order: list[tuple[float, str, TextExample]] = []
    for example in sorted(examples, key=lambda one: hashlib.sha256(one.text.encode()).hexdigest()):
        label = str(example.label)
        order.append(((place[label] + 0.5) / of_label[label], label, example))
        place[label] += 1
    order.sort(key=lambda item: item[:2])
    share = min(1.0, len(examples) / sum(sizes.values()))
    ends = [round(share * sum(sizes[split] for split in SPLITS[: number + 1])) for number in range(len(SPLITS))]
    splits: dict[str, list[Example]] = {}
    for split, start, end in zip(SPLITS, [0, *ends], ends, strict=False):
        if start == end:
            raise UserError(f"{len(examples)} examples are too few for a {split} split")
        chosen = {example.text for _, _, example in order[start:end]}
        splits[split] = [example for example in examples if example.text in chosen]
    return splits


def _passage(example: TextExample) -> tuple[str, str]:
    """The text that no two splits have in common, as :func:`folds.partition` wants it."""
    return (example.text, "") if example.pair is None else (example.pair, "")
