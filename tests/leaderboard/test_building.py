from __future__ import annotations

import pytest

from orchestrator.leaderboard import rows
from orchestrator.recipe import Recipe, fold_recipes
from tests.leaderboard.synthetic import CHOSEN, experiment, keyed, result


def results_of(asked: Recipe, scores: dict[str, float], **measures: float) -> dict[str, dict]:
    """Results of all stages; the score of a stage's type on test, and further measures of the root and its folds."""
    found = {}
    for stage in filter(lambda stage: stage.stored, asked.stage.walk()):
        role = "teacher" if getattr(stage, "confidence_penalty", 0.0) == CHOSEN["beta1"] else type(stage).__name__
        one = result("micro_f1", scores.get(role, 0.0))
        one["metrics"]["test/ece"] = 0.04 if role == "teacher" else 0.08
        if role in ("ActivationBoundaryDistillation", "CrossValidation"):
            one["metrics"] |= measures
        one["fingerprints"] = {"data": f"data of {stage.task}"} if hasattr(stage, "task") else {}
        found[stage.key] = one
    return found


SCORES = {"teacher": 0.80, "FineTune": 0.60, "ActivationBoundaryDistillation": 0.76, "CrossValidation": 0.76}
MEASURES = {"test/l_at": 139.79, "test/l_at_boundary": 120.5, "dev/l_at": 141.0, "dev/ece": 0.09}


def test_a_distilled_row_has_its_teacher_and_its_student_before():
    asked = keyed(experiment("chemprot", train_limit=300).distilled_recipe(CHOSEN, 0, study="joint", trial=4))
    row = rows.build("search", asked, results_of(asked, SCORES, **MEASURES))
    assert (row["study"], row["trial"], row["teachers"], row["method"]) == ("joint", 4, ["biobert"], "doktra")
    assert (row["score"], row["teacher_score"], row["student_score"]) == (76.0, 80.0, 60.0)
    assert row["retention"] == pytest.approx(95.0)
    assert (row["ece"], row["dev_ece"], row["teacher_ece"]) == (8.0, 9.0, 4.0)
    assert (row["l_at"], row["l_at_boundary"], row["dev_l_at"]) == (139.79, 120.5, 141.0)
    own = ("epochs", "learning_rate", "confidence_penalty", "switch_rate", "margin", "projection", "boundary_scale")
    assert [row[name] for name in own] == [10, 1e-5, 0.5, 0.9, 1.0, "fixed", 1.0]
    of_both = ("epochs", "learning_rate", "batch_size", "max_length", "confidence_penalty", "train_limit")
    assert [row[f"teacher_{name}"] for name in of_both] == [5, 2e-5, 50, 128, 0.3, 300]
    assert [row[f"student_{name}"] for name in of_both] == [7, 6e-6, 50, 128, 0.0, 300]
    assert row["intermediate_epochs"] is None
    assert row["inherited_seconds"] == 6.0  # teacher, its outputs, student: 2 seconds each


def test_a_mean_over_folds_takes_scores_from_all_and_settings_from_the_first():
    asked = keyed(experiment("gad@10").distilled_recipe(CHOSEN, 0))
    results = results_of(asked, SCORES, **MEASURES)
    for number, fold in enumerate(asked.stage.folds):  # 0.71, 0.72, ... 0.80: mean 0.755
        results[fold.teacher.key]["metrics"]["test/micro_f1"] = 0.71 + 0.01 * number
    mean = results[asked.stage.key]
    del mean["facts"], mean["fingerprints"]
    row = rows.build("x", asked, results)
    assert row["task"] == "gad@10"
    assert row["teacher_score"] == pytest.approx(75.5)
    assert (row["student_score"], row["metric"]) == (pytest.approx(60.0), "micro_f1")
    assert row["retention"] == pytest.approx(100 * 76 / 75.5)
    assert (row["switch_rate"], row["teacher_confidence_penalty"], row["student_epochs"]) == (0.9, 0.3, 7)
    assert (row["parameters"], row["precision"]) == (1000, "float32")
    assert len(row["data"]) == 12
    results[asked.stage.folds[3].key]["fingerprints"] = {"data": "corrected"}
    assert rows.build("x", asked, results)["data"] != row["data"]
    del results[asked.stage.folds[3].teacher.key]
    assert rows.build("x", asked, results)["teacher_score"] is None  # a mean over nine of ten is another number


def test_a_folds_row_is_scored_by_the_tasks_metric():
    asked = keyed(experiment("gad@10").distilled_recipe(CHOSEN, 0))
    results = results_of(asked, SCORES, **MEASURES)
    row = rows.build("x", fold_recipes(asked)[2], results)
    assert (row["task"], row["metric"], row["score"], row["teacher_score"]) == ("gad@3/10", "micro_f1", 76.0, 80.0)
    assert row["data"] == "data of gad@"


def test_a_teachers_row_has_its_penalty_and_no_retention():
    asked = keyed(experiment("chemprot").teacher_recipe(CHOSEN, 0))
    row = rows.build("x", asked, results_of(asked, SCORES))
    assert (row["confidence_penalty"], row["score"], row["ece"]) == (0.3, 80.0, 4.0)
    assert row["teacher_score"] is row["retention"] is row["switch_rate"] is row["teacher_epochs"] is None


@pytest.mark.parametrize("status", ["failed", "blocked", "pruned"])
def test_without_a_score_there_is_no_teachers_either_but_all_settings(status):
    asked = keyed(experiment("chemprot").distilled_recipe(CHOSEN, 0, study="s", trial=1))
    results = results_of(asked, SCORES)
    del results[asked.stage.key]
    row = rows.build("x", asked, results, status, "stopped after epoch 2")
    assert row["score"] is row["teacher_score"] is row["inherited_seconds"] is None
    assert (row["status"], row["trial"], row["switch_rate"], row["teacher_epochs"]) == (status, 1, 0.9, 5)
    assert row == rows.build("x", asked, {}, status, "stopped after epoch 2")
