"""VE-KD's expressions: what each method is made of, and what methods share."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest

from orchestrator.vekd_recipes import (
    ADAPTED,
    DISTILLED,
    DISTILLED_ADAPTED,
    EXPANDED,
    EXPANDED_ADAPTED,
    FOUR_STEPS,
    METHODS,
    PLAIN,
    Experiment,
    Setting,
    Student,
    Text,
)
from search_spaces import vekd as spaces
from trainables.expression import Stage
from trainables.stages import (
    FineTune,
    InferenceSpeed,
    MaskedLanguageModel,
    MaskedLMDistillation,
    RandomInit,
    TokenizedCorpus,
    WordPieceVocabulary,
)

TEACHER = RandomInit("mini:general", vocabulary_size=400, hidden_size=16, layers=2, heads=2, intermediate_size=32)
CHOSEN = {**spaces.defaults("mini"), "vocabulary_size": 900, "tolerance": 0.25}


def experiment(student: Student | None = None, **setting: Any) -> Experiment:
    fields: dict[str, Any] = {"distilling": {"epochs": 2}, "adapting": {"steps": 8}, **setting}
    made = Setting(Text("mini:domain", max_length=32), {"data": "mini", "epochs": 1}, **fields)
    return Experiment(("teacher", TEACHER), student or Student("student", (0, 1)), made)


def kinds(stage: Stage) -> Counter[str]:
    return Counter(type(one).__name__ for one in stage.walk() if one.key != TEACHER.key)


@pytest.mark.parametrize(
    ("method", "made_of"),
    [
        (PLAIN, {}),
        (ADAPTED, {"TokenizedCorpus": 1, "MaskedLanguageModel": 1}),
        (DISTILLED, {"TokenizedCorpus": 1, "MaskedLMDistillation": 1}),
        (DISTILLED_ADAPTED, {"TokenizedCorpus": 1, "MaskedLMDistillation": 1, "MaskedLanguageModel": 1}),
        (EXPANDED, {"WordPieceVocabulary": 1, "TokenizedCorpus": 1, "MaskedLMDistillation": 1}),
        (
            EXPANDED_ADAPTED,
            {"WordPieceVocabulary": 1, "TokenizedCorpus": 1, "MaskedLMDistillation": 1, "MaskedLanguageModel": 1},
        ),
        (FOUR_STEPS, {"TokenizedCorpus": 1, "MaskedLMDistillation": 2, "MaskedLanguageModel": 2}),
    ],
)
def test_what_each_method_trains(method: str, made_of: dict[str, int]) -> None:
    recipe = experiment().recipe(method, "hoc", CHOSEN, 3)

    assert kinds(recipe.stage) == {**made_of, "FineTune": 1}
    assert (recipe.method, recipe.task, recipe.seed) == (method, "hoc", 3)
    distilled = "MaskedLMDistillation" in made_of
    assert (recipe.model, recipe.teachers) == (("student", ("teacher",)) if distilled else ("teacher", ()))


def test_every_method_is_known() -> None:
    assert len({experiment().pretrained(method, CHOSEN, 0).key for method in METHODS}) == len(METHODS)


def test_adapt_and_distill_are_the_four_steps_of_appendix_c() -> None:
    last = experiment().pretrained(FOUR_STEPS, CHOSEN, 0)

    assert isinstance(last, MaskedLMDistillation)
    adapted_teacher, adapted_student = last.teacher, last.init
    assert isinstance(adapted_teacher, MaskedLanguageModel)
    assert adapted_teacher.init == TEACHER
    assert isinstance(adapted_student, MaskedLanguageModel)
    student = adapted_student.init
    assert isinstance(student, MaskedLMDistillation)
    assert (student.teacher, student.init) == (TEACHER, None)
    assert (last.tolerance, student.tolerance) == (0, 0)
    assert not last.expands
    corpora = {stage.corpus.key for stage in (last, student, adapted_teacher, adapted_student)}  # type: ignore[union-attr]
    assert len(corpora) == 1
    assert student.key == experiment().pretrained(DISTILLED, CHOSEN, 0).key, "its second step is DistilBERT"
    assert adapted_teacher.key == experiment().pretrained(ADAPTED, CHOSEN, 0).key, "its first is the adapted baseline"


def test_without_vocabulary_and_tolerance_it_is_plain_distillation() -> None:
    plain = experiment().pretrained(DISTILLED, CHOSEN, 0)
    without = {**CHOSEN, "vocabulary_size": spaces.BASE_VOCABULARY, "tolerance": 0.0}
    assert experiment().pretrained(EXPANDED, without, 0).key == plain.key
    assert experiment().pretrained(EXPANDED, {**without, "tolerance": 0.1}, 0).key != plain.key


def test_what_is_chosen_arrives() -> None:
    chosen = {
        "vocabulary_size": 700,
        "tolerance": 0.3,
        "mlm_weight": 0.7,
        "kl_weight": 1.5,
        "cosine_weight": 4.0,
        "mse_weight": 0.2,
        "temperature": 3.0,
        "share": 0.5,
    }
    setting = {"distilling": {"epochs": 3, "batch_size": 16, "new_embeddings": "random"}, "pretraining_seed": None}
    made = experiment(Student("small", (1,), hidden_size=8, heads=2), **setting).distilled(chosen, 5)

    assert {name: getattr(made, name) for name in chosen if hasattr(made, name)} == {
        name: value for name, value in chosen.items() if name not in ("vocabulary_size", "share")
    }
    assert (made.layers, made.hidden_size, made.heads) == ((1,), 8, 2)
    assert (made.epochs, made.batch_size, made.new_embeddings, made.seed) == (3, 16, "random", 5)
    assert isinstance(made.corpus.tokenizer, WordPieceVocabulary)
    assert (made.corpus.tokenizer.size, made.corpus.tokenizer.share, made.corpus.share) == (700, 0.5, 0.5)


def test_a_domain_adapted_student_keeps_its_vocabulary() -> None:
    adapted = experiment().pretrained(EXPANDED_ADAPTED, CHOSEN, 0)
    assert isinstance(adapted, MaskedLanguageModel)
    assert isinstance(adapted.corpus, TokenizedCorpus)
    assert isinstance(adapted.init, MaskedLMDistillation)
    assert adapted.corpus.key == adapted.init.corpus.key
    assert (adapted.steps, adapted.epochs) == (8, None)


def test_pretrainings_are_done_once_unless_each_seed_is_to_have_its_own() -> None:
    def pretrainings(made: Experiment) -> set[str]:
        stages = [made.recipe(EXPANDED, task, CHOSEN, seed).stage for task in ("hoc", "bioasq") for seed in (0, 1, 2)]
        return {stage.init.key for stage in stages if isinstance(stage, FineTune)}

    assert len(pretrainings(experiment())) == 1
    own = experiment(pretraining_seed=None)
    assert len(pretrainings(own)) == 3
    assert len({own.corpus(CHOSEN).key}) == 1, "the corpus in pieces is the same for all of them"


def test_folds_of_a_task_start_from_one_pretraining() -> None:
    recipe = experiment().recipe(EXPANDED, "gad@5", CHOSEN, 0)
    assert kinds(recipe.stage)["FineTune"] == 5
    assert kinds(recipe.stage)["MaskedLMDistillation"] == 1


def test_speed_is_measured_against_the_teacher_and_labels_can_be_others() -> None:
    recipe = experiment().speed(EXPANDED, "ebm_pico", CHOSEN, 0, method="vekd_40k")
    assert isinstance(recipe.stage, InferenceSpeed)
    assert recipe.stage.baseline.init == TEACHER
    assert recipe.stage.model.key == experiment().recipe(EXPANDED, "ebm_pico", CHOSEN, 0).stage.key
    assert (recipe.method, recipe.model) == ("vekd_40k", "student")


def test_the_corpus_can_be_a_tasks_own_text() -> None:
    text = Text("task:hoc", "mini", max_length=32)
    made = dataclasses.replace(experiment(), setting=dataclasses.replace(experiment().setting, text=text))
    stage = made.pretrained(EXPANDED, CHOSEN, 0)
    assert isinstance(stage, MaskedLMDistillation)
    assert (stage.corpus.corpus, stage.corpus.data) == ("task:hoc", "mini")
    assert stage.key
