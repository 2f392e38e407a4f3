"""Every stage keeps the contract of stages."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestrator.engine.store import Store
from tests.contract.stage_suite import StageSuite
from trainables.data import miniature, tasks
from trainables.expression import Stage
from trainables.stages import FineTune, MaskedLanguageModel, RandomInit


def random_init(**fields: int) -> RandomInit:
    sizes = {"vocabulary_size": 400, "hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 32}
    return RandomInit("mini:domain", **{**sizes, "positions": 64, **fields})


class TestRandomInit(StageSuite):
    saves_checkpoints = False

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        return random_init()


class TestMaskedLanguageModel(StageSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls, tmp_path_factory: pytest.TempPathFactory) -> Stage:
        corpus = tmp_path_factory.mktemp("corpus") / "some.txt"
        corpus.write_text("".join(f"{text}\n" for text in miniature.corpus("domain")[:300]))
        return MaskedLanguageModel(str(corpus), random_init(), epochs=2, max_length=32, batch_size=16)


class TestMaskedLanguageModelInMicroBatches(StageSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls, tmp_path_factory: pytest.TempPathFactory) -> Stage:
        corpus = tmp_path_factory.mktemp("corpus") / "some.txt"
        corpus.write_text("".join(f"{text}\n" for text in miniature.corpus("domain")[:300]))
        sizes = {"batch_size": 16, "micro_batch_size": 6}
        return MaskedLanguageModel(str(corpus), random_init(), epochs=2, max_length=32, **sizes)


class TestMaskedLanguageModelBySteps(StageSuite):
    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls, tmp_path_factory: pytest.TempPathFactory) -> Stage:
        corpus = tmp_path_factory.mktemp("corpus") / "some.txt"
        corpus.write_text("".join(f"{text}\n" for text in miniature.corpus("domain")[:300]))
        return MaskedLanguageModel(str(corpus), random_init(), steps=12, max_length=32, batch_size=16)

    def test_it_counts_steps(self, stage: Stage, finished: Store) -> None:
        result = finished.result(stage.key)
        assert result is not None
        assert result["facts"]["steps"] == 12
        assert len(result["history"]) == 4


class FineTuning(StageSuite):
    predicts = True
    task = ""

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        return FineTune(cls.task, random_init(), "mini", epochs=2, batch_size=8, train_limit=32, max_length=32)

    def test_its_predictions_have_a_row_for_every_example(self, stage: Stage, finished: Store) -> None:
        table = pq.read_table(io.BytesIO(finished.predictions(stage.key)))
        assert table.schema.names == ["id", "split", "gold", "prediction", "logits"]
        assert [str(field.type) for field in table.schema] == [
            *("string", "string"),
            *("list<element: int16>", "list<element: int16>", "list<element: float>"),
        ]
        examples = miniature.generate(tasks.get(self.task))
        rows = table.to_pylist()
        assert [(row["split"], row["id"]) for row in rows] == [
            (split, example.id) for split in ("dev", "test") for example in examples[split]
        ]
        for row in rows:
            assert len(row["gold"]) == len(row["prediction"]) > 0
            assert len(row["logits"]) % len(row["prediction"]) == 0

    def test_its_metrics_are_fractions_and_its_history_one_entry_per_epoch(self, stage: Stage, finished: Store) -> None:
        result = finished.result(stage.key)
        assert result is not None
        metric = tasks.get(self.task).metric
        assert {f"dev/{metric}", f"test/{metric}"} <= set(result["metrics"])
        assert all(0 <= value <= 1 for value in result["metrics"].values())
        assert len(result["history"]) == 2
        assert result["facts"]["steps"] == 8
        assert result["facts"]["precision"] == "float32"
        assert all("loss" in entry for entry in result["history"])


class TestFineTuneDocument(FineTuning):
    task = "hoc"


class TestFineTuneEntities(FineTuning):
    task = "ncbi_disease"


def test_an_unwanted_checkpoint_interval_saves_nothing(tmp_path: Path) -> None:
    """A short stage is simply done again: with the usual interval no checkpoint is written."""
    from trainables.execution import Execution, Job

    store = Store(str(tmp_path))
    start = random_init()
    stage = FineTune("gad", start, "mini", epochs=1, train_limit=32, batch_size=8, max_length=32)
    for each in (start, stage):
        execution = Execution(Job.of(each), store)
        while execution.advance(0) is not None:
            assert store.storage.names("checkpoints") == []
