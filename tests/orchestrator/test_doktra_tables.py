from __future__ import annotations

from collections import Counter

import pytest

from orchestrator import doktra_tables
from orchestrator.doktra import MINI_ADAPTATION
from orchestrator.doktra_recipes import Setting
from orchestrator.leaderboard.published import published
from search_spaces import doktra as spaces
from tests.leaderboard.synthetic import CHOSEN, keyed
from trainables.errors import UserError
from trainables.stages import CrossValidation, FineTune, MaskedLanguageModel, Pretrained

MODELS = {
    name: Pretrained(f"/nowhere/{name}")
    for name in ("biobert", "finbert", "albert_xlarge", "roberta_large", "roberta_base", "roberta_pm_large")
}
SETTING = Setting("nowhere", batch_size=50, max_length=128)


def made(number: int, **options):
    given = {"models": MODELS, "seeds": (0,), "setting": SETTING, "choose": spaces.published, **options}
    return [keyed(recipe) for recipe in doktra_tables.recipes(number, **given)]


def the(recipes, method: str, model: str, task: str):
    (found,) = [one for one in recipes if (one.method, one.model, one.task) == (method, model, task)]
    return found


@pytest.mark.parametrize("number", sorted(doktra_tables.TABLES))
def test_a_table_asks_for_every_cell_that_the_paper_prints(number):
    printed = published("doktra")
    metrics = {"f1", "micro_f1"}
    printed = printed[(printed["table"] == str(number)) & printed["metric"].isin(metrics)]
    printed = printed[printed["task"] != "average"]
    cells = zip(printed["method"], printed["model"], printed["teacher"].fillna(""), printed["task"], strict=True)
    asked = made(number, seeds=(0, 1, 2))
    labels = [(one.method, one.model, "+".join(one.teachers), one.task) for one in asked]
    assert Counter(labels) == dict.fromkeys(cells, 3)
    assert {one.seed for one in asked} == {0, 1, 2}


def test_main_table_has_the_published_settings():
    asked = made(2)
    stage = the(asked, "doktra", "albert_xlarge", "chemprot").stage  # Tables A1 and A2
    assert (stage.epochs, stage.learning_rate, stage.confidence_penalty, stage.switch_rate) == (10, 1e-5, 0.5, 0.9)
    assert (stage.student.epochs, stage.student.learning_rate, stage.student.confidence_penalty) == (10, 6e-6, 0.0)
    assert (stage.teacher.epochs, stage.teacher.learning_rate, stage.teacher.confidence_penalty) == (5, 2e-5, 0.3)
    assert (stage.batch_size, stage.max_length, stage.teacher.max_length) == (50, 128, 128)
    gad = the(asked, "doktra", "roberta_large", "gad@10").stage
    assert isinstance(gad, CrossValidation)
    assert {fold.teacher.confidence_penalty for fold in gad.folds} == {0.7}
    assert [fold.task for fold in gad.folds] == [f"gad@{number}/10" for number in range(1, 11)]


def test_the_teachers_row_is_the_teacher_that_is_distilled_from():
    asked = made(2)
    for student in ("albert_xlarge", "roberta_large"):
        assert the(asked, "doktra", student, "ddi").stage.teacher == the(asked, "finetune", "biobert", "ddi").stage
        assert the(asked, "doktra", student, "ddi").stage.student == the(asked, "finetune", student, "ddi").stage


def test_cells_that_tables_share_are_one_stage_and_one_row():
    tables = {number: {one.row_key("doktra") for one in made(number)} for number in doktra_tables.TABLES}
    assert len(tables[2] & tables[3]) == 10  # BioBERT-ft and RoBERTa-DoKTra
    assert len(tables[2] & tables[4]) == 8  # RoBERTa-ft and RoBERTa-DoKTra but on GAD, of one fold there
    assert len(tables[2] & tables[5]) == 4
    assert len(tables[2] & tables[6]) == 3
    assert not tables[2] & tables[7]


