"""Words that depend on a number."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A number with its noun: ``1 trial``, ``12 trials``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
