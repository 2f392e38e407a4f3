"""Distillation of masked-language models keeps the contract of stages, and is the start of others."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from orchestrator.engine.store import Store
from tests.contract.stage_suite import StageSuite, Workshop, to_end
from tests.trainables.test_stage_contract import random_init
from trainables.data import miniature
from trainables.execution import Execution, Job
from trainables.expression import Stage
from trainables.stages import FineTune, MaskedLanguageModel, MaskedLMDistillation, TokenizedCorpus, WordPieceVocabulary


def _corpus(folder: Path) -> str:
    path = folder / "some.txt"
    path.write_text("".join(f"{text}\n" for text in miniature.corpus("domain")[:120]))
    return str(path)


def distilled(corpus: str, **options: Any) -> MaskedLMDistillation:
    """A student of one layer with 60 pieces more than its teacher's."""
    teacher = MaskedLanguageModel(corpus, random_init(layers=2), epochs=1, max_length=32, batch_size=16)
    vocabulary = WordPieceVocabulary(corpus, teacher, 460)
    settings = {"layers": (1,), "epochs": 2, "batch_size": 24, "micro_batch_size": 8, "tolerance": 0.1, **options}
    return MaskedLMDistillation(teacher, TokenizedCorpus(corpus, vocabulary, max_length=32), **settings)


class TestMaskedLMDistillation(StageSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls, tmp_path_factory: pytest.TempPathFactory) -> Stage:
        return distilled(_corpus(tmp_path_factory.mktemp("corpus")))

    def test_it_has_the_new_pieces_and_fine_tuning_starts_from_it(
        self, stage: Stage, finished: Store, workshop: Workshop
    ) -> None:
        result = finished.result(stage.key)
        assert result is not None
        facts = result["facts"]
        assert (facts["vocabulary"], facts["new_pieces"], facts["layers"]) == (460, 60, 1)
        assert 0 < facts["new_share"] < 1
        assert [entry["resource"] for entry in result["history"]] == [1, 2]
        task = FineTune("hoc", stage, "mini", epochs=1, batch_size=8, train_limit=32, max_length=32)
        store = workshop.store()
        for each in (stage, task):
            to_end(Execution(Job.of(each), store))
        metrics = store.result(task.key)
        assert metrics is not None
        assert 0 <= metrics["metrics"]["test/micro_f1"] <= 1

    def test_epochs_of_another_corpus_are_not_compared_with_these(self, stage: Stage) -> None:
        assert isinstance(stage, MaskedLMDistillation)
        assert dataclasses.replace(stage, tolerance=0.5).schedule == stage.schedule
        longer = dataclasses.replace(stage, epochs=3)
        shorter = dataclasses.replace(stage.corpus, tokenizer=stage.teacher)
        assert len({one.schedule for one in (stage, longer, dataclasses.replace(stage, corpus=shorter))}) == 3


class TestAdaptAndDistill(StageSuite):
    """Without new pieces, of another width: the second step, the third, and the fourth, which starts from it."""

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls, tmp_path_factory: pytest.TempPathFactory) -> Stage:
        corpus = _corpus(tmp_path_factory.mktemp("corpus"))
        teacher = distilled(corpus).teacher
        pieces = TokenizedCorpus(corpus, teacher, max_length=32)
        settings: dict[str, Any] = {"epochs": 2, "batch_size": 24, "micro_batch_size": 8}
        student = MaskedLMDistillation(teacher, pieces, layers=(1,), hidden_size=8, **settings)
        adapt = {"epochs": 1, "max_length": 32, "batch_size": 16}
        adapted, further = (MaskedLanguageModel(corpus, start, **adapt) for start in (teacher, student))  # type: ignore[arg-type]
        return MaskedLMDistillation(adapted, pieces, init=further, **settings)

    def test_it_takes_four_stages_where_expansion_takes_one(self, stage: Stage) -> None:
        kinds = [type(one).__name__ for one in stage.walk()]
        # Its teacher's own pretraining is one of three stages of masked-language modelling.
        assert kinds.count("MaskedLMDistillation") == 2
        assert kinds.count("MaskedLanguageModel") == 3


def test_its_label_says_what_it_is(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path)
    stage = distilled(corpus)
    assert stage.label() == "VE-KD of 460 on some.txt from MLM some.txt"
    plain = dataclasses.replace(stage, corpus=dataclasses.replace(stage.corpus, tokenizer=stage.teacher))
    assert plain.label() == "DistilBERT on some.txt from MLM some.txt"
