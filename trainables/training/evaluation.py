"""Predictions of a classifier over a split, in large batches without gradients."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import numpy
import torch
from torch import Tensor

from trainables.context import Context, Progress
from trainables.data.tasks import Task
from trainables.training import class_metrics, devices, metrics, models
from trainables.training.batches import Batch
from trainables.training.encoding import Split

T = TypeVar("T")

_log = logging.getLogger(__name__)

_BINARY = frozenset(class_metrics.binary_tasks())
#: Logits of a word that tokenises to nothing: ``O`` beyond doubt. Finite, so that averages over models stay so.
_ABSENT = -10.0


def predict(model: Any, split: Split, device: str, phase: str) -> Generator[Progress, None, numpy.ndarray]:
    """Runs a model over a split; yields after every batch.

    Args:
        model: A transformers classifier; left in evaluation mode.
        split: What to predict.
        device: Where the model lies.
        phase: Name of the split, for the progress.

    Returns:
        Logits ``[units, labels]``, float32, a unit being a word (token tasks) or an example, in the split's order.
    """
    found = torch.full((split.units, model.config.num_labels), _ABSENT, device=device)
    found[:, 0] = 0.0
    yield from _in_batches(model, split, phase, lambda batch: _predict(model, split, batch, device, found))
    result: numpy.ndarray = found.cpu().numpy()
    return result


def outputs(model: Any, split: Split, device: str, phase: str) -> Generator[Progress, None, tuple[Tensor, Tensor]]:
    """Runs a model over a split of texts as :func:`predict` does, and keeps the CLS vectors too.

    Returns:
        Logits ``[examples, labels]`` and CLS vectors of the last hidden layer ``[examples, width]``, float32, on the
        device.
    """
    logits = torch.empty((split.units, model.config.num_labels), device=device)
    vectors = torch.empty((split.units, model.config.hidden_size), device=device)
    yield from _in_batches(model, split, phase, lambda batch: _read(model, split, batch, device, logits, vectors))
    return logits, vectors


def counted(
    work: Generator[Progress, None, T], before: int, total: int, context: Context
) -> Generator[Progress, None, T]:
    """A split's steps as steps of a whole pass over several splits.

    An interrupted pass is begun again: it is a fraction of one epoch of training. The empty checkpoint only tells
    whoever interrupts that there is nothing to wait for.
    """
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            result: T = end.value
            return result
        if context.checkpoint_due():
            context.save_checkpoint({})
        yield dataclasses.replace(progress, step=before + progress.step, total=total)


def decide(task: Task, logits: numpy.ndarray) -> numpy.ndarray:
    """Turns logits into predictions.

    Args:
        task: The task.
        logits: Of :func:`predict`, ``[units, labels]``.

    Returns:
        Label indices ``[units, 1]``, or 0/1 ``[units, labels]`` for a multi-label task; int16.
    """
    if task.multi_label:
        return (logits > 0).astype(numpy.int16)
    chosen: numpy.ndarray = logits.argmax(axis=1).astype(numpy.int16)[:, None]
    return chosen


def score(task: Task, split: Split, logits: numpy.ndarray) -> dict[str, float]:
    """The task's metrics of logits over a split; none for an empty split.

    Where texts are labelled with ``ece``, and with ``auroc`` where they have one of two labels and both are there.
    """
    if not split.ids:
        return {}
    decided = decide(task, logits)
    found = metrics.score(task, split.gold, per_example(split, decided))
    if not task.on_tokens:
        confidence = metrics.confidences(logits, task.multi_label)
        correct = decided == numpy.array(split.gold)
        found["ece"] = metrics.expected_calibration_error(confidence.reshape(-1), correct.reshape(-1))
    if task.corpus in _BINARY:
        area = class_metrics.auroc(task, split.gold, logits)
        if area is None:
            _log.warning("%s: all %d examples of a split are of one class; no AUROC", task.name, len(split.ids))
        else:
            found["auroc"] = area
    return found


def per_example(split: Split, units: numpy.ndarray) -> list[numpy.ndarray]:
    """Cuts an array over a split's units ``[units, n]`` into one flat array per example."""
    if split.words is None:
        return list(units)
    ends = numpy.cumsum([len(gold) for gold in split.gold])[:-1]
    return [part.reshape(-1) for part in numpy.split(units, ends)]


def _in_batches(model: Any, split: Split, phase: str, work: Callable[[Batch], None]) -> Generator[Progress, None, None]:
    model.eval()
    plan = split.plan()
    for step, batch in enumerate(plan, start=1):
        with devices.memory_errors(f"evaluating on {len(batch.rows)} x {batch.width} word pieces"):
            work(batch)
        # Outside of inference mode: that is a mode of the thread, and would hold for whoever runs meanwhile.
        yield Progress(step, len(plan), phase)


@torch.inference_mode()
def _read(model: Any, split: Split, batch: Batch, device: str, logits: Tensor, vectors: Tensor) -> None:
    rows = batch.rows.to(device)
    with devices.autocast(device):
        predicted, seen = models.logits_and_cls(model, split.packed.inputs(batch, device))
    logits[rows], vectors[rows] = predicted.float(), seen.float()


@torch.inference_mode()
def _predict(model: Any, split: Split, batch: Batch, device: str, found: Tensor) -> None:
    with devices.autocast(device):
        predicted = model(**split.packed.inputs(batch, device)).logits.float()
    logits, units = split.units_of(batch, predicted)
    found[units] = logits
