from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
import transformers
from torch import Tensor

from tests.trainables import tiny
from tests.trainables.tiny import Finished, MemoryContext, finish, pretrained, run_with_stops
from trainables.context import MODEL, OUTPUTS, PREDICTIONS
from trainables.data import sources, tasks
from trainables.doktra import BoundaryDistillation, ProbabilityDistillation, distil_boundaries, distil_probabilities
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.stages import ActivationBoundaryDistillation, FineTune, KLDistillation, TeacherOutputs
from trainables.training import devices, losses, metrics, models, outputs, projection

_SIZES: dict[str, Any] = {"batch_size": 8, "train_limit": 24, "max_length": 32}


class Pairs:
    """Teachers with their outputs and fine-tuned students, each made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inputs: dict[Stage, Finished] = {}
        self._starts: dict[str, Path] = {}

    def teacher(self, start: str, task: str = "gad", **sizes: int) -> TeacherOutputs:
        tuned = self._tuned(start, task, sizes, confidence_penalty=0.3, epochs=2, learning_rate=1e-3)
        return self._made(TeacherOutputs(tuned))

    def student(self, start: str, task: str = "gad", **sizes: int) -> FineTune:
        return self._tuned(start, task, sizes, epochs=1, learning_rate=1e-4)

    def _tuned(self, start: str, task: str, sizes: Mapping[str, int], **options: Any) -> FineTune:
        name = "-".join([start, *map(str, sizes.values())])
        if name not in self._starts:
            self._starts[name] = getattr(tiny, start)(self.folder / name, **sizes)
        return self._made(FineTune(task, pretrained(self._starts[name]), "mini", **{**_SIZES, **options}))

    def _made(self, stage: Any) -> Any:
        if stage not in self.inputs:
            start = Path(stage.init.name) if isinstance(stage, FineTune) else self.folder
            self.inputs[stage] = tiny.finished(stage, self.folder / stage.key, start, self.inputs)
        return stage

    def context(self, folder: Path, **options: Any) -> MemoryContext:
        return MemoryContext(folder, self.folder / "nothing", inputs=self.inputs, **options)

    def outputs(self, stage: TeacherOutputs) -> Path:
        return self.inputs[stage].folder / OUTPUTS


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Pairs:
    return Pairs(tmp_path_factory.mktemp("pairs"))


def _boundaries(student: Stage, teacher: TeacherOutputs, **options: Any) -> ActivationBoundaryDistillation:
    return ActivationBoundaryDistillation(student, teacher, **{"epochs": 2, "switch_rate": 0.5, **options})


def _weights(folder: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(folder / MODEL / "model.safetensors")


def _written(folder: Path) -> tuple[bytes, bytes]:
    return (folder / PREDICTIONS).read_bytes(), (folder / MODEL / "model.safetensors").read_bytes()


# --- what a distillation leaves ------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["bert", "roberta", "albert", "distilbert"])
def test_a_student_of_any_architecture_and_tokenizer_learns_from_a_bert(
    start: str, pairs: Pairs, tmp_path: Path
) -> None:
    stage = _boundaries(pairs.student(start), pairs.teacher("bert"), learning_rate=1e-3, confidence_penalty=0.5)
    _, result = finish(distil_boundaries(stage, pairs.context(tmp_path)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [MODEL, PREDICTIONS]
    assert set(result.metrics) == {
        f"{split}/{metric}"
        for split in ("dev", "test")
        for metric in ("micro_f1", "precision", "recall", "ece", "auroc", "l_at", "l_at_boundary")
    }
    boundary, refined = result.history
    assert "resource" not in boundary
    assert refined["resource"] == 1.0
    assert refined["dev/l_at"] == result.metrics["dev/l_at"]
    assert boundary["dev/l_at"] == boundary["dev/l_at_boundary"] == result.metrics["dev/l_at_boundary"]
    assert boundary["test/l_at_boundary"] == result.metrics["test/l_at_boundary"]
    assert not {"dev/l_at_boundary", "test/l_at_boundary"} & set(refined)
    json.dumps(dataclasses.asdict(result))
    rows = pq.read_table(tmp_path / PREDICTIONS).to_pylist()
    for split in ("dev", "test"):
        own = [row for row in rows if row["split"] == split]
        assert [row["id"] for row in own] == [example.id for example in sources.load("mini", "gad")[split]]
        found = metrics.score(tasks.get("gad"), [row["gold"] for row in own], [row["prediction"] for row in own])
        assert found["micro_f1"] == result.metrics[f"{split}/micro_f1"]


def test_anybody_can_load_the_student_and_it_makes_the_written_predictions(pairs: Pairs, tmp_path: Path) -> None:
    stage = _boundaries(pairs.student("roberta"), pairs.teacher("bert", hidden_size=48), projection="learned")
    finish(distil_boundaries(stage, pairs.context(tmp_path)))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(str(tmp_path / MODEL)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(tmp_path / MODEL))
    example = sources.load("mini", "gad")["test"][0]
    row = next(row for row in pq.read_table(tmp_path / PREDICTIONS).to_pylist() if row["split"] == "test")
    with torch.no_grad():
        logits = model(**tokenizer(example.text, return_tensors="pt")).logits[0]  # type: ignore[union-attr]
    assert numpy.allclose(logits.numpy(), row["logits"], atol=1e-5)
    assert set(_weights(tmp_path)) == set(_weights(pairs.inputs[stage.student].folder)), "no projection is saved"


_BOTH = [(ActivationBoundaryDistillation, distil_boundaries), (KLDistillation, distil_probabilities)]


@pytest.mark.parametrize(("kind", "run"), _BOTH)
def test_no_step_runs_a_teacher(kind: Any, run: Any, pairs: Pairs, tmp_path: Path) -> None:
    stage = kind(pairs.student("bert"), pairs.teacher("bert"), epochs=1, switch_rate=1.0)
    context = pairs.context(tmp_path)
    finish(run(stage, context))
    assert context.loaded == [stage.student]


@pytest.mark.parametrize(("kind", "run"), _BOTH)
def test_several_labels_per_example(kind: Any, run: Any, pairs: Pairs, tmp_path: Path) -> None:
    options = {"epochs": 2, "switch_rate": 0.5, "confidence_penalty": 0.3}
    stage = kind(pairs.student("bert", "hoc"), pairs.teacher("bert", "hoc"), **options)
    _, result = finish(run(stage, pairs.context(tmp_path)))
    assert {"test/micro_f1", "test/ece", "test/l_at", "test/l_at_boundary"} <= set(result.metrics)
    assert len(pq.read_table(tmp_path / PREDICTIONS)["prediction"][0]) == 10


def test_the_teacher_may_solve_another_task(pairs: Pairs, tmp_path: Path) -> None:
    """What is distilled is where its units are active on the student's texts."""
    tuned = pairs.teacher("bert").teacher
    teacher = pairs._made(TeacherOutputs(tuned, task="chemprot", train_limit=24))
    stage = _boundaries(pairs.student("bert", "chemprot"), teacher)
    _, result = finish(distil_boundaries(stage, pairs.context(tmp_path)))
    assert result.metrics["test/l_at_boundary"] > 0
    with pytest.raises(UserError, match=r"teacher of gad, which has other labels .0, 1. than chemprot"):
        KLDistillation(stage.student, teacher)


