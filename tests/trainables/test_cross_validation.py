from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainables.tiny import Finished, MemoryContext, finish, pretrained
from trainables.context import Result
from trainables.cross_validation import run
from trainables.data import tasks
from trainables.stages import CrossValidation, FineTune


def _finished(folds: tuple[FineTune, ...], metrics: list[dict[str, float]], folder: Path) -> dict[FineTune, Finished]:
    facts = {"parameters": 1_000, "tokens": 70, "precision": "float32"}
    return {
        fold: Finished(folder, Result(found, facts={**facts, "steps": 10 + number}))
        for number, (fold, found) in enumerate(zip(folds, metrics, strict=True))
    }


def test_metrics_are_means_and_facts_hold_the_folds(bert: Path, tmp_path: Path) -> None:
    folds = tuple(FineTune(fold, pretrained(bert), "mini") for fold in tasks.folds("gad@3"))
    found = [
        {"dev/micro_f1": 0.5, "test/micro_f1": 0.6, "test/l_at": 12.0},
        {"dev/micro_f1": 0.7, "test/micro_f1": 0.6, "test/l_at": 13.0},
        {"dev/micro_f1": 0.9, "test/micro_f1": 0.9},
    ]
    inputs = _finished(folds, found, tmp_path)
    stage = CrossValidation(folds)
    seen, result = finish(run(stage, MemoryContext(tmp_path, bert, inputs=inputs)))
    assert [(progress.step, progress.total) for progress in seen] == [(1, 1)]
    assert result.metrics == pytest.approx({"dev/micro_f1": 0.7, "test/micro_f1": 0.7})
    assert result.facts["folds"] == {"dev/micro_f1": [0.5, 0.7, 0.9], "test/micro_f1": [0.6, 0.6, 0.9]}
    assert result.facts["std"] == pytest.approx({"dev/micro_f1": 0.2, "test/micro_f1": 0.03**0.5})
    assert (result.facts["parameters"], result.facts["steps"], result.facts["tokens"]) == (1_000, 33, 210)
    assert result.history == []
    assert list(tmp_path.iterdir()) == []


def test_accuracies_of_classes_are_means_over_the_folds_that_have_them(bert: Path, tmp_path: Path) -> None:
    folds = tuple(FineTune(fold, pretrained(bert), "mini") for fold in tasks.folds("gad@3"))
    inputs = _finished(folds, [{"dev/micro_f1": 0.0}] * 3, tmp_path)
    of_folds: list[dict[str, dict[str, float]]] = [
        {"dev": {"0": 0.2, "1": 0.5}, "test": {"0": 0.1, "1": 1.0}},
        {"dev": {"0": 0.4, "1": 0.6}, "test": {"0": 0.6}},
        {"dev": {"0": 0.9, "1": 0.7}, "test": {"0": 0.2, "1": 0.5}},
    ]
    for fold, found in zip(folds, of_folds, strict=True):
        inputs[fold].result.facts["class_accuracy"] = found
    _, result = finish(run(CrossValidation(folds), MemoryContext(tmp_path, bert, inputs=inputs)))
    assert result.facts["class_accuracy"] == {
        "dev": pytest.approx({"0": 0.5, "1": 0.6}),
        "test": pytest.approx({"0": 0.3, "1": 0.75}),
    }


def test_no_weights_are_asked_for(bert: Path, tmp_path: Path) -> None:
    folds = tuple(FineTune(fold, pretrained(bert), "mini") for fold in tasks.folds("gad@3"))
    context = MemoryContext(tmp_path, bert, inputs=_finished(folds, [{"dev/f1": 0.0}] * 3, tmp_path))
    finish(run(CrossValidation(folds), context))
    assert context.loaded == []
    assert CrossValidation(folds).starts_from == ()
