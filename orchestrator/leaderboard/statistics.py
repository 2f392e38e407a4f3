"""How sure a difference is: paired bootstrap over test examples, and false discoveries over a grid.

Every metric of the benchmark is a function of sums over examples (of right answers, or of true and false
positives and false negatives), so resampling examples is resampling those counts: one matrix product for a
whole row of a grid, no prediction is looked at twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from trainables.data.tasks import Task
from trainables.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

RESAMPLES = 10_000  # the smallest p-value, 2 / 10,001, passes Benjamini and Hochberg's first step over 110 pairs
_CHUNK = 250  # resamples at a time: with 16,000 examples 32 MB of weights
_CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Difference:
    """A difference of two mean scores, in points (percent).

    Attributes:
        estimate: Of the scores as they are.
        low: Lower end of the 95% percentile interval.
        high: Its upper end.
        p: Two-sided p-value of there being no difference.
    """

    estimate: float
    low: float
    high: float
    p: float


def spread(values: Sequence[float]) -> float | None:
    """Sample standard deviation over seeds (n - 1), None for a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


# --- predictions to counts ------------------------------------------------------------------------------------


def counts(predictions: pa.Table, task: Task, split: str = "test") -> Integers:
    """Per-example counts from which the task's metric follows by summing.

    Args:
        predictions: ``id, split, gold, prediction`` as in ``predictions.parquet``.
        task: Its metric says what is counted.
        split: Which examples.

    Returns:
        ``[examples, counts]`` ordered by example id: ``(right, all)`` for accuracy, else ``(true positives, false
        positives, false negatives)``, once per class for macro F1.
    """
    import pyarrow.compute as pc

    chosen = predictions.filter(pc.equal(predictions["split"], split)).sort_by("id").combine_chunks()
    lengths = pc.list_value_length(chosen["gold"]).to_numpy()
    gold = pc.list_flatten(chosen["gold"]).to_numpy().astype(np.int64)
    guess = pc.list_flatten(chosen["prediction"]).to_numpy().astype(np.int64)
    if len(gold) != len(guess):
        raise UserError(f"predictions of {task.name} hold {len(guess)} labels for {len(gold)} gold ones")
    owner = np.repeat(np.arange(len(lengths)), lengths)
    if task.metric == "f1":
        return _entity_counts(gold, guess, owner, len(lengths), task.labels)
    if task.metric == "accuracy":
        return _summed(owner, len(lengths), gold == guess, np.ones_like(gold, dtype=bool))
    # A multi-label task has 0 or 1 per label, so there 0 is the negative; without one, every label counts.
    negative = task.labels.index(task.negative) if task.negative is not None else 0 if task.multi_label else -1
    classes = [each for each in range(len(task.labels)) if each != negative]
    if task.metric == "macro_f1":
        masks = [mask for each in classes for mask in _confusion(gold == each, guess == each)]
        return _summed(owner, len(lengths), *masks)
    wrong = gold != guess
    right = ~wrong & (gold != negative)
    return _summed(owner, len(lengths), right, wrong & (guess != negative), wrong & (gold != negative))


def _confusion(gold: npt.NDArray[np.bool_], guess: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], ...]:
    return gold & guess, ~gold & guess, gold & ~guess


def _summed(owner: Integers, examples: int, *masks: npt.NDArray[np.bool_]) -> Integers:
    return np.stack([np.bincount(owner[mask], minlength=examples) for mask in masks], axis=1)