def test_the_ablation_leaves_out_one_thing_at_a_time():
    asked = {one.method: one.stage for one in made(6) if one.model == "albert_xlarge"}
    plain = asked["finetune"]
    assert {name: type(asked[name]).__name__ for name in ("kld", "ctt_kld", "doktra_no_ctt", "doktra")} == {
        "kld": "KLDistillation",
        "ctt_kld": "KLDistillation",
        "doktra_no_ctt": "ActivationBoundaryDistillation",
        "doktra": "ActivationBoundaryDistillation",
    }
    penalties = {name: asked[name].teacher.confidence_penalty for name in ("kld", "ctt_kld", "doktra_no_ctt", "doktra")}
    assert penalties == {"kld": 0.0, "ctt_kld": 0.3, "doktra_no_ctt": 0.0, "doktra": 0.3}
    assert all(asked[name].student == plain for name in penalties)
    assert (asked["ft_cpl"].confidence_penalty, plain.confidence_penalty) == (0.5, 0.0)
    assert isinstance(asked["ft_cpl"], FineTune)


def test_a_penalty_of_nothing_is_still_the_ablations_row():
    asked = made(6, choose=lambda task, student: {**CHOSEN, "beta2": 0.0})
    assert sum(one.method == "ft_cpl" for one in asked) == 1


def test_task_adaptive_pretraining_has_its_papers_settings_but_batch_and_length():
    asked = made(4)
    sizes = {}
    for method in ("tapt", "tapt_3gpu"):
        tuned = the(asked, method, "roberta_large", "gad@1/10").stage
        adapted = tuned.init
        assert isinstance(adapted, MaskedLanguageModel)
        assert (adapted.corpus, adapted.init, adapted.max_length) == ("task:gad@1/10", MODELS["roberta_large"], 128)
        assert (adapted.epochs, adapted.learning_rate) == (100, 1e-4)
        assert (adapted.warmup_ratio, adapted.weight_decay) == (0.06, 0.01)
        assert (tuned.epochs, tuned.learning_rate) == (5, 1e-5)
        sizes[method] = adapted.batch_size
    assert sizes == {"tapt": 36, "tapt_3gpu": 108}
    small = made(4, adaptation={"epochs": 2, "batch_size": 8, "max_length": 32}, tasks=["ddi"])
    adapted = the(small, "tapt", "roberta_large", "ddi").stage.init
    assert (adapted.epochs, adapted.batch_size, adapted.max_length) == (2, 8, 32)


def test_in_miniature_too_task_adaptive_pretraining_on_three_devices_has_the_batch_of_three():
    asked = made(4, adaptation=MINI_ADAPTATION)
    adapted = [the(asked, method, "roberta_large", "ddi").stage.init for method in ("tapt", "tapt_3gpu")]
    assert [one.batch_size for one in adapted] == [36, 108]
    assert {(one.epochs, one.learning_rate, one.max_length) for one in adapted} == {(5, 3e-3, 128)}  # as the setting's


def test_a_model_that_is_optional_may_be_left_out_and_no_other():
    without = {name: stage for name, stage in MODELS.items() if name != "roberta_pm_large"}
    assert {one.model for one in made(3, models=without)} == {"biobert", "roberta_large"}
    pm = the(made(3), "finetune", "roberta_pm_large", "ddi").stage
    assert (pm.epochs, pm.learning_rate) == (10, 1e-5)  # of RoBERTa-large
    del without["roberta_large"]
    with pytest.raises(UserError, match="needs the models biobert, roberta_large; not given: roberta_large"):
        made(3, models=without)


def test_some_tasks_only():
    assert {one.task for one in made(2, tasks=["gad", "hoc"])} == {"gad@10", "hoc"}
    assert {one.task for one in made(7, tasks=["fts"])} == {"fts"}
    with pytest.raises(UserError, match="Table 7 has no task 'fbp'; did you mean 'fpb'"):
        made(7, tasks=["fbp"])


def test_unknown_tables_and_missing_settings_are_refused():
    with pytest.raises(UserError, match="those that do are 2, 3, 4, 5, 6, 7"):
        made(1)
    with pytest.raises(UserError, match="no hyperparameters for albert_xlarge on chemprot"):
        made(2, choose=lambda task, student: None)
