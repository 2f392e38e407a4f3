"""One pass of a finished teacher over a task's splits, kept for every student that learns from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from typing import TypeVar

from trainables.context import OUTPUTS, Context, Progress, Result, Run
from trainables.data import tasks
from trainables.data.examples import SPLITS
from trainables.stages import TeacherOutputs
from trainables.training import batches, classification, devices, evaluation, models, outputs
from trainables.training.classification import given

T = TypeVar("T")


def run(stage: TeacherOutputs, context: Context) -> Run:
    """Writes ``outputs.parquet``: CLS vectors of the last hidden layer (before any pooler) and logits by example id.

    A split's outputs are held in memory until they are written: 55 MB for ChemProt's training split and a base model,
    137 MB for the file. The gold labels are not read, so the task may be another one than the teacher's.

    Raises:
        UserError: For a teacher that is no classifier of texts, or data that cannot be used.
        OutOfDeviceMemory: Where the device's memory does not suffice.
    """
    folder = context.model_folder(stage.teacher)
    solves: str = stage.teacher.task  # type: ignore[attr-defined]  # checked by the stage
    teacher = models.finetuned(folder, tasks.get(solves)).to(context.device)
    task, device = tasks.get(str(stage.task)), context.device
    splits, max_length = classification.splits_for(
        teacher, folder, str(stage.data), task, given(stage.max_length), stage.train_limit, device
    )
    width = int(teacher.config.hidden_size)
    plans = {name: batches.for_evaluation(split.packed.planned, split.packed.limit) for name, split in splits.items()}
    total = sum(map(len, plans.values()))
    with outputs.writer(context.folder / OUTPUTS, width) as write:
        done = 0
        for name in SPLITS:
            work = evaluation.outputs(teacher, splits[name], device, name)
            logits, vectors = yield from _counted(work, done, total, context)
            write(name, splits[name].ids, vectors, logits)
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


def _counted(
    work: Generator[Progress, None, T], before: int, total: int, context: Context
) -> Generator[Progress, None, T]:
    """A split's steps as steps of the whole pass.

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
