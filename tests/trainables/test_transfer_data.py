from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional

from tests.trainables import tiny
from tests.trainables.tiny import Finished, MemoryContext, finish, pretrained, run_with_stops
from trainables.context import MODEL, OUTPUTS, PREDICTIONS
from trainables.data import sources, tasks
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.stages import Evaluation, FineTune, SoftLabelDistillation, TeacherOutputs
from trainables.training import batches, encoding, metrics, outputs
from trainables.transfer_data import SoftLabels, distil, evaluate

_SIZES: dict[str, Any] = {"batch_size": 8, "train_limit": 40, "max_length": 48}


class Transfer:
    """Teachers of two tasks with their outputs on another task's texts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inputs: dict[Stage, Finished] = {}
        self.bert = tiny.bert(folder / "bert")
        self.roberta = tiny.roberta(folder / "roberta")
        self.teachers = {
            task: self._made(self.fine_tuned(task, epochs=3, learning_rate=2e-3)) for task in ("gad", "pubmedqa")
        }
        self.gad = self._made(TeacherOutputs(self.teachers["gad"], task="fpb", train_limit=60))
        self.pubmedqa = self._made(TeacherOutputs(self.teachers["pubmedqa"], task="bioasq"))

    def fine_tuned(self, task: str, **options: Any) -> FineTune:
        return FineTune(task, pretrained(self.roberta), "mini", **{**_SIZES, **options})

    def student(self, outputs: TeacherOutputs | None = None, **options: Any) -> SoftLabelDistillation:
        settings = {"steps": 20, "batch_size": 8, "learning_rate": 1e-3, **options}
        return SoftLabelDistillation(pretrained(self.bert), outputs or self.gad, **settings)

    def context(self, folder: Path, **options: Any) -> MemoryContext:
        return MemoryContext(folder, self.bert, inputs=self.inputs, **options)

    def _made(self, stage: Any) -> Any:
        self.inputs[stage] = tiny.finished(stage, self.folder / stage.key, self.roberta, self.inputs)
        return stage


@pytest.fixture(scope="module")
def transfer(tmp_path_factory: pytest.TempPathFactory) -> Transfer:
    return Transfer(tmp_path_factory.mktemp("transfer"))


# --- soft labels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["gad", "pubmedqa"])
def test_a_student_is_trained_on_other_texts_and_evaluated_on_the_teachers_task(
    task: str, transfer: Transfer, tmp_path: Path
) -> None:
    stage = transfer.student(getattr(transfer, task))
    _, result = finish(distil(stage, transfer.context(tmp_path)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [MODEL, PREDICTIONS]
    rows = pq.read_table(tmp_path / PREDICTIONS).to_pylist()
    examples = sources.load("mini", task)
    for split in ("dev", "test"):
        own = [row for row in rows if row["split"] == split]
        assert [row["id"] for row in own] == [example.id for example in examples[split]]
        found = metrics.score(tasks.get(task), [row["gold"] for row in own], [row["prediction"] for row in own])
        metric = tasks.get(task).metric
        assert found[metric] == result.metrics[f"{split}/{metric}"]
    assert [entry["step"] for entry in result.history] == [5, 10, 15, 20]
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert result.facts["steps"] == 20
    assert (result.facts["transfer_length"], result.facts["max_length"]) == (48, 48)


def test_with_two_labels_the_loss_is_the_papers(transfer: Transfer) -> None:
    """Binary cross-entropy of q = sigmoid(z / T), z being the positive less the negative logit."""
    stage = transfer.student(temperature=2.0)
    objective = SoftLabels(stage, transfer.bert, transfer.inputs[transfer.gad].folder / OUTPUTS, "cpu")
    objective.model.eval()
    batch, train = objective.batches(0)[0], objective.splits["train"]
    said = outputs.logits(transfer.inputs[transfer.gad].folder / OUTPUTS, train.ids, "train", 2)[batch.rows]
    with torch.no_grad():
        logits = objective.classifier(**train.packed.inputs(batch, "cpu")).logits
        teacher, student = ((each[:, 1] - each[:, 0]) / 2.0 for each in (said, logits))
        expected = functional.binary_cross_entropy_with_logits(student, teacher.sigmoid())
        assert float(objective.loss(batch, 0)) == pytest.approx(float(expected), rel=1e-5)


def test_no_gold_label_of_the_transfer_data_is_looked_at(
    transfer: Transfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = transfer.student()
    _, result = finish(distil(stage, transfer.context(tmp_path / "as it is")))
    load = sources.load

    def mislabelled(source: str, task: str) -> Any:
        found = load(source, task)
        if task != "fpb":
            return found
        return {split: [dataclasses.replace(one, label=0) for one in examples] for split, examples in found.items()}

    monkeypatch.setattr(sources, "load", mislabelled)
    monkeypatch.setattr(encoding, "_CACHE", encoding.BoundedCache(0, lambda split: split.size))
    _, other = finish(distil(stage, transfer.context(tmp_path / "mislabelled")))
    assert other == result


def test_an_interrupted_stage_ends_with_the_same_bits(transfer: Transfer, tmp_path: Path) -> None:
    stage = transfer.student()
    _, whole = finish(distil(stage, transfer.context(tmp_path / "whole")))
    result, stopped = run_with_stops(
        distil, stage, tmp_path / "stopped", transfer.bert, itertools.cycle([3, 5, 2]), inputs=transfer.inputs
    )
    assert stopped > 2
    assert result == whole
    for name in (PREDICTIONS, f"{MODEL}/model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps=0 must be at least 1"),
        ({"temperature": 0.0}, r"temperature=0\.0 must be above 0"),
        ({"train_limit": 61}, "train_limit=61 must not exceed that of its teacher's outputs, 60"),
    ],
)
def test_settings_are_refused_when_planned(options: dict[str, Any], message: str, transfer: Transfer) -> None:
    with pytest.raises(UserError, match=f"SoftLabelDistillation.{message}"):
        transfer.student(**options)


def test_outputs_on_the_training_split_are_enough(transfer: Transfer, tmp_path: Path) -> None:
    alone = transfer._made(dataclasses.replace(transfer.gad, splits=("train",)))
    for name, said in (("all", transfer.gad), ("train", alone)):
        finish(distil(transfer.student(said), transfer.context(tmp_path / name)))
    for name in (PREDICTIONS, f"{MODEL}/model.safetensors"):
        assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "train" / name).read_bytes()
    with pytest.raises(UserError, match="teacher_outputs are of dev alone; give outputs on train"):
        transfer.student(dataclasses.replace(transfer.gad, splits=("dev",)))


def test_another_fold_of_the_target_is_no_transfer_data(transfer: Transfer) -> None:
    teacher = transfer.fine_tuned("gad@1/3")
    said = "are on texts of gad@2/3, whose training examples are partly the test examples of gad@1/3"
    with pytest.raises(UserError, match=f"SoftLabelDistillation.teacher_outputs {said}"):
        transfer.student(TeacherOutputs(teacher, task="gad@2/3"))
    transfer.student(TeacherOutputs(teacher, task="gad@1/3"))
    transfer.student(TeacherOutputs(teacher, task="gad@2/3", data="random:0:mini"))


def test_transfer_data_of_another_kind_is_refused_when_planned(transfer: Transfer) -> None:
    pairs = TeacherOutputs(transfer.teachers["gad"], task="bioasq")
    with pytest.raises(UserError, match="gad is of single texts, the transfer data bioasq of pairs of texts; give"):
        transfer.student(pairs)
    single = TeacherOutputs(transfer.teachers["pubmedqa"], task="gad")
    with pytest.raises(UserError, match="pubmedqa is of pairs of texts, the transfer data gad of single texts; give"):
        transfer.student(single)
    many = TeacherOutputs(transfer.fine_tuned("hoc"), task="gad")
    with pytest.raises(UserError, match="a teacher of hoc, which has several labels per example"):
        transfer.student(many)


# --- fine-tuning by steps, evaluation without training ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "size", "steps", "parts"), [(10, 3, 12, 4), (10, 3, 7, 1), (40, 8, 22, 2), (3, 8, 9, 3)]
)
def test_steps_go_over_the_rows_in_whole_passes(rows: int, size: int, steps: int, parts: int) -> None:
    lengths = torch.arange(5, 5 + rows)
    assert batches.parts_of(steps) == parts
    found = [
        batch
        for part in range(parts)
        for batch in batches.for_steps(lengths, size, 128, seed=1, part=part, steps=steps // parts)
    ]
    assert len(found) == steps
    in_pass = -(-rows // size)
    passes = [batches.for_training(lengths, size, 128, 1, epoch) for epoch in range(-(-steps // in_pass))]
    expected = list(itertools.chain(*passes))[:steps]
    assert [batch.rows.tolist() for batch in found] == [batch.rows.tolist() for batch in expected]


def test_fine_tuning_may_count_steps_instead_of_epochs(bert: Path, tmp_path: Path) -> None:
    stage = FineTune("gad", pretrained(bert), "mini", steps=12, **_SIZES)
    assert stage.epochs is None
    assert stage.key != FineTune("gad", pretrained(bert), "mini", **_SIZES).key
    done = tiny.finished(stage, tmp_path, bert)
    assert [entry["step"] for entry in done.result.history] == [3, 6, 9, 12]
    with pytest.raises(UserError, match="FineTune has epochs=3 and steps=12; give one of both"):
        FineTune("gad", pretrained(bert), "mini", steps=12, epochs=3, **_SIZES)


def test_an_evaluated_classifier_says_what_it_said_at_its_end(transfer: Transfer, tmp_path: Path) -> None:
    teacher = transfer.teachers["gad"]
    stage = Evaluation(teacher, "gad", "mini", max_length=48)
    seen, result = finish(evaluate(stage, transfer.context(tmp_path)))
    own = transfer.inputs[teacher]
    assert result.metrics == own.result.metrics
    assert (tmp_path / PREDICTIONS).read_bytes() == (own.folder / PREDICTIONS).read_bytes()
    assert [(progress.step, progress.total) for progress in seen] == [(n, len(seen)) for n in range(1, len(seen) + 1)]


def test_a_model_without_a_head_has_a_new_one_from_the_seed(bert: Path, tmp_path: Path) -> None:
    found = []
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        stage = Evaluation(pretrained(bert), "gad", "mini", seed=seed)
        finish(evaluate(stage, MemoryContext(tmp_path / name, bert)))
        found.append((tmp_path / name / PREDICTIONS).read_bytes())
    assert found[0] == found[1] != found[2]


def test_a_classifier_of_other_labels_is_refused_when_planned(transfer: Transfer) -> None:
    with pytest.raises(UserError, match="a classifier of gad with the labels 0, 1; bioasq has yes, no: give"):
        Evaluation(transfer.teachers["gad"], "bioasq", "mini")
