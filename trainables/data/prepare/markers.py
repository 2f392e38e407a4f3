"""Relation examples in the benchmark's form: the pair's two mentions are replaced by markers."""

from __future__ import annotations

from typing import TypeAlias

#: Characters of a mention: start, end (exclusive).
Span: TypeAlias = tuple[int, int]


def overlap(first: Span, second: Span) -> bool:
    """Whether two mentions share a character."""
    return first[0] < second[1] and second[0] < first[1]


def mark(text: str, first: Span, second: Span, markers: tuple[str, str], joint: str) -> str:
    """Replaces two mentions by their markers, or by one joint marker where they overlap.

    Args:
        text: The sentence.
        first: First mention, characters of the text.
        second: Second mention; it may come before the first.
        markers: What replaces the first and the second mention.
        joint: What replaces both together.
    """
    (left, left_marker), (right, right_marker) = sorted(zip((first, second), markers, strict=True))
    if overlap(left, right):
        return text[: left[0]] + joint + text[max(left[1], right[1]) :]
    return text[: left[0]] + left_marker + text[left[1] : right[0]] + right_marker + text[right[1] :]
