"""DoKTra's stages keep the contract of stages."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows
from orchestrator.recipe import Recipe
from tests.contract.stage_suite import StageSuite
from tests.trainables.test_stage_contract import random_init
from trainables.context import OUTPUTS
from trainables.data import tasks
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.stages import (
    ActivationBoundaryDistillation,
    CrossValidation,
    Evaluation,
    FineTune,
    InferenceSpeed,
    KLDistillation,
    MultiTeacherDistillation,
    SoftLabelDistillation,
    TeacherOutputs,
)


def fine_tuned(task: str, start: Stage | None = None, **options: float) -> FineTune:
    sizes = {"epochs": 1, "batch_size": 8, "train_limit": 32, "max_length": 32, **options}
    return FineTune(task, start or random_init(), "mini", **sizes)  # type: ignore[arg-type]


def teacher_outputs(task: str, **sizes: int) -> TeacherOutputs:
    return TeacherOutputs(fine_tuned(task, random_init(**sizes), confidence_penalty=0.3))


class TestTeacherOutputs(StageSuite):
    saves_checkpoints = False  # it is over in three steps; an interruption is tested with its other tests
    writes = frozenset({OUTPUTS})

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        return teacher_outputs("gad")


class Distilling(StageSuite):
    predicts = True
    unkeyed = frozenset({"switch_rate"})

    def test_rates_that_switch_at_the_same_epoch_are_one_stage(self, stage: Stage) -> None:
        three = [dataclasses.replace(stage, epochs=5, switch_rate=rate) for rate in (0.6, 0.7, 0.79)]  # type: ignore[call-arg]
        assert len({one.key for one in three}) == 1
        assert len(set(three)) == 3, "each remembers what it was asked for"
        others = [dataclasses.replace(stage, epochs=5, switch_rate=rate) for rate in (0.0, 0.4, 0.8, 1.0)]  # type: ignore[call-arg]
        others.append(dataclasses.replace(stage, epochs=6, switch_rate=0.5))  # type: ignore[call-arg]  # 3 of 6
        assert len({one.key for one in (*three, *others)}) == 6

    @pytest.mark.parametrize(("epochs", "rate", "least"), [(1, 0.8, 2), (3, 0.3, 4), (9, 0.1, 10), (99, 0.01, 100)])
    def test_a_rate_of_which_no_epoch_distils_is_refused(
        self, stage: Stage, epochs: int, rate: float, least: int
    ) -> None:
        said = f"switch_rate={rate} of epochs={epochs} leaves no whole epoch.*; give at least {least} epochs"
        with pytest.raises(UserError, match=said):
            dataclasses.replace(stage, epochs=epochs, switch_rate=rate)  # type: ignore[call-arg]
        assert dataclasses.replace(stage, epochs=least, switch_rate=rate).switch_epoch == 1  # type: ignore[call-arg, attr-defined]
        assert dataclasses.replace(stage, epochs=epochs, switch_rate=0.0).switch_epoch == 0  # type: ignore[call-arg, attr-defined]

    def test_a_rate_next_to_nothing_is_refused(self, stage: Stage) -> None:
        with pytest.raises(UserError, match="no whole epoch"):
            dataclasses.replace(stage, switch_rate=5e-324)  # type: ignore[call-arg]

    def test_its_metrics_and_history_tell_of_both_phases(self, stage: Stage, finished: Store) -> None:
        assert isinstance(stage, ActivationBoundaryDistillation | KLDistillation)
        result = finished.result(stage.key)
        assert result is not None
        known = tasks.get(stage.task)
        fractions = {known.metric, "precision", "recall", "ece"} | ({"auroc"} if len(known.labels) == 2 else set())
        units = {"l_at", "l_at_boundary"} if isinstance(stage, ActivationBoundaryDistillation) else set()
        expected = {f"{split}/{metric}" for split in ("dev", "test") for metric in fractions | units}
        assert set(result["metrics"]) == expected
        assert [entry.get("resource") for entry in result["history"]] == [None, 1.0]
        assert result["facts"]["switch_epoch"] == 1


class TestActivationBoundaryDistillation(Distilling):
    """Of another width than its teacher, whose vectors are mapped to it."""

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        outputs = teacher_outputs("gad", hidden_size=24)
        return ActivationBoundaryDistillation(
            fine_tuned("gad"), outputs, epochs=2, switch_rate=0.5, learning_rate=1e-3, confidence_penalty=0.5
        )


class TestActivationBoundaryDistillationWithALearnedProjection(Distilling):
    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        outputs = teacher_outputs("hoc", hidden_size=24)
        return ActivationBoundaryDistillation(
            fine_tuned("hoc"), outputs, epochs=2, switch_rate=0.5, learning_rate=1e-3, projection="learned"
        )


class TestKLDistillation(Distilling):
    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        outputs = teacher_outputs("chemprot", hidden_size=24)
        return KLDistillation(fine_tuned("chemprot"), outputs, epochs=2, switch_rate=0.5, learning_rate=1e-3)


class TestCrossValidation(StageSuite):
    saves_checkpoints = False  # it reads a few results

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        return CrossValidation(tuple(fine_tuned(fold) for fold in tasks.folds("gad@3")))

    def test_its_row_has_an_accuracy_of_each_class(self, stage: Stage, finished: Store) -> None:
        results = {each.key: finished.result(each.key) or {} for each in (stage, *stage.inputs)}
        row = rows.build("x", Recipe(stage, "finetune", "tiny", "gad@3", 0), results)
        for prefix, split in (("", "test"), ("dev_", "dev")):
            of_folds = [results[fold.key]["facts"]["class_accuracy"][split] for fold in stage.inputs]
            expected = {label: 100 * sum(one[label] for one in of_folds) / 3 for label in ("0", "1")}
            assert row[f"{prefix}class_accuracy"] == pytest.approx(expected)


def test_another_seed_shares_the_teachers_outputs_and_the_student(tmp_path: Path) -> None:
    """Every trial with this teacher is one stage more, and reads the same file."""
    from trainables.execution import Execution, Job

    store = Store(str(tmp_path))
    stage = ActivationBoundaryDistillation(fine_tuned("gad"), teacher_outputs("gad"), epochs=1, switch_rate=1.0)
    ran = []
    for wanted in (stage, dataclasses.replace(stage, seed=1)):
        for each in wanted.walk():
            execution = Execution(Job.of(each), store)
            ran += [each.key] * (execution.result is None)
            while execution.advance(0) is not None:
                pass
    assert len(ran) == len(set(ran)) == len(list(stage.walk())) + 1
    table = pq.read_table(io.BytesIO(store.fetch_file(stage.teacher_outputs.key, OUTPUTS).read_bytes()))
    assert table.schema.names == ["id", "split", "cls", "logits"]


class TestMultiTeacherDistillation(StageSuite):
    predicts = True

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        teachers = (teacher_outputs("chemprot"), teacher_outputs("chemprot", hidden_size=24))
        return MultiTeacherDistillation(fine_tuned("chemprot"), teachers, epochs=2, learning_rate=1e-3)


class TestSoftLabelDistillation(StageSuite):
    predicts = True

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        outputs = TeacherOutputs(fine_tuned("gad", random_init(hidden_size=24)), task="fpb")
        return SoftLabelDistillation(random_init(), outputs, steps=12, batch_size=8, learning_rate=1e-3)


class TestEvaluation(StageSuite):
    saves_checkpoints = False  # it is over in two steps
    predicts = True

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        return Evaluation(fine_tuned("fpb"), "fts", "mini")


class TestInferenceSpeed(StageSuite):
    saves_checkpoints = False  # an interrupted measurement is begun again

    @pytest.fixture(scope="class")
    @classmethod
    def stage(cls) -> Stage:
        smaller = fine_tuned("gad", random_init(hidden_size=8))
        return InferenceSpeed(smaller, fine_tuned("gad"), examples=40, rounds=2)

    def test_it_has_the_models_score_and_speeds_among_its_costs(self, stage: Stage, finished: Store) -> None:
        assert isinstance(stage, InferenceSpeed)
        result, model = finished.result(stage.key), finished.result(stage.model.key)
        assert result is not None
        assert model is not None
        assert result["metrics"] == model["metrics"]
        assert 0.1 < result["cost"]["speedup"] < 10
        assert result["cost"]["examples_per_second"] > 0
        assert result["facts"]["examples"] == 40
        assert result["facts"]["parameters"] < result["facts"]["baseline_parameters"]
        assert result["facts"]["tokens"] == result["facts"]["baseline_tokens"]  # one vocabulary
