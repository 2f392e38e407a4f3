"""Inference speed: two fine-tuned models take turns over the same texts, each with its own tokenizer."""

from __future__ import annotations

import statistics
import time
from collections.abc import Generator
from typing import Any

import torch

from trainables.context import Context, Progress, Result, Run
from trainables.data import tasks
from trainables.stages import FineTune, InferenceSpeed
from trainables.training import devices, encoding, models, tokenizers
from trainables.training.batches import Batch
from trainables.training.classification import given
from trainables.training.encoding import Split


def run(stage: InferenceSpeed, context: Context) -> Run:
    """Times forward passes, without tokenization and decoding; the metrics are those that the model has already.

    ``measured`` holds ``speedup``, the median over rounds of the baseline's seconds over the model's, and for both the
    median of ``examples_per_second``. Facts hold the word pieces that each reads, of which a larger vocabulary needs
    fewer, and the model's parameters.

    Raises:
        UserError: For a model that is no classifier of the task.
        OutOfDeviceMemory: Where the device's memory does not suffice.
    """
    pairs = [_loaded(each, stage.examples, context) for each in (stage.model, stage.baseline)]
    plans = [split.plan() for _, split in pairs]
    done, total = 0, (stage.rounds + 1) * sum(map(len, plans))
    seconds: list[list[float]] = []
    for _ in range(stage.rounds + 1):
        turn = []
        for (model, split), plan in zip(pairs, plans, strict=True):
            turn.append((yield from _pass(model, split, plan, done, total, context)))
            done += len(plan)
        seconds.append(turn)
    counted = seconds[1:]  # the first round fills caches and chooses kernels
    examples = len(pairs[0][1].ids)
    measured = {
        "speedup": statistics.median(baseline / own for own, baseline in counted),
        "examples_per_second": examples / statistics.median(own for own, _ in counted),
        "baseline_examples_per_second": examples / statistics.median(baseline for _, baseline in counted),
    }
    own, baseline = (sum(batch.tokens for batch in plan) for plan in plans)
    facts = {
        "parameters": sum(parameter.numel() for parameter in pairs[0][0].parameters()),
        "baseline_parameters": sum(parameter.numel() for parameter in pairs[1][0].parameters()),
        "steps": 0,
        "tokens": own,
        "baseline_tokens": baseline,
        "examples": examples,
        "precision": devices.precision(context.device),
    }
    return Result(dict(context.input_result(stage.model)["metrics"]), facts=facts, measured=measured)


def _loaded(stage: FineTune, examples: int, context: Context) -> tuple[Any, Split]:
    """A classifier on the device, and the test split as it reads it."""
    task = tasks.get(stage.task)
    folder = context.model_folder(stage)
    model = models.finetuned(folder, task).to(context.device).eval()
    tokenizer = tokenizers.load(folder, on_words=task.on_tokens)
    length = min(given(stage.max_length), models.longest_input(model) or given(stage.max_length))
    types = models.distinguishes_types(model)
    split = encoding.prepared(stage.data, task, "test", tokenizer, length, context.device, types=types, limit=examples)
    return model, split


def _pass(
    model: Any, split: Split, plan: list[Batch], done: int, total: int, context: Context
) -> Generator[Progress, None, float]:
    """Seconds that a model computes over a split; what happens between batches does not count.

    An interrupted measurement is begun again. The empty checkpoint tells whoever interrupts that there is nothing to
    wait for.
    """
    seconds = 0.0
    for step, batch in enumerate(plan, start=1):
        with devices.memory_errors(f"reading {len(batch.rows)} x {batch.width} word pieces"):
            seconds += _timed(model, split, batch, context.device)
        if context.checkpoint_due():
            context.save_checkpoint({})
        yield Progress(done + step, total, "speed")
    return seconds


@torch.inference_mode()
def _timed(model: Any, split: Split, batch: Batch, device: str) -> float:
    _wait(device)
    start = time.perf_counter()
    with devices.autocast(device):
        model(**split.packed.inputs(batch, device))
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    """Until the device has done what it was given: a GPU is only told to."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
