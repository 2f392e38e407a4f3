"""The VE-KD paper's Figures 2 to 4 as recipes: one hyperparameter along the axis, a curve per method or setting.

The paper prints none of their numbers, so ours stand alone. Tolerance 0.1 of Figure 3 is ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from orchestrator.recipe import Recipe
from orchestrator.vekd_averages import AVERAGE
from orchestrator.vekd_recipes import DISTILLED, EXPANDED, Experiment, Parameters
from orchestrator.vekd_tables import TASKS, Sizes
from search_spaces.vekd import BASE_VOCABULARY
from trainables.errors import UserError


@dataclasses.dataclass(frozen=True)
class Curve:
    """A curve of a figure.

    Attributes:
        title: In its legend.
        method: Key as in the published results.
        changes: Hyperparameters that are not the chosen ones.
        tolerant: Whether it is that of the chosen tolerance, beside one without any.
    """

    title: str
    method: str
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tolerant: bool = False


@dataclasses.dataclass(frozen=True)
class PaperFigure:
    """One of the paper's figures.

    Attributes:
        number: As printed.
        title: What it shows.
        along: The hyperparameter along its axis.
        values: Of that.
        curves: In the order of its legend.
        shows: Tasks, or the average over all of them: a panel each.
        tasks: That are trained on.
    """

    number: int
    title: str
    along: str
    values: tuple[float, ...]
    curves: tuple[Curve, ...]
    shows: tuple[str, ...]
    tasks: tuple[str, ...] = TASKS


_SIZES = (BASE_VOCABULARY, 40_000, 50_000, 60_000, 70_000, 80_000)

#: The figures by number.
FIGURES: Mapping[int, PaperFigure] = MappingProxyType(
    {
        2: PaperFigure(
            2,
            "vocabulary size",
            "vocabulary_size",
            _SIZES,
            (
                Curve("without tolerance", EXPANDED, {"tolerance": 0.0}),
                Curve("with tolerance", EXPANDED, tolerant=True),
            ),
            (AVERAGE,),
        ),
        3: PaperFigure(
            3,
            "tolerance",
            "tolerance",
            (0.0, 0.1, 0.5, 1.0, 2.0),
            (Curve("VE-KD", EXPANDED),),
            ("hoc", "pubmedqa", "bioasq", AVERAGE),
        ),
        4: PaperFigure(
            4,
            "share of the corpus",
            "share",
            (0.2, 0.4, 0.6, 0.8, 1.0),
            (
                Curve("VE-KD 40k", EXPANDED, {"vocabulary_size": 40_000}),
                Curve("VE-KD 60k", EXPANDED, {"vocabulary_size": 60_000}),
                Curve("DistilBERT", DISTILLED),
            ),
            (AVERAGE, "pubmedqa"),
        ),
    }
)


def get(number: int, sizes: Sizes | None = None, tasks: Sequence[str] | None = None) -> PaperFigure:
    """A figure by its number.

    Args:
        number: As printed.
        sizes: What its vocabulary sizes are where other models stand in for the paper's.
        tasks: Of the twelve, unless all of them; panels of others are left out.

    Raises:
        UserError: For one that shows no results.
    """
    if number not in FIGURES:
        raise UserError(
            f"Figure {number} of the VE-KD paper shows no results; those that do are {', '.join(map(str, FIGURES))}"
        )
    figure = FIGURES[number]
    known = (sizes or Sizes()).vocabulary
    kept = figure.tasks if not tasks else tuple(task for task in figure.tasks if task in tasks)
    if not kept:
        raise UserError(f"Figure {number} is of {', '.join(figure.tasks)}; --tasks names none of them")

    def fitting(size: float) -> float:
        return known.get(int(size), size)

    values = tuple(map(fitting, figure.values)) if figure.along == "vocabulary_size" else figure.values
    curves = tuple(
        dataclasses.replace(
            curve,
            changes={
                name: fitting(value) if name == "vocabulary_size" else value for name, value in curve.changes.items()
            },
        )
        for curve in figure.curves
    )
    shows = tuple(panel for panel in figure.shows if panel == AVERAGE or panel in kept)
    return dataclasses.replace(figure, values=tuple(dict.fromkeys(values)), curves=curves, shows=shows, tasks=kept)


def recipes(figure: PaperFigure, experiment: Experiment, chosen: Parameters, seeds: Sequence[int]) -> list[Recipe]:
    """What a figure takes, as recipes.

    Args:
        figure: From :func:`get`.
        experiment: Teacher, student and setting.
        chosen: All hyperparameters.
        seeds: One recipe of each point and task for each.
    """
    found: dict[Recipe, None] = {}
    for task in figure.tasks:
        for curve in figure.curves:
            for value in figure.values:
                settings = {**chosen, **curve.changes, figure.along: value}
                if curve.tolerant and not settings["tolerance"]:
                    raise UserError(
                        f"Figure {figure.number} compares a tolerance with none, so "
                        f"--tolerance={settings['tolerance']:g} must be above 0"
                    )
                for seed in seeds:
                    found[experiment.recipe(curve.method, task, settings, seed)] = None
    return list(found)
