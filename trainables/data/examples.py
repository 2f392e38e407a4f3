"""What a reader hands to training: examples in splits."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

SPLITS = ("train", "dev", "test")


@dataclasses.dataclass(frozen=True)
class TextExample:
    """One text or a pair of texts with its label.

    Attributes:
        id: Unique within its split.
        text: The sentence, abstract or question.
        label: Index into the task's labels; for a multi-label task a tuple of 0 and 1, one per label.
        pair: The second text of a pair, else None.
    """

    id: str
    text: str
    label: int | tuple[int, ...]
    pair: str | None = None


@dataclasses.dataclass(frozen=True)
class TokenExample:
    """A sequence of words, each with a label.

    Attributes:
        id: Unique within its split.
        tokens: The words.
        tags: Index into the task's labels, one per word.
        question: What is to be marked, where that differs from example to example.
    """

    id: str
    tokens: tuple[str, ...]
    tags: tuple[int, ...]
    question: str | None = None


Example: TypeAlias = TextExample | TokenExample
#: Examples by split: train, dev, test.
Splits: TypeAlias = dict[str, list[TextExample] | list[TokenExample]]
