"""Stages of GPT-2 and T5 keep the contract of stages."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.store import Store
from tests.contract.stage_suite import StageSuite
from tests.trainables.test_stage_contract import FineTuning
from trainables.context import TOKENIZER
from trainables.data import miniature
from trainables.expression import Stage
from trainables.stages import (
    AddedWords,
    FineTune,
    GenerativeLanguageModel,
    GenerativeLMDistillation,
    RandomInit,
    TokenizedCorpus,
)


def random_init(architecture: str, layers: int = 1) -> RandomInit:
    sizes = {"vocabulary_size": 400, "hidden_size": 16, "heads": 2, "intermediate_size": 32, "positions": 64}
    return RandomInit("mini:domain", layers=layers, architecture=architecture, **sizes)  # type: ignore[arg-type]


def _corpus(folder: Path) -> str:
    path = folder / "some.txt"
    path.write_text("".join(f"{text}\n" for text in miniature.corpus("domain")[:120]))
    return str(path)


def distilled(corpus: str, architecture: str, **options: Any) -> GenerativeLMDistillation:
    """A student of one layer with 40 words more than its teacher."""
    teacher = random_init(architecture, layers=2)
    vocabulary = AddedWords(corpus, teacher, 440)
    settings = {"layers": (1,), "epochs": 2, "batch_size": 24, "micro_batch_size": 8, "tolerance": 0.1, **options}
    return GenerativeLMDistillation(teacher, TokenizedCorpus(corpus, vocabulary, max_length=32), **settings)


class TestRandomGPT2(StageSuite):
    saves_checkpoints = False

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        return random_init("gpt2")


class TestRandomT5(StageSuite):
    saves_checkpoints = False

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        return random_init("t5")


class TestAddedWords(StageSuite):
    saves_checkpoints = False
    runs_model = False
    writes = frozenset(f"{TOKENIZER}/{name}" for name in ("tokenizer.json", "tokenizer_config.json"))

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        return AddedWords("mini:domain", random_init("gpt2"), 450)


class _Modelling(StageSuite):
    architecture = ""

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls, tmp_path_factory: pytest.TempPathFactory) -> Stage:
        start = random_init(cls.architecture)
        corpus = TokenizedCorpus(_corpus(tmp_path_factory.mktemp("corpus")), start, max_length=32)
        return GenerativeLanguageModel(corpus, start, epochs=2, batch_size=24, micro_batch_size=8)


class TestGPT2LanguageModel(_Modelling):
    architecture = "gpt2"


class TestT5LanguageModel(_Modelling):
    architecture = "t5"


class _Distilling(StageSuite):
    architecture = ""

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls, tmp_path_factory: pytest.TempPathFactory) -> Stage:
        return distilled(_corpus(tmp_path_factory.mktemp("corpus")), cls.architecture)

    def test_it_has_the_new_words(self, stage: Stage, finished: Store) -> None:
        result = finished.result(stage.key)
        assert result is not None
        facts = result["facts"]
        assert (facts["vocabulary"], facts["new_pieces"], facts["layers"]) == (440, 40, 1)
        assert 0 < facts["new_share"] < 1
        assert [entry["resource"] for entry in result["history"]] == [1, 2]

    def test_epochs_of_another_corpus_are_not_compared_with_these(self, stage: Stage) -> None:
        assert isinstance(stage, GenerativeLMDistillation)
        assert dataclasses.replace(stage, tolerance=0.5).schedule == stage.schedule
        longer = dataclasses.replace(stage, epochs=3)
        shorter = dataclasses.replace(stage.corpus, tokenizer=stage.teacher)
        assert len({one.schedule for one in (stage, longer, dataclasses.replace(stage, corpus=shorter))}) == 3


class TestGPT2Distillation(_Distilling):
    architecture = "gpt2"


class TestT5Distillation(_Distilling):
    architecture = "t5"


class _FineTuning(FineTuning):
    architecture = ""

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        start = random_init(cls.architecture)
        return FineTune(cls.task, start, "mini", epochs=2, batch_size=8, train_limit=32, max_length=64)


class TestFineTuneGPT2OnEntities(_FineTuning):
    architecture, task = "gpt2", "ncbi_disease"


class TestFineTuneT5OnPairs(_FineTuning):
    architecture, task = "t5", "pubmedqa"


def test_labels_say_what_they_are(tmp_path: Path) -> None:
    stage = distilled(_corpus(tmp_path), "gpt2")
    assert stage.label() == "VE-KD of 440 on some.txt from random gpt2 2x16"
    plain = dataclasses.replace(stage, corpus=dataclasses.replace(stage.corpus, tokenizer=stage.teacher))
    assert plain.label() == "distillation on some.txt from random gpt2 2x16"
    assert GenerativeLanguageModel(plain.corpus, plain.teacher).label() == "LM some.txt"