# --- the two phases ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("epochs", "rate", "expected"),
    [(10, 0.7, 7), (100, 0.57, 57), (10, 0.6, 6), (10, 0.9, 9), (3, 0.5, 1), (4, 0.0, 0), (4, 1.0, 4), (10, 0.69, 6)],
)
def test_the_switch_is_the_whole_part_of_what_was_meant(epochs: int, rate: float, expected: int, pairs: Pairs) -> None:
    stage = _boundaries(pairs.student("bert"), pairs.teacher("bert"), epochs=epochs, switch_rate=rate)
    assert stage.switch_epoch == expected


def test_without_a_boundary_phase_it_is_refinement_alone(pairs: Pairs, tmp_path: Path) -> None:
    stage = _boundaries(pairs.student("bert"), pairs.teacher("bert"), switch_rate=0.0)
    _, result = finish(distil_boundaries(stage, pairs.context(tmp_path)))
    assert [entry["resource"] for entry in result.history] == [1.0, 2.0]
    assert "test/l_at" in result.metrics
    assert not any("boundary" in name for name in result.metrics)


def test_without_refinement_no_epoch_is_comparable(pairs: Pairs, tmp_path: Path) -> None:
    stage = _boundaries(pairs.student("bert"), pairs.teacher("bert"), switch_rate=1.0)
    _, result = finish(distil_boundaries(stage, pairs.context(tmp_path)))
    assert not any("resource" in entry for entry in result.history)
    for split in ("dev", "test"):
        assert result.metrics[f"{split}/l_at"] == result.metrics[f"{split}/l_at_boundary"]
    assert "test/micro_f1" in result.metrics


