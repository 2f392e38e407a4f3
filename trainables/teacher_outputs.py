"""One pass of a finished teacher over a task's splits, kept for every student that learns from it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy
from torch import Tensor

from trainables.context import OUTPUTS, Context, Progress, Result, Run
from trainables.data import tasks
from trainables.stages import TeacherOutputs
from trainables.training import classification, devices, evaluation, models, outputs
from trainables.training.classification import given
from trainables.training.encoding import Split


def run(stage: TeacherOutputs, context: Context) -> Run:
    """Writes ``outputs.parquet``: CLS vectors of the last hidden layer (before any pooler) and logits by example id.

    Of a task that labels words there are logits of every word, and no vectors. A split's outputs are held in memory
    until they are written: 55 MB for ChemProt's training split and a base model, 137 MB for the file. The gold labels
    are not read, so the task may be another one than the teacher's.

    Raises:
        UserError: For a teacher that is no classifier, or data that cannot be used.
        OutOfDeviceMemory: Where the device's memory does not suffice.
    """
    folder = context.model_folder(stage.teacher)
    solves: str = stage.teacher.task  # type: ignore[attr-defined]  # checked by the stage
    teacher = models.finetuned(folder, tasks.get(solves)).to(context.device)
    task, device = tasks.get(str(stage.task)), context.device
    splits, max_length = classification.splits_for(
        teacher, folder, str(stage.data), task, given(stage.max_length), stage.train_limit, device, stage.splits
    )
    width = int(teacher.config.hidden_size)
    plans = {name: split.plan() for name, split in splits.items()}
    total = sum(map(len, plans.values()))
    with outputs.writer(context.folder / OUTPUTS, None if task.on_tokens else width) as write:
        done = 0
        for name, split in splits.items():
            work = _said(teacher, split, device, name)
            logits, vectors = yield from evaluation.counted(work, done, total, context)
            write(name, split.ids, evaluation.per_example(split, logits), vectors)
            done += len(plans[name])
    facts = {
        "parameters": sum(parameter.numel() for parameter in teacher.parameters()),
        "steps": total,
        "tokens": sum(batch.tokens for plan in plans.values() for batch in plan),
        "precision": devices.precision(device),
        "width": width,
        "max_length": max_length,
        "max_length_asked": stage.max_length,
        "examples": {name: len(split.ids) for name, split in splits.items()},
    }
    return Result({}, facts=facts)


def _said(
    teacher: Any, split: Split, device: str, name: str
) -> Generator[Progress, None, tuple[numpy.ndarray, Tensor | None]]:
    """A split's logits ``[units, labels]``, and CLS vectors where texts are labelled."""
    if split.words is not None:
        return (yield from evaluation.predict(teacher, split, device, name)), None
    logits, vectors = yield from evaluation.outputs(teacher, split, device, name)
    return logits.cpu().numpy(), vectors