def _entity_counts(gold: Integers, guess: Integers, owner: Integers, examples: int, labels: Sequence[str]) -> Integers:
    found, true = (_entities(tags, owner, labels) for tags in (guess, gold))
    both = np.intersect1d(found, true, assume_unique=True)
    # An entity is coded so that its first word is the quotient by words times types.
    per = [np.bincount(owner[each // _radix(owner, labels)], minlength=examples) for each in (both, found, true)]
    return np.stack([per[0], per[1] - per[0], per[2] - per[0]], axis=1)


def _radix(owner: Integers, labels: Sequence[str]) -> int:
    return max(1, len(owner)) * len(labels)


def _entities(tags: Integers, owner: Integers, labels: Sequence[str]) -> Integers:
    """Entities of BIO tags as one number each: first word, last word, type.

    Read as seqeval does by default, after CoNLL's evaluation: an ``I`` that follows no entity of its type begins one.
    """
    types = sorted({label[1:] for label in labels})
    kind = np.array([types.index(label[1:]) for label in labels])[tags]
    inside = np.array([label != "O" for label in labels])[tags]
    begins = np.array([label.startswith("B") for label in labels])[tags]
    follows = np.zeros(len(tags), dtype=bool)  # continues the entity of the word before
    follows[1:] = inside[1:] & ~begins[1:] & inside[:-1] & (owner[1:] == owner[:-1]) & (kind[1:] == kind[:-1])
    first = np.flatnonzero(inside & ~follows)
    last = np.flatnonzero(inside & ~np.append(follows[1:], False))
    coded: Integers = first * _radix(owner, labels) + last * len(labels) + kind[first]
    return coded


def score(totals: npt.ArrayLike, metric: str) -> Floats:
    """The metric of summed counts, as a fraction.

    Args:
        totals: ``[..., counts]``, sums of :func:`counts` over examples.
        metric: The task's.
    """
    sums = np.asarray(totals, dtype=np.float64)
    if metric == "accuracy":
        return _ratio(sums[..., 0], sums[..., 1])
    per_class = sums.reshape(*sums.shape[:-1], -1, 3)
    right, false, missed = (per_class[..., place] for place in range(3))
    mean: Floats = _ratio(2 * right, 2 * right + false + missed).mean(axis=-1)
    return mean


def _ratio(over: Floats, under: Floats) -> Floats:
    return np.divide(over, under, out=np.zeros_like(over), where=under > 0)


# --- bootstrap ------------------------------------------------------------------------------------------------


def paired_bootstrap(
    baseline: Sequence[Integers],
    others: Sequence[Sequence[Integers]],
    metric: str,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Difference]:
    """Compares mean scores over seeds with a baseline's, on the same test examples (Koehn 2004).

    Examples are drawn with replacement, the same ones for all runs, and runs (seeds) are drawn anew on each side
    where there are several: both the test set and the training are a sample.

    Args:
        baseline: Counts per run, each ``[examples, counts]``.
        others: The same for what is compared with it, each against the baseline alone.
        metric: The task's.
        resamples: Bootstrap samples.
        seed: Of the draws; a comparison's figures do not depend on what else is compared.

    Returns:
        One difference per entry of ``others``.

    Raises:
        UserError: Where runs were scored on different numbers of examples.
    """
    groups = [list(baseline), *(list(other) for other in others)]
    runs = [run for group in groups for run in group]
    sizes = {len(run) for run in runs}
    if len(sizes) != 1:
        raise UserError(f"runs to compare must share their test examples; found sets of {sorted(sizes)} examples")
    drawn = _drawn_scores(np.stack(runs, axis=1), metric, resamples, seed)
    as_is = score(np.stack([run.sum(axis=0) for run in runs]), metric)
    ends = np.cumsum([len(group) for group in groups])[:-1]
    drawn_means = [
        _mean_of_drawn_runs(part, np.random.default_rng([seed, 1 + (place > 0)]))
        for place, part in enumerate(np.split(drawn, ends, axis=1))
    ]
    means = [float(part.mean()) for part in np.split(as_is, ends)]
    return [
        _difference(100 * (mean - means[0]), 100 * (drawn_mean - drawn_means[0]))
        for mean, drawn_mean in zip(means[1:], drawn_means[1:], strict=True)
    ]


def _drawn_scores(per_example: Integers, metric: str, resamples: int, seed: int) -> Floats:
    """Scores ``[resamples, runs]`` from counts ``[examples, runs, counts]``."""
    examples, runs, width = per_example.shape
    flat = per_example.reshape(examples, runs * width).astype(np.float64)
    generator = np.random.default_rng([seed, 0])
    parts = []
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        draws = generator.integers(0, examples, size=(size, examples)) + examples * np.arange(size)[:, None]
        weights = np.bincount(draws.ravel(), minlength=size * examples).reshape(size, examples)
        parts.append(score((weights.astype(np.float64) @ flat).reshape(size, runs, width), metric))
    return np.concatenate(parts)


def _mean_of_drawn_runs(scores: Floats, generator: np.random.Generator) -> Floats:
    resamples, runs = scores.shape
    chosen = generator.integers(0, runs, size=(resamples, runs))
    mean: Floats = np.take_along_axis(scores, chosen, axis=1).mean(axis=1)
    return mean


def _difference(estimate: float, drawn: Floats) -> Difference:
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    not_above, not_below = np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0)
    p = min(1.0, 2 * (1 + min(not_above, not_below)) / (1 + len(drawn)))
    return Difference(estimate, float(low), float(high), float(p))


def false_discovery(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values: calling those below q findings, a share q of them is false."""
    from scipy.stats import false_discovery_control

    return [float(value) for value in false_discovery_control(p_values)] if p_values else []