@pytest.mark.parametrize("start", ["bert", "roberta", "albert", "distilbert"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_head_and_pooler_do_not_change_while_boundaries_are_distilled(
    start: str, weight_decay: float, pairs: Pairs, tmp_path: Path
) -> None:
    options = {"switch_rate": 1.0, "learning_rate": 1e-2, "weight_decay": weight_decay}
    stage = _boundaries(pairs.student(start), pairs.teacher("bert"), **options)
    finish(distil_boundaries(stage, pairs.context(tmp_path)))
    before, after = _weights(pairs.inputs[stage.student].folder), _weights(tmp_path)
    kept = {name for name in before if torch.equal(before[name], after[name])}
    # Also the rows of what no text holds, but no encoder weight is without them altogether. Token types and keys'
    # biases may stay: softmax does not feel the latter.
    assert kept >= {name for name in before if "classifier" in name or "pooler" in name}
    assert any("attention" in name and name not in kept for name in before)
    finish(distil_boundaries(dataclasses.replace(stage, switch_rate=0.5), pairs.context(tmp_path / "refined")))
    refined = _weights(tmp_path / "refined")
    assert all(not torch.equal(before[name], refined[name]) for name in before if name.startswith("classifier"))


def test_one_decay_of_the_rate_spans_both_phases(pairs: Pairs, tmp_path: Path) -> None:
    stage = _boundaries(pairs.student("bert"), pairs.teacher("bert"), epochs=4, learning_rate=1e-3)
    _, result = finish(distil_boundaries(stage, pairs.context(tmp_path)))
    steps = [3, 6, 9, 12]
    assert [entry["step"] for entry in result.history] == steps
    assert [entry["learning_rate"] for entry in result.history] == pytest.approx(
        [1e-3 * (12 - (step - 1)) / 12 for step in steps]
    )


@pytest.mark.parametrize("setting", ["fixed", "learned", "same width"])
def test_distilling_boundaries_brings_the_student_closer(setting: str, pairs: Pairs, tmp_path: Path) -> None:
    teacher = pairs.teacher("bert", **({} if setting == "same width" else {"hidden_size": 48}))
    kind = "fixed" if setting == "same width" else setting
    options = {"epochs": 8, "switch_rate": 1.0, "learning_rate": 3e-3, "projection": kind}
    stage = _boundaries(pairs.student("albert"), teacher, **options)
    context = pairs.context(tmp_path, due=lambda asked: True)
    objective = _objective(stage, pairs)
    before = float(_mean_difference(objective))
    _, result = finish(distil_boundaries(stage, context))
    trained = _objective(stage, pairs)
    state = context.load_checkpoint()
    assert state is not None
    trained.model.load_state_dict(state["model"])
    assert float(_mean_difference(trained)) < 0.6 * before
    assert [entry["loss"] for entry in result.history] == sorted((e["loss"] for e in result.history), reverse=True)


def _objective(stage: ActivationBoundaryDistillation, pairs: Pairs) -> BoundaryDistillation:
    folder = pairs.inputs[stage.student].folder / MODEL
    return BoundaryDistillation(stage, folder, pairs.outputs(stage.teacher_outputs), "cpu")


def _mean_difference(objective: BoundaryDistillation) -> float:
    """L_AT on the training split."""
    work = objective.score("train")
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: dict[str, float] = end.value
            return found["train/l_at"]


# --- the losses in place -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden_size", [32, 48])
@pytest.mark.parametrize("kind", ["fixed", "learned"])
def test_the_boundary_loss_is_that_of_the_two_models(kind: str, hidden_size: int, pairs: Pairs) -> None:
    teacher = pairs.teacher("bert", hidden_size=hidden_size)
    stage = _boundaries(pairs.student("roberta"), teacher, projection=kind, margin=0.5, boundary_scale=0.25, seed=3)
    objective = _objective(stage, pairs)
    objective.model.eval()
    batch = objective.batches(0)[0]
    ids = [objective.splits["train"].ids[row] for row in batch.rows.tolist()]
    said = outputs.vectors(pairs.outputs(teacher), ids, "train")
    examples = {example.id: example for example in sources.load("mini", "gad")["train"]}
    folder = pairs.inputs[stage.student].folder / MODEL
    own = transformers.AutoModelForSequenceClassification.from_pretrained(str(folder)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    expected = 0.0
    with torch.no_grad():
        found = float(objective.loss(batch, 0))
        for each, vector in zip(ids, said, strict=True):
            given = tokenizer(examples[each].text, truncation=True, max_length=32, return_tensors="pt")  # type: ignore[union-attr]
            student = own.base_model(**given).last_hidden_state[0, 0]
            if hidden_size != 32 and kind == "fixed":
                vector = projection.layer(48, 32, seed=3)(vector)
            elif hidden_size != 32:
                student = projection.layer(32, 48, seed=3)(student)
            for t, s in zip(vector.tolist(), student.tolist(), strict=True):
                expected += max(0.0, 0.5 - s if t > 0 else 0.5 + s) ** 2
    assert found == pytest.approx(0.25 * expected / len(ids), rel=1e-4)
    units = 48 if kind == "learned" and hidden_size == 48 else 32
    assert objective.active["train"].shape == (24, units)


def test_after_the_switch_the_loss_is_the_penalised_cross_entropy(pairs: Pairs) -> None:
    stage = _boundaries(pairs.student("bert"), pairs.teacher("bert"), confidence_penalty=0.7)
    objective = _objective(stage, pairs)
    objective.model.eval()
    batch = objective.batches(1)[0]
    train = objective.splits["train"]
    with torch.no_grad():
        logits = objective.classifier(**train.packed.inputs(batch, "cpu")).logits
        expected = losses.cross_entropy(logits, train.targets_of(batch)) - 0.7 * losses.entropy(logits)
        assert float(objective.loss(batch, 1)) == pytest.approx(float(expected), rel=1e-6)


def test_probabilities_are_distilled_until_the_switch(pairs: Pairs, tmp_path: Path) -> None:
    student, teacher = pairs.student("bert"), pairs.teacher("bert")
    stage = KLDistillation(student, teacher, epochs=2, switch_rate=0.5)
    folder = pairs.inputs[student].folder / MODEL
    objective = ProbabilityDistillation(stage, folder, pairs.outputs(teacher), "cpu")
    objective.model.eval()
    batch = objective.batches(0)[0]
    train = objective.splits["train"]
    ids = [train.ids[row] for row in batch.rows.tolist()]
    said = outputs.logits(pairs.outputs(teacher), ids, "train", 2)
    with torch.no_grad():
        logits = objective.classifier(**train.packed.inputs(batch, "cpu")).logits
        expected = (said.softmax(-1) * (said.softmax(-1).log() - logits.softmax(-1).log())).sum(-1).mean()
        assert float(objective.loss(batch, 0)) == pytest.approx(float(expected), rel=1e-3)
        assert float(objective.loss(batch, 1)) == pytest.approx(
            float(losses.cross_entropy(logits, train.targets_of(batch))), rel=1e-6
        )
    _, result = finish(distil_probabilities(stage, pairs.context(tmp_path)))
    assert result.history[1]["resource"] == 1.0
    assert {"dev/l_at", "dev/l_at_boundary", "test/l_at", "test/l_at_boundary"} <= set(result.metrics)


def test_probabilities_of_a_teacher_of_another_width_leave_activations_uncompared(pairs: Pairs, tmp_path: Path) -> None:
    stage = KLDistillation(pairs.student("bert"), pairs.teacher("bert", hidden_size=48), epochs=2, switch_rate=0.5)
    _, result = finish(distil_probabilities(stage, pairs.context(tmp_path)))
    assert not any("l_at" in name for name in result.metrics)


def test_a_student_does_not_differ_from_itself(pairs: Pairs) -> None:
    """Its own outputs as a teacher's: the pass that keeps them and the evaluation see the same vectors."""
    student = pairs.student("roberta")
    stage = _boundaries(student, pairs._made(TeacherOutputs(student)))
    assert _mean_difference(_objective(stage, pairs)) == 0.0


# --- exactness -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "width"), [({"weight_decay": 0.01, "confidence_penalty": 0.5}, 32), ({"projection": "learned"}, 48)]
)
def test_stopped_at_any_yield_it_ends_with_the_same_bits(
    options: dict[str, Any], width: int, pairs: Pairs, tmp_path: Path
) -> None:
    """In either phase, at the switch, in any evaluation."""
    stage = _boundaries(
        pairs.student("bert"),
        pairs.teacher("bert", hidden_size=width),
        epochs=3,
        switch_rate=0.7,
        learning_rate=1e-3,
        **options,
    )
    assert stage.switch_epoch == 2
    seen, whole = finish(distil_boundaries(stage, pairs.context(tmp_path / "whole")))
    assert {progress.phase for progress in seen} == {"train", "dev", "test"}
    for stop in range(1, len(seen) + 1):
        folder = tmp_path / str(stop)
        result, stopped = run_with_stops(distil_boundaries, stage, folder, tmp_path, iter([stop]), inputs=pairs.inputs)
        assert stopped == 1
        assert _written(folder) == _written(tmp_path / "whole"), (stop, seen[stop - 1])
        assert result == whole, stop


def test_the_same_holds_in_bfloat16(pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a GPU, run with the CPU's autocast."""
    stage = _boundaries(pairs.student("bert"), pairs.teacher("bert", hidden_size=48), projection="learned")
    finish(distil_boundaries(stage, pairs.context(tmp_path / "float32")))
    monkeypatch.setattr(devices, "precision", lambda device: devices.BFLOAT16)
    _, whole = finish(distil_boundaries(stage, pairs.context(tmp_path / "whole")))
    assert whole.facts["precision"] == "bfloat16"
    assert _written(tmp_path / "whole") != _written(tmp_path / "float32")
    result, _ = run_with_stops(distil_boundaries, stage, tmp_path, tmp_path, iter([4, 2]), inputs=pairs.inputs)
    assert result == whole
    assert _written(tmp_path) == _written(tmp_path / "whole")


def test_a_learned_projection_is_judged_in_the_format_that_it_is_trained_in(
    pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "precision", lambda device: devices.BFLOAT16)
    stage = _boundaries(pairs.student("bert"), pairs.teacher("bert", hidden_size=48), projection="learned")
    objective = _objective(stage, pairs)
    formats = []
    real = objective.compared

    def compared(vectors: Tensor) -> Tensor:
        formats.append(real(vectors).dtype)
        return real(vectors)

    monkeypatch.setattr(objective, "compared", compared)
    with devices.autocast("cpu"):
        objective.loss(objective.batches(0)[0], 0)
    _mean_difference(objective)
    assert formats == [torch.bfloat16, torch.bfloat16]


def test_it_depends_on_its_seed_alone(pairs: Pairs, tmp_path: Path) -> None:
    stage = _boundaries(pairs.student("bert"), pairs.teacher("bert", hidden_size=48))
    for name in ("one", "other"):
        torch.manual_seed(len(name))
        finish(distil_boundaries(stage, pairs.context(tmp_path / name)))
    assert _written(tmp_path / "one") == _written(tmp_path / "other")
    finish(distil_boundaries(dataclasses.replace(stage, seed=1), pairs.context(tmp_path / "seeded")))
    assert _written(tmp_path / "seeded") != _written(tmp_path / "one")


def test_a_learned_projection_is_trained_until_the_switch_and_part_of_the_checkpoint(
    pairs: Pairs, tmp_path: Path
) -> None:
    stage = _boundaries(
        pairs.student("bert"), pairs.teacher("bert", hidden_size=48), epochs=2, projection="learned", weight_decay=0.1
    )
    first = projection.layer(32, 48, seed=0).weight
    context = pairs.context(tmp_path, due=lambda asked: True)
    found: dict[str, list[Tensor]] = {}
    for progress in distil_boundaries(stage, context):
        if progress.phase == "train" and not progress.metrics:
            state = context.load_checkpoint()
            assert state is not None
            phase = "boundary" if progress.step <= 3 else "refinement"
            found.setdefault(phase, []).append(state["model"]["projection.weight"])
    steps = [first, *found["boundary"]]
    assert not any(torch.equal(one, other) for one, other in itertools.pairwise(steps))
    assert all(torch.equal(weight, steps[-1]) for weight in found["refinement"])


def test_parameters_are_those_of_the_student(pairs: Pairs, tmp_path: Path) -> None:
    student = pairs.student("bert")
    stage = _boundaries(student, pairs.teacher("bert", hidden_size=48), projection="learned", epochs=1, switch_rate=1.0)
    _, result = finish(distil_boundaries(stage, pairs.context(tmp_path)))
    assert result.facts["parameters"] == pairs.inputs[student].result.facts["parameters"]


# --- what is refused -----------------------------------------------------------------------------------------------


def test_a_student_that_trains_on_more_than_the_teacher_saw_is_refused_when_planned(pairs: Pairs) -> None:
    for limit in (25, None):
        student = dataclasses.replace(pairs.student("bert"), train_limit=limit)
        with pytest.raises(UserError, match=rf"train_limit={limit} must not exceed .* teacher's outputs, 24"):
            _boundaries(student, pairs.teacher("bert"))
    fewer = dataclasses.replace(pairs.student("bert"), train_limit=12)
    assert _boundaries(fewer, pairs.teacher("bert")).train_limit == 12


@pytest.mark.parametrize("method", [ActivationBoundaryDistillation, KLDistillation])
def test_a_teacher_of_another_fold_or_source_and_outputs_on_fewer_splits_are_refused(method: Any, bert: Path) -> None:
    def tuned(task: str, data: str = "mini") -> FineTune:
        return FineTune(task, pretrained(bert), data, **_SIZES)

    for own, task in (("gad@2/3", "gad@1/3"), ("gad", "gad@1/3"), ("gad@1/3", "gad")):
        with pytest.raises(
            UserError, match=f"teacher of {own}, whose training examples are partly the test examples of {task}; give"
        ):
            method(tuned(task), TeacherOutputs(tuned(own), task=task))
    method(tuned("gad@1/3"), TeacherOutputs(tuned("gad@1/3")))
    said = "is fine-tuned on gad from '/elsewhere', whose training examples may be test examples of 'mini'"
    with pytest.raises(UserError, match=f"{method.__name__}.teacher_outputs are of a teacher that {said}"):
        method(tuned("gad"), TeacherOutputs(tuned("gad", "/elsewhere"), data="mini"))
    with pytest.raises(UserError, match=f"{method.__name__}.student {said}"):
        method(tuned("gad", "/elsewhere"), TeacherOutputs(tuned("gad")))
    with pytest.raises(UserError, match="teacher_outputs are of train alone; give outputs on train, dev, test"):
        method(tuned("gad"), TeacherOutputs(tuned("gad"), splits=("train",)))


def test_a_student_without_its_head_is_refused(pairs: Pairs, tmp_path: Path, bert: Path) -> None:
    stage = _boundaries(pairs.student("bert"), pairs.teacher("bert"))
    inputs = {**pairs.inputs, stage.student: Finished(tmp_path / "bare", pairs.inputs[stage.student].result)}
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / MODEL).symlink_to(bert)
    with pytest.raises(UserError, match="is no classifier of texts"):
        finish(distil_boundaries(stage, MemoryContext(tmp_path / "run", bert, inputs=inputs)))
    assert models.finetuned(pairs.inputs[stage.student].folder / MODEL, tasks.get("gad")) is not None
