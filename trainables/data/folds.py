"""Cross-validation: a task's splits pooled and partitioned into folds.

Of n folds, fold k is tested on the k-th part, chosen on by the part after it (after the last comes the first), and
trained on the others. The published ten folds of GAD have no dev: there, the ninth that is dev here is trained on.

Of each fold dev and test are disjoint, but over all folds both are the same examples. So settings that are chosen by
their mean over folds are chosen on what is reported; to report on what nothing was chosen on, choose for each fold by
itself (``gad@1/10``).

The partition is stratified by label (by the whole set of labels where an example may have several) and follows from the
examples alone, not from their order. Examples with the same text stay together, so that no text that is tested on was
trained on; GAD has some two hundred such repetitions. The text of a pair is both of its texts: two questions about one
passage may be in two folds.

A task's folder may bring its own partition, ``folds/<n>.json``: a list of n lists of ids, each ``<split>/<id>``.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from trainables.data import textfiles
from trainables.data.examples import SPLITS, Splits, TextExample
from trainables.errors import UserError

Partition: TypeAlias = list[list[TextExample]]


def whole_text(example: TextExample) -> tuple[str, str]:
    """An example's text, of a pair both texts."""
    return example.text, example.pair or ""


def file(task_folder: Path, count: int) -> Path:
    """Where a task's own partition into so many folds is, if it has one.

    Args:
        task_folder: The folder of the task's three splits.
        count: Number of folds.
    """
    return task_folder / "folds" / f"{count}.json"


def pool(splits: Splits) -> list[TextExample]:
    """All examples of a task that labels texts, with ids ``<split>/<id>``, which no two have in common."""
    return [
        TextExample(f"{split}/{example.id}", example.text, example.label, example.pair)
        for split in SPLITS
        for example in splits[split]
        if isinstance(example, TextExample)
    ]


def partition(
    examples: Sequence[TextExample], count: int, text_of: Callable[[TextExample], tuple[str, str]] = whole_text
) -> Partition:
    """Partitions examples into folds of nearly the same size and shares of labels.

    Texts are dealt in a random but fixed order, each to the fold that has the fewest examples with its label, the
    smallest of equals.

    Args:
        examples: In any order; folds have them in this order.
        count: Number of folds.
        text_of: Examples of which this is the same stay together.

    Raises:
        UserError: Where a fold would be empty.
    """
    groups: dict[tuple[str, str], list[TextExample]] = {}
    for example in examples:
        groups.setdefault(text_of(example), []).append(example)
    if len(groups) < count:
        raise UserError(f"{len(groups)} different texts cannot be divided into {count} folds; give fewer folds")
    label_of = {text: min(str(example.label) for example in group) for text, group in groups.items()}
    order = sorted(groups, key=lambda text: (label_of[text], _hash(text)))
    sizes = [0] * count
    with_label: list[Counter[str]] = [Counter() for _ in range(count)]
    fold_of: dict[tuple[str, str], int] = {}
    for text in order:
        label, number = label_of[text], len(groups[text])
        fold = min(range(count), key=lambda place: (with_label[place][label], sizes[place], place))
        fold_of[text] = fold
        sizes[fold] += number
        with_label[fold][label] += number
    folds: Partition = [[] for _ in range(count)]
    for example in examples:
        folds[fold_of[text_of(example)]].append(example)
    return folds


def given(path: Path, examples: Sequence[TextExample], count: int) -> Partition:
    """The partition that a file gives.

    Args:
        path: A list of lists of ids.
        examples: As :func:`pool` gives them.
        count: Number of folds.

    Raises:
        UserError: Where the file is no partition of the examples into so many folds.
    """
    with textfiles.at(path):
        lists = _lists(textfiles.decoded(textfiles.content(path)), count)
        known = {example.id: example for example in examples}
        seen: set[str] = set()
        for name in (name for members in lists for name in members):
            if name not in known:
                raise UserError(f"id {name!r} is no example of the task; ids are <split>/<id>, as train/17")
            if name in seen:
                raise UserError(f"id {name!r} is there twice; every example belongs to one fold")
            seen.add(name)
        missing = [name for name in known if name not in seen]
        if missing:
            raise UserError(
                f"{len(missing)} examples are in no fold, {missing[0]!r} first; every example belongs to one fold"
            )
    return [[known[name] for name in members] for members in lists]


def _lists(text: str, count: int) -> list[list[str]]:
    try:
        lists = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON ({error.msg} in line {error.lineno})") from None
    well_formed = isinstance(lists, list) and all(isinstance(part, list) and part for part in lists)
    if not well_formed or not all(isinstance(name, str) for part in lists for name in part):
        raise UserError("a list of lists of ids (text) expected, none of them empty")
    if len(lists) != count:
        raise UserError(f"{len(lists)} folds; {count} expected, as the file's name says")
    return [list(part) for part in lists]


def splits(parts: Partition, number: int) -> Splits:
    """The splits of one fold.

    Args:
        parts: The partition.
        number: Of the fold, from 1.
    """
    test, dev = number - 1, number % len(parts)
    train = [example for place, part in enumerate(parts) if place not in (test, dev) for example in part]
    return {"train": train, "dev": list(parts[dev]), "test": list(parts[test])}


def _hash(text: tuple[str, str]) -> str:
    return hashlib.sha256(json.dumps(text).encode()).hexdigest()
