"""The DoKTra paper's Tables 2 to 7 as recipes: which methods, on which models and tasks, with which settings.

Where the paper leaves something open, this is what the recipes do:

* "BioBERT-ft (teacher)" is the calibrated teacher, the one that is distilled from. The paper says only "fine-tuned";
  its retention compares a student with the teacher that it learned from.
* The penalty of "ALBERT-ft+CPL" (Table 6) is beta 2, which the same student has while refining. The paper prints none.
* RoBERTa-PM-large is fine-tuned as RoBERTa-large is. The paper prints no settings of it.
* "TAPT (3xGPU)" is one device with the batch of three, which is the same gradient.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from orchestrator.doktra_recipes import Experiment, Parameters, Setting
from orchestrator.recipe import Recipe
from trainables.data.tasks import FOLD
from trainables.errors import UserError, did_you_mean
from trainables.expression import Stage

#: Hyperparameters by task and student; None where there are none. :func:`search_spaces.doktra.published` is one.
Choose = Callable[[str, str], Parameters | None]

#: Task-adaptive pretraining: settings of Gururangan et al. (2020), Table 14; batch and length are the DoKTra paper's.
TAPT: Mapping[str, Any] = MappingProxyType(
    {"epochs": 100, "learning_rate": 1e-4, "warmup_ratio": 0.06, "weight_decay": 0.01}
)
_TAPT_BATCH = {"tapt": 36, "tapt_3gpu": 108}  # section 4.4
_DISTILLED = {  # method: is the teacher calibrated, are boundaries distilled
    "doktra": (True, True),
    "doktra_no_ctt": (False, True),
    "ctt_kld": (True, False),
    "kld": (False, False),
}


@dataclasses.dataclass(frozen=True)
class Line:
    """One method on one model: a row of a table, in Tables 3 to 5 a column.

    Attributes:
        title: As printed.
        method: Key as in the published results.
        model: Who is evaluated, by the paper's name.
        teacher: Who is distilled from.
        settings_of: Whose settings it is trained with, where it is no student that has its own.
        optional: Whether the table is made without it where the model is not given.
    """

    title: str
    method: str
    model: str
    teacher: str | None = None
    settings_of: str | None = None
    optional: bool = False


@dataclasses.dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables.

    Attributes:
        number: As printed.
        title: What it shows.
        layout: ``retention`` (methods down, tasks across, their average and what is retained of the teacher's),
            ``methods`` (tasks down, methods across), ``boundaries`` (so too, with L_AT) or ``ablation`` (one task,
            with the improvement over fine-tuning).
        tasks: In the order printed.
        lines: In the order printed.
        teacher: Whose knowledge is transferred.
    """

    number: int
    title: str
    layout: str
    tasks: tuple[str, ...]
    lines: tuple[Line, ...]
    teacher: str

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it cannot be made without."""
        needed = [self.teacher, *(line.model for line in self.lines if not line.optional)]
        return tuple(dict.fromkeys(needed))


_ALBERT, _ROBERTA, _ROBERTA_BASE = "albert_xlarge", "roberta_large", "roberta_base"
_BIOBERT, _FINBERT = "biobert", "finbert"


def _table_2_or_7(number: int, title: str, tasks: tuple[str, ...], teacher: Line, *students: str) -> PaperTable:
    lines = [teacher]
    for student in students:
        name = "ALBERT" if student == _ALBERT else "RoBERTa"
        lines.append(Line(f"{name}-ft (student)", "finetune", student))
        lines.append(Line(f"{name}-DoKTra", "doktra", student, teacher.model))
    return PaperTable(number, title, "retention", tasks, tuple(lines), teacher.model)


#: The tables by number.
TABLES: Mapping[int, PaperTable] = MappingProxyType(
    {
        table.number: table
        for table in (
            _table_2_or_7(
                2,
                "main results",
                ("chemprot", "gad@10", "ddi", "i2b2", "hoc"),
                Line("BioBERT-ft (teacher)", "finetune", _BIOBERT, settings_of=_ALBERT),
                _ALBERT,
                _ROBERTA,
            ),
            PaperTable(
                3,
                "against a student pretrained in the domain",
                "methods",
                ("chemprot", "gad@10", "ddi", "i2b2", "hoc"),
                (
                    Line("BioBERT-ft", "finetune", _BIOBERT, settings_of=_ROBERTA),
                    Line("RoBERTa-PM-ft", "finetune", "roberta_pm_large", settings_of=_ROBERTA, optional=True),
                    Line("RoBERTa-DoKTra", "doktra", _ROBERTA, _BIOBERT),
                ),
                _BIOBERT,
            ),
            PaperTable(
                4,
                "against task-adaptive pretraining",
                "methods",
                ("chemprot", "gad@1/10", "ddi", "i2b2", "hoc"),
                (
                    Line("RoBERTa-ft", "finetune", _ROBERTA),
                    Line("TAPT", "tapt", _ROBERTA),
                    Line("TAPT (3xGPU)", "tapt_3gpu", _ROBERTA),
                    Line("RoBERTa-DoKTra", "doktra", _ROBERTA, _BIOBERT),
                ),
                _BIOBERT,
            ),
            PaperTable(
                5,
                "without and with a calibrated teacher, ALBERT as student",
                "boundaries",
                ("chemprot", "gad@10", "ddi", "i2b2"),
                (
                    Line("DoKTra - CTT", "doktra_no_ctt", _ALBERT, _BIOBERT),
                    Line("DoKTra", "doktra", _ALBERT, _BIOBERT),
                ),
                _BIOBERT,
            ),
            PaperTable(
                6,
                "ablation on ChemProt",
                "ablation",
                ("chemprot",),
                (
                    Line("BioBERT-ft (teacher)", "finetune", _BIOBERT, settings_of=_ALBERT),
                    Line("ALBERT-ft (student)", "finetune", _ALBERT),
                    Line("+KLD", "kld", _ALBERT, _BIOBERT),
                    Line("+CTT+KLD", "ctt_kld", _ALBERT, _BIOBERT),
                    Line("+ABD", "doktra_no_ctt", _ALBERT, _BIOBERT),
                    Line("+CTT+ABD", "doktra", _ALBERT, _BIOBERT),
                    Line("ALBERT-ft+CPL", "ft_cpl", _ALBERT),
                ),
                _BIOBERT,
            ),
            _table_2_or_7(
                7,
                "financial domain",
                ("fpb", "fts"),
                Line("FinBERT-ft (teacher)", "finetune", _FINBERT, settings_of=_ALBERT),
                _ALBERT,
                _ROBERTA_BASE,
            ),
        )
    }
)


def get(number: int) -> PaperTable:
    """A table by its number.

    Raises:
        UserError: For one that holds no results.
    """
    if number not in TABLES:
        known = ", ".join(map(str, TABLES))
        raise UserError(f"Table {number} of the DoKTra paper holds no results; those that do are {known}")
    return TABLES[number]


def recipes(
    number: int,
    models: Mapping[str, Stage],
    seeds: Sequence[int],
    setting: Setting,
    choose: Choose,
    tasks: Sequence[str] | None = None,
    adaptation: Mapping[str, Any] = TAPT,
) -> list[Recipe]:
    """What a table takes, as recipes. Tables that have cells in common have those recipes, and so their rows, too.

    Args:
        number: Of the table, 2 to 7.
        models: Pretrained models by the paper's names (:attr:`PaperTable.models`); any others are not used.
        seeds: One recipe of each cell for each.
        setting: What all recipes have in common.
        choose: Hyperparameters by task and student; the paper's are :func:`search_spaces.doktra.published`.
        tasks: Only these of the table's; a task stands for its folds (``gad`` for ``gad@10``).
        adaptation: Settings of task-adaptive pretraining; batch and length are added unless they are among them.

    Raises:
        UserError: For an unknown table or task, a model that is not given, and a choice that does not exist.
    """
    table = get(number)
    missing = [model for model in table.models if model not in models]
    if missing:
        raise UserError(f"Table {number} needs the models {', '.join(table.models)}; not given: {', '.join(missing)}")
    return [
        recipe
        for task in chosen_tasks(table, tasks)
        for line in table.lines
        if line.model in models
        for recipe in _cell(table, line, task, models, seeds, setting, choose, adaptation)
    ]


def chosen_tasks(table: PaperTable, tasks: Sequence[str] | None) -> list[str]:
    """Some of a table's tasks, as the table has them and in its order; all unless any are given.

    Raises:
        UserError: For one that the table does not have.
    """
    names = {name: task for task in table.tasks for name in (task.partition(FOLD)[0], task)}
    for name in tasks or ():
        if name not in names:
            raise UserError(f"Table {table.number} has no task {name!r}{did_you_mean(name, table.tasks)}")
    wanted = {names[name] for name in tasks} if tasks else set(table.tasks)
    return [task for task in table.tasks if task in wanted]


def _cell(
    table: PaperTable,
    line: Line,
    task: str,
    models: Mapping[str, Stage],
    seeds: Sequence[int],
    setting: Setting,
    choose: Choose,
    adaptation: Mapping[str, Any],
) -> Iterator[Recipe]:
    student = line.settings_of or line.model
    chosen = choose(task, student)
    if chosen is None:
        raise UserError(f"Table {table.number}: no hyperparameters for {student} on {task}; choose them yourself")
    experiment = Experiment(task, (table.teacher, models[table.teacher]), (line.model, models[line.model]), setting)
    for seed in seeds:
        if line.method in _DISTILLED:
            calibrated, boundaries = _DISTILLED[line.method]
            yield experiment.distilled_recipe(chosen, seed, calibrated=calibrated, boundaries=boundaries)
        elif line.method in _TAPT_BATCH:
            sizes = {"batch_size": _TAPT_BATCH[line.method], "max_length": setting.max_length}
            yield experiment.tapt_recipe(chosen, seed, line.method, **{**sizes, **adaptation})
        elif line.method == "ft_cpl":
            recipe = experiment.student_recipe(chosen, seed, penalty=chosen["beta2"])
            yield dataclasses.replace(recipe, method=line.method)  # whatever the penalty is
        elif line.model == table.teacher:
            yield experiment.teacher_recipe(chosen, seed)
        else:
            yield experiment.student_recipe(chosen, seed)
