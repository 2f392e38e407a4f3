"""The benchmark that asks what new pieces do for a distilled model, and what that costs."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import vocabulary_expansion
from benchmarks.doktra_transfer import Run
from benchmarks.vocabulary_expansion import VARIANTS, Account
from orchestrator.vekd_recipes import DISTILLED, EXPANDED, FOUR_STEPS, PLAIN
from trainables.errors import UserError
from trainables.stages import FineTune, MaskedLanguageModel, MaskedLMDistillation, WordPieceVocabulary

TASKS, SEEDS = ("hoc", "bioasq"), (0, 1, 2)


def test_what_is_trained_is_what_its_name_says() -> None:
    chosen = vocabulary_expansion.WEIGHTS
    what = vocabulary_expansion.experiment()
    made = vocabulary_expansion.recipes(what, "hoc", 1, chosen)
    assert list(made) == list(VARIANTS)
    assert all(recipe.method == method and recipe.seed == 1 for method, recipe in made.items())
    teacher = what.teacher[1]
    starts: dict[str, Any] = {}
    for method, recipe in made.items():
        assert isinstance(recipe.stage, FineTune)
        starts[method] = recipe.stage.init
    assert starts[PLAIN] == teacher
    assert isinstance(starts[EXPANDED].corpus.tokenizer, WordPieceVocabulary)
    assert starts[DISTILLED].corpus.tokenizer == teacher
    assert starts[DISTILLED].tolerance == 0
    assert {starts[method].seed for method in (DISTILLED, EXPANDED, FOUR_STEPS)} == {1}
    for name in ("epochs", "batch_size", "learning_rate", "layers", "mlm_weight", "kl_weight", "mse_weight"):
        assert getattr(starts[EXPANDED], name) == getattr(starts[DISTILLED], name)


def test_four_steps_are_four_trainings_and_expansion_is_one() -> None:
    what = vocabulary_expansion.experiment()
    teacher = what.teacher[1]
    made = vocabulary_expansion.recipes(what, "hoc", 0, vocabulary_expansion.WEIGHTS)
    seconds = {one.key: 10.0 for recipe in made.values() for one in recipe.stage.walk()}
    costs = vocabulary_expansion.accounts(made.values(), teacher, seconds)
    assert {method: (one.trained, one.prepared) for method, one in costs.items()} == {
        DISTILLED: (1, 1),
        FOUR_STEPS: (4, 1),
        EXPANDED: (1, 2),
    }
    assert costs[FOUR_STEPS].seconds == {0: 50.0}
    steps = vocabulary_expansion.pretraining(made[FOUR_STEPS].stage, teacher)
    trained = [type(one) for one in steps if isinstance(one, MaskedLanguageModel | MaskedLMDistillation)]
    assert trained.count(MaskedLanguageModel) == trained.count(MaskedLMDistillation) == 2
    del seconds[steps[0].key]
    assert FOUR_STEPS not in vocabulary_expansion.accounts(made.values(), teacher, seconds)


def _scores(gain: float) -> dict[str, dict[Run, float]]:
    runs = [(task, seed) for task in TASKS for seed in SEEDS]
    found = {method: dict.fromkeys(runs, 60.0) for method in VARIANTS}
    found[EXPANDED] = {run: 60 + gain + 0.5 * (run[1] - 1) for run in runs}
    return found


COSTS = {
    EXPANDED: Account(1, 2, dict.fromkeys(SEEDS, 30.0)),
    FOUR_STEPS: Account(4, 1, {0: 110.0, 1: 120.0, 2: 130.0}),
}


def test_the_report_says_what_was_found_with_its_spread() -> None:
    text = vocabulary_expansion.report(_scores(8), COSTS)
    lines = [line.split() for line in text.splitlines()]
    assert ["VE-KD", *["68.0", "+-", "0.5"] * 3] in lines
    assert ["Adapt-and-Distill", "4", "1", "120.0", "+-", "10.0"] in lines
    assert "VE-KD is above distillation alone by 8.00 points +- 0.18" in text
    assert "better on 2 of 2 tasks, 6 runs" in text
    assert "  hoc: +8.00 +- 0.29, 3 seeds" in text
    assert "VE-KD trains 1 model where Adapt-and-Distill trains 4, in 25% of its seconds" in text


def test_the_report_says_so_where_nothing_is_gained() -> None:
    assert "VE-KD is below distillation alone by 3.00 points" in vocabulary_expansion.report(_scores(-3), COSTS)
    assert "within the noise, VE-KD is above Adapt-and-Distill by 0.00" in vocabulary_expansion.report(_scores(0), {})


def test_a_report_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="none of the runs is finished; run this without --report-only first"):
        vocabulary_expansion.report({}, {})
