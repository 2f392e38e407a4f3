"""Counts of a split in the unit that papers print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from trainables.data.examples import Example, TextExample, TokenExample
from trainables.data.tasks import Task


def published_unit(task: Task) -> str:
    """What papers count: entity mentions, labelled words or examples."""
    units = {"ner": "mentions", "pico": "labelled words", "span": "labelled words", "document": "abstracts"}
    return units.get(task.kind, "examples")


def count(task: Task, examples: Sequence[Example]) -> int:
    """The size of a split in :func:`published_unit`."""
    if not task.on_tokens:
        return len(examples)
    labels = by_label(task, examples)
    # Mentions are counted at their beginnings: the corpora mark every mention's first word with B.
    return labels["B"] if task.kind == "ner" else sum(labels.values()) - labels["O"]


def by_label(task: Task, examples: Sequence[Example]) -> dict[str, int]:
    """How often each label occurs: on words, on examples, or (multi-label) in examples."""
    found: Counter[int] = Counter()
    for example in examples:
        if isinstance(example, TokenExample):
            found.update(example.tags)
        else:
            found.update(_labels(example))
    return {label: found[index] for index, label in enumerate(task.labels)}


def _labels(example: TextExample) -> list[int]:
    if isinstance(example.label, int):
        return [example.label]
    return [index for index, flag in enumerate(example.label) if flag]
