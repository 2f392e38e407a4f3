"""The benchmark's metrics, as fractions; no torch here.

The leaderboard's statistics count the same things example by example; tests hold them equal to these.

* ``f1``: entities, counted as seqeval counts them in its default (conlleval-like) mode, which the benchmark's released
  scripts use: an ``I`` that follows ``O`` begins an entity. :func:`entity_counts` is a vectorised form for one
  entity type, about ten times as fast; tests hold it equal to seqeval.
* ``macro_f1``: mean over the labels but ``negative`` of the F1 per word (EBM PICO: PAR, INT, OUT).
* ``micro_f1``: over the labels but ``negative``; for a multi-label task over all labels of all documents.
* ``accuracy``.

Beside them stands ``ece``, how far confidence is from accuracy; see :func:`expected_calibration_error`.

Where a denominator is zero, the value is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy

from trainables.data.tasks import Task

#: Per example its label, its words' labels, or 0/1 per label.
Labels: TypeAlias = Sequence[Sequence[int]] | Sequence[numpy.ndarray]


def score(task: Task, gold: Labels, predicted: Labels) -> dict[str, float]:
    """Scores predictions with a task's metric.

    Args:
        task: Names the metric and the labels.
        gold: True labels per example, as in ``predictions.parquet``.
        predicted: The same for the predictions.

    Returns:
        The task's metric under its name, and what belongs to it: ``precision`` and ``recall``; ``macro_f1`` beside
        ``accuracy``.

    Raises:
        ValueError: Where both do not have the same lengths.
    """
    if [len(labels) for labels in gold] != [len(labels) for labels in predicted]:
        raise ValueError("gold and predicted labels differ in length")
    if task.metric == "f1":
        return _from_counts(*entity_counts(task.labels, gold, predicted))
    if task.multi_label:
        return _averaged(_rows(gold), _rows(predicted), list(range(len(task.labels))), "micro")
    kept = [index for index, label in enumerate(task.labels) if label != task.negative]
    true, guessed = _flat(gold), _flat(predicted)
    if task.metric == "accuracy":
        accuracy = float((true == guessed).mean()) if len(true) else 0.0
        return {"accuracy": accuracy, "macro_f1": _averaged(true, guessed, kept, "macro")["macro_f1"]}
    return _averaged(true, guessed, kept, task.metric.removesuffix("_f1"))


def entity_counts(labels: Sequence[str], gold: Labels, predicted: Labels) -> tuple[int, int, int]:
    """Counts entities of one type.

    Args:
        labels: ``O``, ``B`` and ``I`` in the order of the label indices.
        gold: Tags per sequence.
        predicted: The same for the predictions.

    Returns:
        Entities found with the right start and end, entities predicted, true entities.
    """
    true = _entities(labels, gold)
    guessed = _entities(labels, predicted)
    return len(numpy.intersect1d(true, guessed, assume_unique=True)), len(guessed), len(true)


def expected_calibration_error(confidence: numpy.ndarray, correct: numpy.ndarray, bins: int = 10) -> float:
    """Mean distance of confidence and accuracy over bins of equal width, weighted by size (DoKTra, appendix A).

    Args:
        confidence: Of each decision, between 0 and 1.
        correct: Whether it was right, alike.
        bins: Their number; each holds its upper edge, and the first also 0.

    Returns:
        A fraction; 0 where nothing was decided.
    """
    if not len(confidence):
        return 0.0
    places = numpy.searchsorted(numpy.arange(1, bins) / bins, confidence, side="left")
    # The size of a bin cancels: |B|/n times the distance of two means over B is the distance of two sums over n.
    trusted = numpy.bincount(places, weights=confidence, minlength=bins)
    right = numpy.bincount(places, weights=numpy.asarray(correct, dtype=numpy.float64), minlength=bins)
    return float(numpy.abs(right - trusted).sum() / len(confidence))


def confidences(logits: numpy.ndarray, multi_label: bool) -> numpy.ndarray:
    """How sure a classifier is of each of its decisions.

    Args:
        logits: ``[examples, labels]``.
        multi_label: Whether every label is a decision of its own.

    Returns:
        The probability of the class that is chosen ``[examples, 1]``, or, with several labels, of each yes or no
        ``[examples, labels]``; float64.
    """
    wide = logits.astype(numpy.float64)
    if multi_label:
        sure: numpy.ndarray = 1 / (1 + numpy.exp(-numpy.abs(wide)))
        return sure
    top = wide.max(axis=1, keepdims=True)
    chosen: numpy.ndarray = 1 / numpy.exp(wide - top).sum(axis=1, keepdims=True)
    return chosen


def _entities(labels: Sequence[str], tags: Labels) -> numpy.ndarray:
    """One number per entity, made of its start and end in all sequences laid end to end."""
    outside, begin = labels.index("O"), labels.index("B")
    # A gap after every sequence keeps entities from running on into the next one.
    pieces = [part for sequence in tags for part in (numpy.asarray(sequence, dtype=numpy.int64), [outside])]
    flat = numpy.concatenate([[outside], *pieces]) if pieces else numpy.array([outside])
    inside = flat != outside
    starts = inside[1:] & ((flat[1:] == begin) | ~inside[:-1])
    ends = inside[:-1] & ((flat[1:] == begin) | ~inside[1:])
    return numpy.flatnonzero(starts) * len(flat) + numpy.flatnonzero(ends)


def _from_counts(right: int, predicted: int, true: int) -> dict[str, float]:
    precision = right / predicted if predicted else 0.0
    recall = right / true if true else 0.0
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"f1": f1, "precision": precision, "recall": recall}


def _averaged(gold: numpy.ndarray, predicted: numpy.ndarray, labels: list[int], average: str) -> dict[str, float]:
    from sklearn.metrics import precision_recall_fscore_support

    if not len(gold):
        return {f"{average}_f1": 0.0, "precision": 0.0, "recall": 0.0}
    precision, recall, f1, _ = precision_recall_fscore_support(
        gold, predicted, labels=labels, average=average, zero_division=0
    )
    return {f"{average}_f1": float(f1), "precision": float(precision), "recall": float(recall)}


def _flat(labels: Labels) -> numpy.ndarray:
    return numpy.concatenate([numpy.asarray(row) for row in labels]) if len(labels) else numpy.empty(0, numpy.int64)


def _rows(labels: Labels) -> numpy.ndarray:
    return numpy.array([numpy.asarray(row) for row in labels])
