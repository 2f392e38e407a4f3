"""The VE-KD paper's Tables 1 to 4 and 6 to 9 as recipes: which methods, on which models and tasks.

Where the paper leaves something open, this is what the recipes do (see :mod:`orchestrator.vekd_recipes`, too):

* "VE-KD" is the vocabulary size and the tolerance that sections 5.2 and 5.3 found best. Table 1 does not say so.
* VE-KD after 3 h, 6 h and 9 h (Table 3) is trained for a third, two thirds and all of the epochs, each with a schedule
  of its own. The paper does not say whether they are checkpoints of one run; its 9 h row is not Table 1's.
* Students of another width than the teacher's have twelve heads, as the paper's model of 768 has; it names none.
* The two vocabularies of Table 4 are 40,000 and 60,000 pieces.
* The student of T5-small has three layers, the first, the last and one between them; see
  :mod:`orchestrator.vekd_generative` for Tables 8 and 9.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from orchestrator.recipe import Recipe
from orchestrator.vekd_generative import GenerativeExperiment
from orchestrator.vekd_recipes import (
    ADAPTED,
    DISTILLED,
    DISTILLED_ADAPTED,
    EXPANDED,
    EXPANDED_ADAPTED,
    FOUR_STEPS,
    OF_STUDENTS,
    PLAIN,
    Experiment,
    Parameters,
    Setting,
    Student,
)
from trainables.errors import UserError, did_you_mean
from trainables.expression import Stage

#: The paper's twelve tasks, in the order of its tables.
TASKS = (
    "bc5chem",
    "bc5disease",
    "ncbi_disease",
    "bc2gm",
    "jnlpba",
    "ebm_pico",
    "chemprot",
    "ddi",
    "gad",
    "hoc",
    "pubmedqa",
    "bioasq",
)
#: What plain distillation of generative models is called in the published results.
_DISTILLATION = "distillation"


@dataclasses.dataclass(frozen=True)
class Line:
    """One method on one model: a column of Tables 1, 2, 6 and 7, a row of 3 and 4.

    Attributes:
        title: As printed.
        method: Key as in the published results.
        model: Who is evaluated, by the paper's name.
        teacher: Who is distilled from.
        hidden_size: The student's width where it is not its teacher's.
        vocabulary_size: Of the student, where it is not the one that is chosen.
        part: Share of the epochs of distillation.
        recipe: How it is made, one of :data:`orchestrator.vekd_recipes.METHODS`, where that is not ``method``.
    """

    title: str
    method: str
    model: str
    teacher: str | None = None
    hidden_size: int | None = None
    vocabulary_size: int | None = None
    part: float = 1.0
    recipe: str | None = None

    @property
    def made_by(self) -> str:
        """One of :data:`orchestrator.vekd_recipes.METHODS`."""
        return self.recipe or self.method

    @property
    def starts_from(self) -> str:
        """The downloaded model that it cannot be made without."""
        return self.teacher or self.model


@dataclasses.dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables, or one like them.

    Attributes:
        number: As printed; None for one that the paper does not have.
        title: What it shows.
        layout: ``methods`` (tasks down, methods across, then both averages), ``time`` (methods down: hours, scores) or
            ``speed`` (methods down: parameters, speed-up).
        tasks: In the order printed.
        lines: In the order printed.
        like: The table whose printed numbers stand beside ours.
        generative: Whether its models generate text (appendix E).
    """

    number: int | None
    title: str
    layout: str
    tasks: tuple[str, ...]
    lines: tuple[Line, ...]
    like: int | None = None
    generative: bool = False

    @property
    def models(self) -> tuple[str, ...]:
        """The downloaded models that it is made of."""
        return tuple(dict.fromkeys(line.starts_from for line in self.lines))

    @property
    def printed(self) -> int | None:
        """The table whose printed numbers stand beside ours."""
        return self.number if self.like is None else self.like


_BERT, _LARGE = "bert_base", "bert_large"
_768, _384 = "student_l6h768", "student_l6h384"
_HEADS = 12
_BASELINE = Line("BERT-base", PLAIN, _BERT)


def _generative(number: int, title: str, teacher: str, student: str) -> PaperTable:
    lines = (
        Line(title, PLAIN, teacher),
        Line(f"{title} distillation", _DISTILLATION, student, teacher, recipe=DISTILLED),
        Line(f"{title} VE-KD", EXPANDED, student, teacher),
    )
    return PaperTable(number, f"{title} and its students", "methods", TASKS, lines, generative=True)


