"""The stages about text keep the contract of stages."""

from __future__ import annotations

import pytest

from orchestrator.engine.store import Store
from tests.contract.stage_suite import StageSuite, found, to_end
from tests.trainables.test_stage_contract import random_init
from trainables.context import PIECES, TOKENIZER
from trainables.data import miniature
from trainables.execution import Execution, Job
from trainables.expression import Stage
from trainables.stages import MaskedLanguageModel, TokenizedCorpus, WordPieceVocabulary

_TOKENIZER = frozenset(f"{TOKENIZER}/{name}" for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"))


def vocabulary(size: int = 450) -> WordPieceVocabulary:
    return WordPieceVocabulary("mini:domain", random_init(), size)


class TestWordPieceVocabulary(StageSuite):
    saves_checkpoints = False
    runs_model = False
    writes = _TOKENIZER

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        return vocabulary()


class TestTokenizedCorpus(StageSuite):
    saves_checkpoints = False
    runs_model = False
    writes = _TOKENIZER | {PIECES}

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        return TokenizedCorpus("mini:domain", vocabulary(), 32, min_words=5, share=0.3)


class TestTokenizedCorpusOfAModel(StageSuite):
    saves_checkpoints = False
    runs_model = False
    writes = _TOKENIZER | {PIECES}

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        return TokenizedCorpus("mini:domain", random_init(), 32)


class TestMaskedLanguageModelOnATokenizedCorpus(StageSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls, tmp_path_factory: pytest.TempPathFactory) -> Stage:
        corpus = tmp_path_factory.mktemp("corpus") / "some.txt"
        corpus.write_text("".join(f"{text}\n" for text in miniature.corpus("domain")[:300]))
        start = random_init()
        return MaskedLanguageModel(TokenizedCorpus(str(corpus), start, 32), start, epochs=2, batch_size=16)

    def test_it_ends_as_on_the_same_text_by_name(self, stage: Stage, finished: Store) -> None:
        assert isinstance(stage, MaskedLanguageModel)
        assert isinstance(stage.corpus, TokenizedCorpus)
        plain = MaskedLanguageModel(stage.corpus.corpus, stage.init, epochs=2, batch_size=16, max_length=32)
        assert plain.key != stage.key
        to_end(Execution(Job.of(plain), finished))
        ours, theirs = found(finished.result(stage.key)), found(finished.result(plain.key))
        assert (ours["metrics"], ours["history"]) == (theirs["metrics"], theirs["history"])
        weights = [(finished.fetch_model(one.key) / "model.safetensors").read_bytes() for one in (stage, plain)]
        assert weights[0] == weights[1]
