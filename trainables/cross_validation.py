"""The mean over folds: reads their results, trains nothing."""

from __future__ import annotations

import statistics

from trainables.context import Context, Progress, Result, Run
from trainables.stages import CrossValidation


def run(stage: CrossValidation, context: Context) -> Run:
    """The means of the metrics that every fold has.

    Facts hold each fold's values in the order of the stage's folds (``folds``), their sample standard deviations
    (``std``), the parameters of one fold's model, and all folds' steps and tokens.
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
    }
    return Result({name: statistics.fmean(each) for name, each in values.items()}, facts=facts)
