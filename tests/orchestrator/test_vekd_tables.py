"""The paper's tables as recipes, against the lines that it prints."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

import orchestrator.leaderboard
from orchestrator import vekd_figures, vekd_tables
from orchestrator.leaderboard.published import published
from orchestrator.vekd import DEFAULTS
from orchestrator.vekd_generative import GenerativeExperiment
from orchestrator.vekd_recipes import Student
from orchestrator.vekd_tables import TASKS, Sizes
from search_spaces import vekd as spaces
from tests.orchestrator.test_vekd_recipes import TEACHER, experiment
from trainables.data import tasks
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.stages import (
    AddedWords,
    FineTune,
    GenerativeLMDistillation,
    MaskedLanguageModel,
    MaskedLMDistillation,
    Pretrained,
)

CHOSEN = spaces.defaults("mini")
SIZES: Sizes = DEFAULTS["mini"]["sizes"]


def models(number: int) -> dict[str, Stage]:
    return dict.fromkeys(vekd_tables.get(number).models, TEACHER)


def recipes(number: int, **options: Any) -> list[Any]:
    arguments: dict[str, Any] = {"seeds": (0,), "setting": experiment().setting, "chosen": CHOSEN, "sizes": SIZES}
    return vekd_tables.recipes(vekd_tables.get(number), models(number), **{**arguments, **options})


@pytest.mark.parametrize("number", sorted(vekd_tables.TABLES))
def test_lines_are_the_papers(number: int) -> None:
    rows = published("vekd")
    rows = rows[rows["table"] == str(number)]
    printed = dict.fromkeys(zip(rows["method"], rows["model"], rows["teacher"].fillna(""), strict=True))
    table = vekd_tables.get(number)
    assert {(line.method, line.model, line.teacher or "") for line in table.lines} == set(printed)
    assert len(table.lines) == len(printed)
    printed_tasks = [task for task in dict.fromkeys(rows["task"].dropna()) if task in tasks.TASKS]
    assert set(printed_tasks) == set(table.tasks)


@pytest.mark.parametrize("number", sorted(vekd_tables.TABLES))
def test_a_recipe_for_each_cell_and_seed(number: int) -> None:
    table = vekd_tables.get(number)
    made = recipes(number, seeds=(0, 1))
    assert len(made) == 2 * len(table.tasks) * len(table.lines)
    labels = {(recipe.method, recipe.model, recipe.teachers, recipe.task, recipe.seed) for recipe in made}
    assert len(labels) == len(made), "a row for each"


def test_settings_are_those_of_the_published_table() -> None:
    with (Path(orchestrator.leaderboard.__file__).parent / "published" / "hyperparameters.csv").open() as file:
        printed = {
            (row["stage"], row["name"]): row["value"]
            for row in csv.DictReader(file)
            if row["paper"] == "vekd" and row["table"] == "B"
        }
    preset = DEFAULTS["paper"]
    for name in ("epochs", "batch_size", "learning_rate"):
        assert preset["distilling"][name] == float(printed["distillation", name])
    for name in ("steps", "batch_size", "learning_rate"):
        assert preset["adapting"][name] == float(printed["domain_adaptation", name])
    made = experiment(distilling={})
    for stage in (made.distilled(CHOSEN, 0), MaskedLanguageModel("mini:domain", TEACHER)):
        assert stage.warmup_ratio == float(printed["distillation", "warmup_ratio"])
    assert preset["min_words"] == 128
    assert preset["student"].layers == (0, 2, 4, 7, 9, 11)


def test_tables_share_the_cells_that_they_have_in_common() -> None:
    first = {recipe.row_key("sweep") for recipe in recipes(1)}
    second = {recipe.row_key("sweep") for recipe in recipes(2)}
    third = {recipe.row_key("sweep") for recipe in recipes(3)}
    assert len(first & second) == 24, "DistilBERT and VE-KD on twelve tasks"
    assert len(first & third) == 8, "four methods on two tasks"


def test_students_of_tables_6_and_7_have_the_printed_widths_and_random_weights() -> None:
    large = {"chosen": CHOSEN, "sizes": Sizes((0, 1)), "tasks": ["hoc"]}
    widths = [
        recipe.stage.init.hidden_size
        for recipe in recipes(6, **large)
        if isinstance(recipe.stage.init, MaskedLMDistillation)
    ]
    assert widths == [768, 768, 384]
    last = recipes(7, **large)[-1].stage.init
    assert isinstance(last, MaskedLMDistillation)
    assert last.hidden_size is None, "the adapted student has it already"
    assert isinstance(last.init, MaskedLanguageModel)
    assert isinstance(last.init.init, MaskedLMDistillation)
    assert (last.init.init.hidden_size, last.init.init.heads) == (384, 12)


def test_table_3_is_of_a_third_two_thirds_and_all_epochs() -> None:
    setting = experiment(distilling={"epochs": 5}).setting
    made = recipes(3, setting=setting, tasks=["hoc"])
    epochs = {recipe.method: recipe.stage.init.epochs for recipe in made if recipe.method.startswith("vekd")}
    assert epochs == {"vekd_3h": 2, "vekd_6h": 3, "vekd_9h": 5}


def test_table_4_has_two_vocabularies_and_measures_every_line() -> None:
    made = recipes(4, sizes=Sizes((0, 1)))
    sizes = {
        recipe.method: recipe.stage.model.init.corpus.tokenizer.size
        for recipe in made
        if recipe.method.startswith("vekd")
    }
    assert sizes == {"vekd_40k": 40_000, "vekd_60k": 60_000}
    assert len({recipe.stage.baseline.key for recipe in made}) == 1


@pytest.mark.parametrize(("number", "layers"), [(8, (0, 2, 4, 7, 9, 11)), (9, (0, 2, 5))])
def test_tables_8_and_9_are_of_generative_models(number: int, layers: tuple[int, ...]) -> None:
    given = {name: Pretrained(f"owner/{name}") for name in vekd_tables.get(number).models}
    setting = experiment(distilling={"epochs": 2, "replacement": "bert"}).setting
    made = vekd_tables.recipes(vekd_tables.get(number), given, (0,), setting, CHOSEN, ["hoc"])
    teacher, plain, expanded = (recipe.stage.init for recipe in made)
    assert teacher == next(iter(given.values()))
    for student in (plain, expanded):
        assert isinstance(student, GenerativeLMDistillation)
        assert (student.teacher, student.layers, student.epochs) == (teacher, layers, 2)
        assert student.lm_weight == CHOSEN["mlm_weight"]
    assert (plain.corpus.tokenizer, plain.tolerance) == (teacher, 0)
    assert isinstance(expanded.corpus.tokenizer, AddedWords)
    assert expanded.corpus.tokenizer.size == CHOSEN["vocabulary_size"]
    assert expanded.tolerance == CHOSEN["tolerance"]
    with pytest.raises(UserError, match="appendix E adapts none to a domain"):
        GenerativeExperiment(("gpt2", teacher), Student(), setting).pretrained("domain_adaptation", CHOSEN, 0)


def test_what_the_paper_does_not_have_is_refused() -> None:
    with pytest.raises(UserError, match=r"Table 5 .*holds no results; those that do are 1, 2, 3, 4, 6, 7, 8, 9"):
        vekd_tables.get(5)
    with pytest.raises(UserError, match=r"Table 3 has no task 'hocc'.*hoc"):
        recipes(3, tasks=["hocc"])
    with pytest.raises(UserError, match="Table 6 is made of the models bert_large; none of them is given"):
        vekd_tables.recipes(vekd_tables.get(6), {"bert_base": TEACHER}, (0,), experiment().setting, CHOSEN)
    with pytest.raises(UserError, match=r"Figure 1 .*shows no results; those that do are 2, 3, 4"):
        vekd_figures.get(1)
    with pytest.raises(UserError, match=r"Figure 2 is of .*names none of them"):
        vekd_figures.get(2, tasks=["fpb"])


def test_lines_without_their_model_are_left_out() -> None:
    table = vekd_tables.get(3)
    made = vekd_tables.recipes(table, {"biobert": TEACHER}, (0,), experiment().setting, CHOSEN, sizes=SIZES)
    assert {(recipe.model, recipe.task) for recipe in made} == {("biobert", "hoc"), ("biobert", "pubmedqa")}


@pytest.mark.parametrize(
    ("number", "pretrainings"),
    [
        (2, 12),  # six vocabularies with and without tolerance
        (3, 5),
        (4, 15),
    ],
)
def test_a_figure_takes_one_pretraining_per_point(number: int, pretrainings: int) -> None:
    figure = vekd_figures.get(number)
    assert figure.tasks == TASKS
    chosen = {**CHOSEN, "vocabulary_size": 60_000, "tolerance": 0.5}
    made = vekd_figures.recipes(figure, experiment(), chosen, (0,))
    starts = {recipe.stage.init.key for recipe in made if isinstance(recipe.stage, FineTune)}
    assert len(starts) == pretrainings
    assert len(made) == 12 * pretrainings


def test_figure_2_needs_a_tolerance_to_compare_with() -> None:
    with pytest.raises(UserError, match="--tolerance=0 must be above 0"):
        vekd_figures.recipes(vekd_figures.get(2), experiment(), {**CHOSEN, "tolerance": 0.0}, (0,))
