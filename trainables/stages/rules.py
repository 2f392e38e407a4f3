"""Checks that stages share; each names the stage, the field, the value and the rule."""

from __future__ import annotations

from trainables.data import tasks
from trainables.errors import UserError, did_you_mean
from trainables.expression import Stage

#: Fewest word pieces per example: special tokens, and something between them.
SHORTEST = 8


def at_least(stage: Stage, low: float, *names: str) -> None:
    """Refuses fields below a bound; None passes."""
    for name in names:
        value = getattr(stage, name)
        if value is not None and value < low:
            raise UserError(f"{type(stage).__name__}.{name}={value} must be at least {low:g}")


def share(stage: Stage, *names: str) -> None:
    """Refuses fields that are not between 0 and 1."""
    for name in names:
        value = getattr(stage, name)
        if not 0 <= value <= 1:
            raise UserError(f"{type(stage).__name__}.{name}={value} must lie between 0 and 1")


def positive(stage: Stage, *names: str) -> None:
    """Refuses fields of 0 or less; None passes."""
    for name in names:
        value = getattr(stage, name)
        if value is not None and value <= 0:
            raise UserError(f"{type(stage).__name__}.{name}={value} must be above 0")


def fill(stage: Stage, source: Stage, *names: str) -> None:
    """Takes fields that are None from another stage."""
    for name in names:
        if getattr(stage, name) is None:
            object.__setattr__(stage, name, getattr(source, name, None))


def one_of(stage: Stage, name: str, known: tuple[str, ...]) -> None:
    """Refuses a name that is not known, with the nearest one that is."""
    value = getattr(stage, name)
    if value not in known:
        raise UserError(f"{type(stage).__name__}.{name}={value!r} is unknown{did_you_mean(value, known)}")


def on_texts(stage: Stage, task: str) -> None:
    """Refuses tasks whose words are labelled."""
    if tasks.get(task).on_tokens:
        raise UserError(
            f"{type(stage).__name__}.task={task!r} labels words; distillation is for tasks that label texts"
        )


def starts_from_model(stage: Stage, init: Stage, field: str = "init") -> None:
    """Refuses an input without weights."""
    if not init.makes_model:
        name = type(init).__name__
        raise UserError(f"{type(stage).__name__}.{field}={name} has no weights to start from; give a stage that trains")


def student_solves(stage: Stage, student: Stage, task: str) -> None:
    """Refuses a student that is not fine-tuned on its teachers' task: its head is kept."""
    if not student.makes_model or getattr(student, "task", None) != task:
        solves = getattr(student, "task", None) or "no task"
        raise UserError(
            f"{type(stage).__name__}.student={type(student).__name__} solves {solves}, its teacher {task}; give a "
            f"student that is fine-tuned on {task}"
        )


def same_labels(stage: Stage, teacher: str, task: str) -> None:
    """Refuses a teacher whose outputs are of other labels than a task's."""
    if tasks.get(teacher).labels != tasks.get(task).labels:
        raise UserError(
            f"{type(stage).__name__}.teacher_outputs are of a teacher of {teacher}, which has other labels "
            f"({', '.join(tasks.get(teacher).labels)}) than {task} ({', '.join(tasks.get(task).labels)}); give a "
            f"teacher that is fine-tuned on {task}"
        )


def within_outputs(stage: Stage, limit: int | None) -> None:
    """Refuses a training limit above that of a teacher's outputs."""
    own = getattr(stage, "train_limit", None)
    if limit is not None and (own is None or own > limit):
        raise UserError(
            f"{type(stage).__name__}.train_limit={own} must not exceed that of its teacher's outputs, {limit}: the "
            "others' outputs are not known"
        )
