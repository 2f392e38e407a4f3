"""The mean over folds: reads their results, trains nothing."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from trainables.context import Context, Progress, Result, Run
from trainables.stages import CrossValidation


def run(stage: CrossValidation, context: Context) -> Run:
    """The means of the metrics that every fold has.

    Facts hold each fold's values in the order of the stage's folds (``folds``), their sample standard deviations
    (``std``), the parameters of one fold's model, all folds' steps and tokens, and the mean accuracy of each class by
    split (``class_accuracy``): over the folds that have examples of the class. The expertise of several teachers is
    that of each fold, by which its student was taught, and is not averaged.
    """
    results = [context.input_result(fold) for fold in stage.folds]
    yield Progress(1, 1, "mean")
    first, *others = (result["metrics"] for result in results)
    shared = [name for name in first if all(name in other for other in others)]
    values = {name: [float(result["metrics"][name]) for result in results] for name in shared}
    facts = {
        "parameters": results[0]["facts"]["parameters"],
        "steps": sum(result["facts"]["steps"] for result in results),
        "tokens": sum(result["facts"]["tokens"] for result in results),
        "folds": values,
        "std": {name: statistics.stdev(each) for name, each in values.items()},
        "class_accuracy": _class_accuracies([result["facts"].get("class_accuracy", {}) for result in results]),
    }
    return Result({name: statistics.fmean(each) for name, each in values.items()}, facts=facts)


def _class_accuracies(folds: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """The mean accuracy of each class, by split and label, over the folds that have it."""
    values: dict[str, dict[str, list[float]]] = {}
    for fold in folds:
        for split, accuracies in fold.items():
            for label, accuracy in accuracies.items():
                values.setdefault(split, {}).setdefault(label, []).append(accuracy)
    return {
        split: {label: statistics.fmean(each) for label, each in by_label.items()} for split, by_label in values.items()
    }
