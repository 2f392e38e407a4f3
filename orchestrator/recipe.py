"""A recipe: one root expression of a sweep, with the labels that the leaderboard files it under."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from trainables.data import tasks
from trainables.errors import UserError, did_you_mean
from trainables.expression import KEY_LENGTH, Stage, from_json
from trainables.stages import CrossValidation

_OF_SEARCH = ("study", "trial")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a sweep asks for and how its row is labelled. A sweep is a list of recipes.

    Attributes:
        stage: The root expression; its score is the row's.
        method: Key of the method, as in the published results (``finetune``, ``stilt``, ...).
        model: Key of the model that is evaluated (``bert_base``); the student where something is distilled.
        task: Key of the target task.
        seed: Of the run.
        intermediate: Key of the task trained before the target, if any.
        teachers: Keys of the teachers, if any.
        student: Key of the student's architecture where it differs from ``model``.
        study: Name of the search that asked for it, if any.
        trial: Its number in that search.
    """

    stage: Stage
    method: str
    model: str
    task: str
    seed: int
    intermediate: str | None = None
    teachers: tuple[str, ...] = ()
    student: str | None = None
    study: str | None = None
    trial: int | None = None

    def row_key(self, sweep: str) -> str:
        """Identity of the leaderboard row: a hash of the sweep's name, the root stage's key and the row's labels.

        The labels count, since the same weights may be asked for under two names of a model, or by two trials of a
        search. Those of a search count only where it has them: rows without have the keys they always had. So do
        hyperparameters that the stage's key does not tell apart: a row shows them as they were asked for.
        """
        labels = [sweep, self.stage.key, self.method, self.model, self.task, self.intermediate or "", *self.teachers]
        labels += [f"{name}={value}" for name, value in {**self.stage.unkeyed, **self._of_search()}.items()]
        return hashlib.sha256("\0".join(labels).encode()).hexdigest()[:KEY_LENGTH]

    def to_json(self) -> dict[str, Any]:
        """The readable form for a sweep's manifest, with the key of every stage in it.

        The keys are recorded because computing them needs the data and weights, which may have
        moved or gone by the time that the manifest is read.
        """
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in _OF_SEARCH:  # left out where not set: the manifest of a grid stays the file that it was
            del fields[name]
        return {
            **fields,
            **self._of_search(),
            "stage": self.stage.to_json(),
            "teachers": list(self.teachers),
            "keys": [stage.key for stage in _nodes(self.stage)],
        }

    @classmethod
    def from_json(cls, form: dict[str, Any]) -> Recipe:
        """Reads a recipe back; its stages keep the recorded keys, so neither data nor weights are needed.

        Raises:
            UserError: For an unknown or missing field, or a stage that this version does not know.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        fields = {name: value for name, value in form.items() if name != "keys"}
        for name in fields:
            if name not in known:
                raise UserError(f"recipe has no field {name!r}{did_you_mean(name, known)}")
        for name in ("stage", "method", "model", "task", "seed"):
            if name not in fields:
                raise UserError(f"recipe lacks the field {name!r}; it needs stage, method, model, task and seed")
        stage = from_json(fields["stage"])
        for node, key in zip(_nodes(stage), form.get("keys", ()), strict=False):
            node.__dict__["key"] = key  # where the cached property keeps it
        return cls(**{**fields, "stage": stage, "teachers": tuple(fields.get("teachers") or ())})

    def _of_search(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _OF_SEARCH if getattr(self, name) is not None}


def over_folds(task: str, make: Callable[[str], Stage]) -> Stage:
    """What a recipe is on a task: of ``gad@10`` the mean over what it is on each fold.

    Args:
        task: Key of a task.
        make: Makes the expression of a task or a fold.
    """
    folds = tasks.folds(task)
    return make(task) if folds == (task,) else CrossValidation(tuple(make(fold) for fold in folds))


def fold_recipes(recipe: Recipe) -> list[Recipe]:
    """The rows of a cross-validation's folds: the same labels, and each fold's own task (``gad@3/10``).

    Args:
        recipe: Any recipe.

    Returns:
        One recipe per fold, in their order; none where the recipe is not the mean over folds.
    """
    if not isinstance(recipe.stage, CrossValidation):
        return []
    return [
        dataclasses.replace(recipe, stage=fold, task=str(getattr(fold, "task", recipe.task)))
        for fold in recipe.stage.folds
    ]


def with_folds(recipes: Iterable[Recipe]) -> list[Recipe]:
    """Recipes and the rows of their folds."""
    return [each for recipe in recipes for each in (recipe, *fold_recipes(recipe))]


def _nodes(stage: Stage) -> Iterator[Stage]:
    """Every occurrence of a stage in an expression, by structure alone: no key is computed."""
    yield stage
    for parent in stage.inputs:
        yield from _nodes(parent)
