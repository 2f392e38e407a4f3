"""The miniature benchmark: every task of the real one, generated from a seed, with a planted transfer structure."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json

from trainables.data import tasks
from trainables.data.examples import Splits
from trainables.data.miniature import examples, text
from trainables.data.miniature.recipes import PLANTED, RECIPES, UNRELATED, shared
from trainables.errors import UserError, did_you_mean

__all__ = [
    "CORPORA",
    "PLANTED",
    "UNRELATED",
    "corpus",
    "corpus_fingerprint",
    "fingerprint",
    "generate",
    "settings",
    "shared",
]

CORPORA = ("general", "domain")


def generate(task: tasks.Task) -> Splits:
    """Makes a task's examples; the same in every process and on every machine."""
    return examples.generate(task)


@functools.cache
def fingerprint(task: tasks.Task) -> str:
    """Hash of the examples that :func:`generate` makes."""
    splits = generate(task)
    content = {split: [dataclasses.astuple(example) for example in splits[split]] for split in sorted(splits)}
    return _hash(content)


def settings(task: tasks.Task) -> tasks.Settings:
    """The hyperparameters with which a miniature model is fine-tuned on the task."""
    return RECIPES[task.name].settings


def corpus(name: str) -> list[str]:
    """Sentences to pretrain on.

    Args:
        name: ``general`` or ``domain``.

    Raises:
        UserError: For any other name.
    """
    if name not in CORPORA:
        raise UserError(f"unknown miniature corpus {name!r}{did_you_mean(name, CORPORA)}")
    return list(text.general() if name == "general" else text.domain())


@functools.cache
def corpus_fingerprint(name: str) -> str:
    """Hash of the sentences that :func:`corpus` makes."""
    return _hash(corpus(name))


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode()).hexdigest()