def _small(title: str, model: str) -> tuple[Line, Line]:
    return Line(f"{title} o", PLAIN, model), Line(f"{title} w", ADAPTED, model)


#: The tables by number.
TABLES: Mapping[int, PaperTable] = MappingProxyType(
    {
        1: PaperTable(
            1,
            "distilled on the same corpus",
            "methods",
            TASKS,
            (
                _BASELINE,
                Line("BERT-base_DA", ADAPTED, _BERT),
                Line("DistilBERT PubMed", DISTILLED, _768, _BERT),
                Line("Adapt-and-Distill", FOUR_STEPS, _768, _BERT),
                Line("VE-KD", EXPANDED, _768, _BERT),
            ),
        ),
        2: PaperTable(
            2,
            "small models without (o) and with (w) domain adaptation",
            "methods",
            TASKS,
            (
                *_small("BERT L6H768", "bert_l6h768"),
                *_small("TinyBERT", "tinybert"),
                *_small("MiniLMv2", "minilmv2"),
                *_small("DistilBERT wiki", "distilbert_wiki"),
                Line("DistilBERT PubMed o", DISTILLED, _768, _BERT),
                Line("DistilBERT PubMed w", DISTILLED_ADAPTED, _768, _BERT),
                Line("VE-KD", EXPANDED, _768, _BERT),
            ),
        ),
        3: PaperTable(
            3,
            "training time",
            "time",
            ("hoc", "pubmedqa"),
            (
                Line("VE-KD 3 h", "vekd_3h", _768, _BERT, part=1 / 3, recipe=EXPANDED),
                Line("VE-KD 6 h", "vekd_6h", _768, _BERT, part=2 / 3, recipe=EXPANDED),
                Line("VE-KD 9 h", "vekd_9h", _768, _BERT, recipe=EXPANDED),
                Line("DistilBERT", DISTILLED, _768, _BERT),
                Line("DistilBERT_DA", DISTILLED_ADAPTED, _768, _BERT),
                Line("BERT_DA", ADAPTED, _BERT),
                Line("Adapt-and-Distill", FOUR_STEPS, _768, _BERT),
                Line("BERT", PLAIN, _BERT),
                Line("BioBERT", PLAIN, "biobert"),
                Line("PubMedBERT", PLAIN, "pubmedbert"),
            ),
        ),
        4: PaperTable(
            4,
            "parameters and inference speed",
            "speed",
            ("ebm_pico",),
            (
                Line("BERT", PLAIN, _BERT),
                Line("DistilBERT", DISTILLED, _768, _BERT),
                Line("VE-KD 40k", "vekd_40k", _768, _BERT, vocabulary_size=40_000, recipe=EXPANDED),
                Line("VE-KD 60k", "vekd_60k", _768, _BERT, vocabulary_size=60_000, recipe=EXPANDED),
            ),
        ),
        6: PaperTable(
            6,
            "distilled from BERT-large",
            "methods",
            TASKS,
            (
                Line("BERT-large", PLAIN, _LARGE),
                Line("DistilBERT 768", DISTILLED, _768, _LARGE, hidden_size=768),
                Line("VE-KD 768", EXPANDED, _768, _LARGE, hidden_size=768),
                Line("VE-KD 384", EXPANDED, _384, _LARGE, hidden_size=384),
            ),
        ),
        7: PaperTable(
            7,
            "students of half the width",
            "methods",
            TASKS,
            (
                _BASELINE,
                Line("DistilBERT", DISTILLED, _384, _BERT, hidden_size=384),
                Line("VE-KD", EXPANDED, _384, _BERT, hidden_size=384),
                Line("VE-KD_DA", EXPANDED_ADAPTED, _384, _BERT, hidden_size=384),
                Line("Adapt-and-Distill", FOUR_STEPS, _384, _BERT, hidden_size=384),
            ),
        ),
        8: _generative(8, "GPT2", "gpt2", "gpt2_student"),
        9: _generative(9, "T5", "t5_small", "t5_student"),
    }
)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What the paper's sizes are where other models stand in for its own.

    Attributes:
        layers: The teacher's that students begin with.
        others: The same of certain teachers, by name.
        widths: By the paper's width; one that is missing stays what it is.
        vocabulary: By the paper's vocabulary size.
        heads: Of students whose width is not the teacher's.
    """

    layers: tuple[int, ...] = Student().layers
    others: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=lambda: {"t5_small": (0, 2, 5)})
    widths: Mapping[int, int] = dataclasses.field(default_factory=dict)
    vocabulary: Mapping[int, int] = dataclasses.field(default_factory=dict)
    heads: int = _HEADS


def get(number: int) -> PaperTable:
    """A table by its number.

    Raises:
        UserError: For one that holds no results.
    """
    if number not in TABLES:
        known = ", ".join(map(str, TABLES))
        raise UserError(f"Table {number} of the VE-KD paper holds no results; those that do are {known}")
    return TABLES[number]


def chosen_tasks(table: PaperTable, tasks: Sequence[str] | None) -> tuple[str, ...]:
    """Some of a table's tasks in its order; all unless any are given.

    Raises:
        UserError: For one that the table does not have.
    """
    for name in tasks or ():
        if name not in table.tasks:
            raise UserError(f"Table {table.number} has no task {name!r}{did_you_mean(name, table.tasks)}")
    return tuple(task for task in table.tasks if not tasks or task in tasks)


def recipes(
    table: PaperTable,
    models: Mapping[str, Stage],
    seeds: Sequence[int],
    setting: Setting,
    chosen: Parameters,
    tasks: Sequence[str] | None = None,
    sizes: Sizes | None = None,
) -> list[Recipe]:
    """What a table takes, as recipes. Tables that have cells in common have those recipes, and so their rows, too.

    Args:
        table: The table.
        models: Downloaded models by the paper's names (:attr:`PaperTable.models`); lines without theirs are left out.
        seeds: One recipe of each cell for each.
        setting: What all recipes have in common.
        chosen: All hyperparameters.
        tasks: Only these of the table's.
        sizes: What layers, widths and vocabularies are; the paper's unless given.

    Raises:
        UserError: For an unknown task, and where no model is given.
    """
    lines = [line for line in table.lines if line.starts_from in models]
    if not lines:
        raise UserError(f"Table {table.number} is made of the models {', '.join(table.models)}; none of them is given")
    return [
        recipe
        for task in chosen_tasks(table, tasks)
        for line in lines
        for recipe in _cell(table, line, task, models, seeds, setting, chosen, sizes or Sizes())
    ]


def _cell(
    table: PaperTable,
    line: Line,
    task: str,
    models: Mapping[str, Stage],
    seeds: Sequence[int],
    setting: Setting,
    chosen: Parameters,
    sizes: Sizes,
) -> Iterator[Recipe]:
    name = line.starts_from
    labels: dict[str, Any] = {"method": line.method, "model": line.model}
    if line.vocabulary_size is not None:
        size = sizes.vocabulary.get(line.vocabulary_size, line.vocabulary_size)
        chosen = {**chosen, "vocabulary_size": size}
    made = GenerativeExperiment if table.generative else Experiment
    experiment = made((name, models[name]), student(line, sizes), _shortened(setting, line.part))
    for seed in seeds:
        if table.layout == "speed":
            yield experiment.speed(line.made_by, task, chosen, seed, **labels)
        else:
            yield experiment.recipe(line.made_by, task, chosen, seed, **labels)


def student(line: Line, sizes: Sizes) -> Student:
    """The student of a line."""
    layers = sizes.others.get(line.starts_from, sizes.layers)
    if line.made_by not in OF_STUDENTS or line.hidden_size is None:
        return Student(line.model, layers)
    return Student(line.model, layers, sizes.widths.get(line.hidden_size, line.hidden_size), sizes.heads)


def _shortened(setting: Setting, part: float) -> Setting:
    """The same with some of the epochs of distillation, at least one."""
    if part == 1:
        return setting
    epochs = max(1, round(part * setting.distilling["epochs"]))
    return dataclasses.replace(setting, distilling={**setting.distilling, "epochs": epochs})


def compared(teacher: str, student: str, methods: Sequence[str], tasks: Sequence[str]) -> PaperTable:
    """A table like the paper's first of chosen methods on chosen tasks, of any teacher and student.

    The paper's numbers stand beside ours where teacher, student and method are its own.
    """
    titles = {
        PLAIN: teacher,
        ADAPTED: f"{teacher}_DA",
        DISTILLED: "DistilBERT",
        DISTILLED_ADAPTED: "DistilBERT_DA",
        EXPANDED: "VE-KD",
        EXPANDED_ADAPTED: "VE-KD_DA",
        FOUR_STEPS: "Adapt-and-Distill",
    }
    lines = tuple(
        Line(titles[method], method, student, teacher)
        if method in OF_STUDENTS
        else Line(titles[method], method, teacher)
        for method in methods
    )
    return PaperTable(None, f"{teacher} into {student}", "methods", tuple(tasks), lines, like=1)
