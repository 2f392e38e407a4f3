"""Checks that stages share; each names the stage, the field, the value and the rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.data import sources, tasks
from trainables.errors import UserError, did_you_mean
from trainables.expression import Stage

if TYPE_CHECKING:
    from trainables.stages.distillation import TeacherOutputs

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


def student_solves(stage: Stage, student: Stage, task: str, data: str) -> None:
    """Refuses a student that is not fine-tuned on its teachers' task, or on another source of it: its head is kept."""
    if not student.makes_model or getattr(student, "task", None) != task:
        solves = getattr(student, "task", None) or "no task"
        raise UserError(
            f"{type(stage).__name__}.student={type(student).__name__} solves {solves}, its teacher {task}; give a "
            f"student that is fine-tuned on {task}"
        )
    _same_source(stage, "student is", student, task, data)


def same_labels(stage: Stage, teacher: str, task: str) -> None:
    """Refuses a teacher whose outputs are of other labels than a task's."""
    if tasks.get(teacher).labels != tasks.get(task).labels:
        raise UserError(
            f"{type(stage).__name__}.teacher_outputs are of a teacher of {teacher}, which has other labels "
            f"({', '.join(tasks.get(teacher).labels)}) than {task} ({', '.join(tasks.get(task).labels)}); give a "
            f"teacher that is fine-tuned on {task}"
        )


def same_division(stage: Stage, outputs: TeacherOutputs, data: str) -> None:
    """Refuses a teacher of the same corpus that another division of it was trained on.

    That is another fold, or another source, whose splits may be other ones. Its training examples may be some that the
    student is tested on.
    """
    teacher, task = outputs.teacher, str(outputs.task)
    other_fold(stage, "teacher_outputs are of a teacher", str(getattr(teacher, "task", "")), task, "teacher")
    _same_source(stage, "teacher_outputs are of a teacher that is", teacher, task, data)


def other_fold(stage: Stage, what: str, other: str, task: str, wanted: str) -> None:
    """Refuses another fold of the same corpus, or the corpus as it is distributed where a fold is tested.

    Args:
        stage: That is checked.
        what: Begins the message: of what ``other`` is the task.
        other: Key of the task that may be a fold.
        task: Key of the task that the student is tested on.
        wanted: What to give instead.
    """
    same_corpus = tasks.get(other).folder == tasks.get(task).folder
    if same_corpus and other != task and (tasks.FOLD in other or tasks.FOLD in task):
        raise UserError(
            f"{type(stage).__name__}.{what} of {other}, whose training examples are partly the test examples of "
            f"{task}; give a {wanted} of {task}"
        )


def _same_source(stage: Stage, what: str, trained: Stage, task: str, data: str) -> None:
    """Refuses a model of the same corpus from another source; random text of a source is divided as the source is."""
    other: str | None = getattr(trained, "data", None)
    if other is None or tasks.get(str(getattr(trained, "task", ""))).folder != tasks.get(task).folder:
        return
    if sources.unwrapped(other)[1] != sources.unwrapped(data)[1]:
        raise UserError(
            f"{type(stage).__name__}.{what} fine-tuned on {task} from {other!r}, whose training examples may be test "
            f"examples of {data!r}; give one that is fine-tuned on {task} from {data!r}"
        )


def has_outputs(stage: Stage, outputs: TeacherOutputs, *splits: str) -> None:
    """Refuses a teacher's outputs without a split that is learned from."""
    missing = [split for split in splits if split not in outputs.splits]
    if missing:
        raise UserError(
            f"{type(stage).__name__}.teacher_outputs are of {', '.join(outputs.splits)} alone; give outputs on "
            f"{', '.join(splits)}"
        )


def within_outputs(stage: Stage, limit: int | None) -> None:
    """Refuses a training limit above that of a teacher's outputs."""
    own = getattr(stage, "train_limit", None)
    if limit is not None and (own is None or own > limit):
        raise UserError(
            f"{type(stage).__name__}.train_limit={own} must not exceed that of its teacher's outputs, {limit}: the "
            "others' outputs are not known"
        )
