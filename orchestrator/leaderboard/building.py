"""A row made of a recipe and the results behind it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from orchestrator.leaderboard import pretraining, schema
from orchestrator.recipe import Recipe
from trainables.data import sources, tasks
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.stages import CrossValidation, Evaluation, InferenceSpeed

#: ``result.json`` by stage key.
Results = Mapping[str, Mapping[str, Any]]


def build(
    sweep: str, recipe: Recipe, results: Results, status: str = "finished", error: str | None = None
) -> dict[str, Any]:
    """Makes the row of a recipe. The same arguments always make the same row.

    Args:
        sweep: Name of the sweep.
        recipe: What was asked for.
        results: ``result.json`` by stage key, of the root and of what it starts from; unfinished ones are left out.
        status: One of :data:`schema.STATUSES`.
        error: Why there is no score, where that is so.

    Returns:
        A value for every column of the schema.
    """
    stage = recipe.stage
    result = results.get(stage.key, {}) if status == "finished" else {}
    row: dict[str, Any] = dict.fromkeys(schema.NAMES)
    row.update(
        sweep=sweep,
        method=recipe.method,
        model=recipe.model,
        task=recipe.task,
        intermediate=recipe.intermediate,
        teachers=list(recipe.teachers),
        student=recipe.student,
        seed=recipe.seed,
        study=recipe.study,
        trial=recipe.trial,
        key=stage.key,
        teacher_keys=_teacher_keys(stage),
        row_key=recipe.row_key(sweep),
        status=status,
        error=error,
    )
    row.update(_scores(recipe.task, result.get("metrics", {})))
    if result:
        row.update(_class_accuracies(result))
        row.update(_teacher_and_student(stage, row["metric"], row["score"], results))
        row.update(_cost(stage, result, results))
        row.update(pretraining.scores(_trained(_parts(stage)[0]), results))
    row.update(_agreed([_hyperparameters(part) for part in _parts(stage)]))
    row.update(_provenance(result, [results.get(part.key, {}) for part in _parts(stage)] if result else []))
    row["transfer_data"] = _data([_transfer_fingerprint(part, results) for part in _parts(stage)])
    return row


def _parts(stage: Stage) -> tuple[Stage, ...]:
    """What a stage is the mean of: its folds, or itself."""
    return stage.folds if isinstance(stage, CrossValidation) else (stage,)


def _teachers(stage: Stage) -> tuple[Stage, ...]:
    """Who a stage is distilled from: several, one, or nobody."""
    found: tuple[Stage, ...] = getattr(stage, "teachers", ())
    one = getattr(stage, "teacher", None)
    return found if found or one is None else (one,)


def _teacher_keys(stage: Stage) -> list[str]:
    """Keys of the teachers' own rows; over folds these are means over the teachers of each fold."""
    if not isinstance(stage, CrossValidation):
        return [teacher.key for teacher in _teachers(stage)]
    over_folds = zip(*(_teachers(fold) for fold in stage.folds), strict=True)
    return [CrossValidation(tuple(teachers)).key for teachers in over_folds]


def _transfer_fingerprint(stage: Stage, results: Results) -> str:
    """Of the texts of another task that a stage, or the classifier that it evaluates, was trained on."""
    if isinstance(stage, Evaluation):
        return str(results.get(stage.model.key, {}).get("fingerprints", {}).get("data", "")) if stage.solves else ""
    return str(results.get(stage.key, {}).get("fingerprints", {}).get("transfer", ""))


def _scores(task: str, metrics: Mapping[str, float]) -> dict[str, Any]:
    metric = _metric(task, metrics)
    return {
        "split": "test",
        "metric": metric,
        "score": _percent(metrics.get(f"test/{metric}")),
        "dev_score": _percent(metrics.get(f"dev/{metric}")),
        "ece": _percent(metrics.get("test/ece")),
        "dev_ece": _percent(metrics.get("dev/ece")),
        "auroc": _percent(metrics.get("test/auroc")),
        "dev_auroc": _percent(metrics.get("dev/auroc")),
        "l_at": _finite(metrics.get("test/l_at")),
        "l_at_boundary": _finite(metrics.get("test/l_at_boundary")),
        "dev_l_at": _finite(metrics.get("dev/l_at")),
    }


def _class_accuracies(result: Mapping[str, Any]) -> dict[str, Any]:
    found = result.get("facts", {}).get("class_accuracy", {})
    return {
        f"{prefix}class_accuracy": {label: _percent(value) for label, value in found[split].items()}
        for prefix, split in (("", "test"), ("dev_", "dev"))
        if split in found
    }


def _metric(task: str, metrics: Mapping[str, float]) -> str | None:
    try:
        return tasks.get(task).metric
    except UserError:  # a task of another version; its only test score is what it is judged by
        of_test = [name.removeprefix("test/") for name in metrics if name.startswith("test/")]
        return of_test[0] if len(of_test) == 1 else None


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value


def _percent(fraction: float | None) -> float | None:
    found = _finite(fraction)
    return None if found is None else 100.0 * found


