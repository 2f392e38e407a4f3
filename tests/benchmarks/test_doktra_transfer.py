"""The benchmark that asks what a calibrated domain teacher does for the general student."""

from __future__ import annotations

import math
from typing import Any

import pytest

from benchmarks import doktra_transfer
from benchmarks.doktra_transfer import COMPARISONS, MEASURES, VARIANTS, Run
from search_spaces import doktra as spaces
from trainables.errors import UserError
from trainables.stages import FineTune

TASKS, SEEDS = ("ddi", "gad"), (0, 1, 2)


def _found(gain: float, ece: float = 8.0, l_at: float = 20.0) -> dict[str, dict[str, dict[Run, float]]]:
    """Everything at 60, CTT + ABD a gain above it, a little more with every seed; the plain teacher at ECE 10."""
    runs = [(task, seed) for task in TASKS for seed in SEEDS]
    score = {variant: dict.fromkeys(runs, 60.0) for variant in VARIANTS}
    score["ctt_abd"] = {run: 60 + gain + 0.1 * (run[1] - 1) for run in runs}
    return {
        "score": score,
        "ece": {"teacher": dict.fromkeys(runs, 10.0), "ctt": dict.fromkeys(runs, ece)},
        "l_at": {"abd": dict.fromkeys(runs, 22.0), "ctt_abd": dict.fromkeys(runs, l_at)},
    }


def test_what_is_trained_is_what_its_name_says() -> None:
    chosen = spaces.defaults("mini")
    made = doktra_transfer.recipes("ddi", 1, chosen)
    assert list(made) == list(VARIANTS)
    assert len({recipe.stage.key for recipe in made.values()}) == len(VARIANTS)
    stages: dict[str, Any] = {name: recipe.stage for name, recipe in made.items()}
    assert stages["teacher"].confidence_penalty == 0
    assert stages["ctt"].confidence_penalty == chosen["beta1"] > 0
    assert stages["longer"].epochs == chosen["student_epochs"] + chosen["epochs"]
    assert stages["penalty"].confidence_penalty == chosen["beta2"] > 0
    for plain in ("kld", "abd"):
        assert stages[plain].teacher == stages["teacher"]
        assert stages[f"ctt_{plain}"].teacher == stages["ctt"]
    for distilled in ("kld", "ctt_kld", "abd", "ctt_abd"):
        assert stages[distilled].student == stages["student"]
        assert stages[distilled].epochs == chosen["epochs"]
    assert {type(stages[name]) for name in ("teacher", "ctt", "student", "longer", "penalty")} == {FineTune}


def test_rows_are_told_apart_by_their_keys() -> None:
    row: dict[str, Any] = {"status": "finished", "score": 50.0, "ece": 3.0, "l_at": None}
    rows = [
        {**row, "row_key": "a"},
        {**row, "row_key": "b", "score": 70.0, "ece": None, "l_at": 12.0},
        {**row, "row_key": "c", "status": "failed", "score": None},
        {**row, "row_key": "of another sweep"},
    ]
    wanted = {"a": ("teacher", ("ddi", 0)), "b": ("ctt_abd", ("ddi", 0)), "c": ("ctt", ("ddi", 0))}
    assert doktra_transfer.measured(rows, wanted) == {
        "score": {"teacher": {("ddi", 0): 50.0}, "ctt_abd": {("ddi", 0): 70.0}},
        "ece": {"teacher": {("ddi", 0): 3.0}},
        "l_at": {"ctt_abd": {("ddi", 0): 12.0}},
    }


def test_differences_are_paired_and_their_errors_are_those_of_a_hand() -> None:
    # Differences 1, 3 (ddi) and -1, 1 (gad): mean 1, variance (0 + 4 + 4 + 0) / 3, and residual sums 2 and -2 by task.
    above = {("ddi", 0): 11.0, ("ddi", 1): 13.0, ("gad", 0): 9.0, ("gad", 1): 11.0, ("hoc", 0): 99.0}
    below = {("ddi", 0): 10.0, ("ddi", 1): 10.0, ("gad", 0): 10.0, ("gad", 1): 10.0}
    found = doktra_transfer.difference(above, below)
    assert found is not None
    assert (found.mean, found.tasks, found.positive, found.runs) == (1, 2, 1, 4)
    assert found.error == pytest.approx(math.sqrt(8 / 3 / 4))
    assert found.clustered == pytest.approx(math.sqrt((4 + 4) * 2) / 4)
    assert not found.clear
    assert doktra_transfer.difference(above, {}) is None


def test_a_single_run_is_never_clear() -> None:
    found = doktra_transfer.difference({("ddi", 0): 90.0}, {("ddi", 0): 10.0})
    assert found is not None
    assert math.isnan(found.error)
    assert not found.clear


def test_a_gain_is_told_as_a_gain() -> None:
    text = doktra_transfer.report(_found(gain=5))
    assert "the calibrated teacher lifts the student over its own fine-tuning by 5.00" in text
    assert "calibration lowers the teacher's ECE by 2.00 +- 0.00 points (+- 0.00 clustered by task), on 2 of 2" in text
    assert "calibration lowers the student's L_AT by 2.00 +- 0.00 units" in text
    assert "65.0 +- 0.1" in text


def test_a_loss_is_told_as_a_loss() -> None:
    text = doktra_transfer.report(_found(gain=-5, ece=12, l_at=24))
    assert "the calibrated teacher sets the student back over its own fine-tuning by 5.00" in text
    assert "lifts the student over its own fine-tuning by 5" not in text
    assert "calibration raises the teacher's ECE by 2.00" in text
    assert "calibration raises the student's L_AT by 2.00" in text


def test_what_the_noise_hides_is_called_noise() -> None:
    lines = doktra_transfer.report(_found(gain=0.05)).splitlines()
    (line,) = [line for line in lines if "over its own fine-tuning by 0.05" in line]
    assert line.startswith("within the noise, the calibrated teacher lifts")


def test_every_comparison_is_of_known_variants_and_measures() -> None:
    for one in COMPARISONS:
        assert {one.above, one.below} <= set(VARIANTS)
        assert one.measure in MEASURES


def test_nothing_finished_is_refused() -> None:
    with pytest.raises(UserError, match="none of the runs is finished"):
        doktra_transfer.report({measure: {} for measure in MEASURES})