def _teacher_and_student(stage: Stage, metric: str | None, score: float | None, results: Results) -> dict[str, Any]:
    """What the teacher and the student before distillation scored on the same task, read from their results."""
    teachers = [_solver(part, "teacher") for part in _parts(stage)]
    students = [_solver(part, "student") for part in _parts(stage)]
    teacher_score = _mean_percent(teachers, f"test/{metric}", results)
    return {
        "teacher_score": teacher_score,
        "teacher_ece": _mean_percent(teachers, "test/ece", results),
        "student_score": _mean_percent(students, f"test/{metric}", results),
        "retention": 100.0 * score / teacher_score if score is not None and teacher_score else None,
    }


def _solver(stage: Stage, role: str) -> Stage | None:
    """A stage's teacher or student, where that one solves the same task and so has a score to compare with."""
    found = getattr(stage, role, None)
    return found if isinstance(found, Stage) and getattr(found, "task", None) == getattr(stage, "task", "") else None


def _mean_percent(stages: Sequence[Stage | None], metric: str, results: Results) -> float | None:
    """Mean over folds in percent; None unless every one has it."""
    found = [results.get(stage.key, {}).get("metrics", {}).get(metric) for stage in stages if stage is not None]
    values = [value for value in map(_percent, found) if value is not None]
    return math.fsum(values) / len(values) if len(values) == len(stages) else None


def _hyperparameters(stage: Stage) -> dict[str, Any]:
    trained = _trained(stage)
    values = _fields(trained, schema.HYPERPARAMETERS)
    if isinstance(stage, Evaluation):
        values["transfer_task"] = stage.solves
    init = getattr(trained, "init", None)
    if hasattr(init, "task"):
        values |= _fields(init, schema.INTERMEDIATE_HYPERPARAMETERS, schema.INTERMEDIATE)
    values["random_seed"] = _random_seed(trained)
    if teachers := _teachers(stage):
        values |= _agreed([_fields(teacher, schema.TEACHER_HYPERPARAMETERS, schema.TEACHER) for teacher in teachers])
    if hasattr(stage, "student"):
        values |= _fields(stage.student, schema.STUDENT_HYPERPARAMETERS, schema.STUDENT)
    return values | pretraining.hyperparameters(trained)


def _random_seed(stage: Stage) -> int | None:
    """The seed of the random text that a stage is trained on, if it is."""
    outputs = getattr(stage, "teacher_outputs", None)
    source = getattr(outputs if hasattr(stage, "transfer_task") else stage, "data", None)
    return sources.unwrapped(str(source))[0] if source else None


def _trained(stage: Stage) -> Stage:
    """What a root stage evaluates or measures; any other is what is trained itself."""
    return stage.model if isinstance(stage, Evaluation | InferenceSpeed) else stage


def _agreed(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the parts of a mean have in common; folds may be trained with settings that each chose for itself."""
    return {name: value if all(other[name] == value for other in parts) else None for name, value in parts[0].items()}


def _fields(stage: object, columns: Sequence[schema.Column], prefix: str = "") -> dict[str, Any]:
    return {column.name: getattr(stage, column.name.removeprefix(prefix), None) for column in columns}


def _cost(stage: Stage, result: Mapping[str, Any], results: Results) -> dict[str, Any]:
    own = result.get("cost", {})
    facts = _facts(stage, result, results)
    ancestors = [results[each.key] for each in stage.walk() if each.key != stage.key and each.key in results]
    return {
        "parameters": facts.get("parameters"),
        "precision": facts.get("precision"),
        "own_seconds": own.get("seconds"),
        "inherited_seconds": math.fsum(ancestor.get("cost", {}).get("seconds", 0.0) for ancestor in ancestors),
        "gpu_seconds": own.get("gpu_seconds"),
        "peak_memory_bytes": own.get("peak_memory_bytes"),
        "speedup": own.get("speedup"),
        "examples_per_second": own.get("examples_per_second"),
    }


def _facts(stage: Stage, result: Mapping[str, Any], results: Results) -> dict[str, Any]:
    """What is known of a stage's model and training; of a mean over folds, its first fold's."""
    first = results.get(_parts(stage)[0].key, {})
    return {**first.get("facts", {}), **result.get("facts", {})}


def _provenance(result: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found = result.get("provenance", {})
    versions = found.get("versions", {})
    return {
        "data": _data([part.get("fingerprints", {}).get("data", "") for part in parts]),
        **{f"{name}_version": versions.get(name) for name in ("python", "torch", "transformers", "ray")},
        **{name: found.get(name) for name in ("commit", "host", "device", "threads")},
        "started_at": _time(found.get("started_at")),
        "finished_at": _time(found.get("finished_at")),
    }


def _data(fingerprints: Sequence[str]) -> str | None:
    """The data's fingerprint in short; of several folds one of all of theirs."""
    if not fingerprints or not all(fingerprints):
        return None
    whole = fingerprints[0]
    if len(fingerprints) > 1:
        whole = hashlib.sha256("\0".join(fingerprints).encode()).hexdigest()
    return whole[:12]


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
