from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import recall_score

from tests.trainables import tiny
from tests.trainables.tiny import Finished, MemoryContext, finish, pretrained, run_with_stops
from trainables.context import MODEL, OUTPUTS, PREDICTIONS
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.multi_teacher import MultiTeacher, run
from trainables.stages import FineTune, MultiTeacherDistillation, TeacherOutputs
from trainables.stages.multi_teacher import BY_EXPERTISE, STRATEGIES
from trainables.training import losses, outputs

_SIZES: dict[str, Any] = {"batch_size": 8, "train_limit": 24, "max_length": 32}


class School:
    """Teachers with their outputs and a student for some tasks, each made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inputs: dict[Stage, Finished] = {}
        self._starts = {
            "bert": tiny.bert(folder / "bert"),
            "roberta": tiny.roberta(folder / "roberta"),
            "wide": tiny.bert(folder / "wide", hidden_size=48),
        }

    def teacher(self, start: str, task: str = "chemprot") -> TeacherOutputs:
        return self._made(TeacherOutputs(self._tuned(start, task, epochs=3, learning_rate=2e-3)))

    def student(self, task: str = "chemprot") -> FineTune:
        return self._tuned("bert", task, epochs=1, learning_rate=1e-4)

    def stage(self, task: str = "chemprot", **options: Any) -> MultiTeacherDistillation:
        teachers = tuple(self.teacher(start, task) for start in ("roberta", "wide", "bert"))
        return MultiTeacherDistillation(self.student(task), teachers, **{"epochs": 2, "learning_rate": 1e-3, **options})

    def context(self, folder: Path, **options: Any) -> MemoryContext:
        return MemoryContext(folder, self.folder / "nothing", inputs=self.inputs, **options)

    def objective(self, stage: MultiTeacherDistillation) -> MultiTeacher:
        said = [self.inputs[each].folder / OUTPUTS for each in stage.teacher_outputs]
        return MultiTeacher(stage, self.inputs[stage.student].folder / MODEL, said, "cpu")

    def _tuned(self, start: str, task: str, **options: Any) -> FineTune:
        return self._made(FineTune(task, pretrained(self._starts[start]), "mini", **{**_SIZES, **options}))

    def _made(self, stage: Any) -> Any:
        if stage not in self.inputs:
            start = Path(stage.init.name) if isinstance(stage, FineTune) else self.folder
            self.inputs[stage] = tiny.finished(stage, self.folder / stage.key, start, self.inputs)
        return stage


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> School:
    return School(tmp_path_factory.mktemp("school"))


# --- what a distillation leaves --------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["chemprot", "jnlpba"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_trains_on_texts_and_on_words(strategy: str, task: str, school: School, tmp_path: Path) -> None:
    seen, result = finish(run(school.stage(task, strategy=strategy), school.context(tmp_path)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [MODEL, PREDICTIONS]
    assert [entry["epoch"] for entry in result.history] == [1, 2]
    assert result.history[1]["loss"] < result.history[0]["loss"]
    assert {"dev", "test"} == {name.partition("/")[0] for name in result.metrics}
    assert seen
    json.dumps(dataclasses.asdict(result))


def test_no_teacher_is_loaded(school: School, tmp_path: Path) -> None:
    stage = school.stage()
    context = school.context(tmp_path)
    finish(run(stage, context))
    assert context.loaded == [stage.student]


def test_the_teachers_expertise_is_that_of_their_own_predictions(school: School, tmp_path: Path) -> None:
    stage = school.stage()
    _, result = finish(run(stage, school.context(tmp_path)))
    found = result.facts["expertise"]
    assert found["split"] == "dev"
    for number, teacher in enumerate(stage.teachers):
        table = pq.read_table(school.inputs[teacher].folder / PREDICTIONS).to_pylist()
        rows = [row for row in table if row["split"] == "dev"]
        gold, said = ([row[name][0] for row in rows] for name in ("gold", "prediction"))
        assert found["accuracy"][number] == pytest.approx(numpy.mean(numpy.array(gold) == numpy.array(said)))
        recalls = recall_score(gold, said, labels=range(6), average=None, zero_division=0)
        assert list(found["class_accuracy"][number].values()) == pytest.approx(list(recalls))
    for label, best in found["experts"].items():
        scores = [table[label] for table in found["class_accuracy"]]
        assert scores[best] == max(scores)


def test_expertise_on_test_is_another_stage_and_says_so(school: School, tmp_path: Path) -> None:
    dev, test = school.stage(), school.stage(expertise_split="test")
    assert dev.key != test.key
    _, result = finish(run(test, school.context(tmp_path)))
    assert result.facts["expertise"]["split"] == "test"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_where_expertise_is_measured_matters_only_where_it_is_gone_by(strategy: str, bert: Path) -> None:
    teachers = tuple(TeacherOutputs(_fine_tuned("chemprot", bert, seed=seed)) for seed in range(2))
    dev, test = (
        MultiTeacherDistillation(_fine_tuned("chemprot", bert), teachers, strategy=strategy, expertise_split=split)
        for split in ("dev", "test")
    )
    matters = strategy in BY_EXPERTISE
    assert (dev.key != test.key) == (dev != test) == matters
    assert test.expertise_split == ("test" if matters else "dev")


# --- the loss ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["chemprot", "jnlpba"])
@pytest.mark.parametrize(("alpha", "temperature", "teacher_loss"), [(0.5, 1.0, 0.0), (0.2, 2.0, 0.3), (1.0, 1.0, 0.0)])
def test_the_loss_is_what_the_thesis_says(
    task: str, alpha: float, temperature: float, teacher_loss: float, school: School
) -> None:
    settings = {"alpha": alpha, "temperature": temperature, "teacher_loss": teacher_loss}
    stage = school.stage(task, strategy="average_logits", **settings)
    objective = school.objective(stage)
    objective.model.eval()
    batch, train = objective.batches(0)[0], objective.splits["train"]
    labels = len(objective.task.labels)
    said = [
        outputs.logits(school.inputs[one].folder / OUTPUTS, train.ids, "train", labels) for one in stage.teacher_outputs
    ]
    with torch.no_grad():
        logits = objective.classifier(**train.packed.inputs(batch, "cpu")).logits
        gold_loss = losses.cross_entropy(logits, train.targets_of(batch))
        own, units = train.units_of(batch, logits)
        told = (torch.stack(said).mean(dim=0)[units] / temperature).softmax(-1)
        against = -(told * (own / temperature).log_softmax(-1)).sum(-1).mean()
        gold = torch.tensor([label for labels in train.gold for label in labels])[units]
        teachers = -told[torch.arange(len(gold)), gold].log().mean()
        expected = alpha * gold_loss + (1 - alpha) * against + teacher_loss * teachers
        assert float(objective.loss(batch, 0)) == pytest.approx(float(expected), rel=1e-5)


def test_the_teachers_own_loss_has_no_gradient(school: School) -> None:
    found = []
    for weight in (0.0, 0.7):
        objective = school.objective(school.stage(teacher_loss=weight))
        objective.model.eval()
        loss = objective.loss(objective.batches(0)[0], 0)
        loss.backward()
        gradient = [parameter.grad for parameter in objective.model.parameters() if parameter.grad is not None]
        found.append((float(loss.detach()), torch.cat([one.reshape(-1) for one in gradient])))
    assert found[1][0] > found[0][0]
    assert torch.equal(found[0][1], found[1][1])


def test_a_random_teacher_changes_with_the_epoch_and_the_seed_alone(school: School) -> None:
    stage = school.stage(strategy="random_teacher")
    one, again = school.objective(stage), school.objective(stage)
    other = school.objective(dataclasses.replace(stage, seed=1))
    assert torch.equal(one.told(0), again.told(0))
    first = one.told(0)
    assert not torch.equal(first, one.told(1))
    assert torch.equal(one.told(1), again.told(1))
    assert torch.equal(one.told(0), first)
    assert not torch.equal(first, other.told(0))


def test_an_interrupted_stage_ends_with_the_same_bits(school: School, tmp_path: Path) -> None:
    stage = school.stage(strategy="random_teacher")
    _, whole = finish(run(stage, school.context(tmp_path / "whole")))
    result, stopped = run_with_stops(
        run, stage, tmp_path / "stopped", school.folder, itertools.cycle([3, 5, 2]), inputs=school.inputs
    )
    assert stopped > 2
    assert result == whole
    for name in (PREDICTIONS, f"{MODEL}/model.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


# --- what is refused --------------------------------------------------------------------------------------------


def _fine_tuned(task: str, start: Path, **options: Any) -> FineTune:
    return FineTune(task, pretrained(start), "mini", **{**_SIZES, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "expertize"}, r"strategy='expertize' is unknown; did you mean 'expertise'"),
        ({"alpha": 1.5}, r"alpha=1\.5 must lie between 0 and 1"),
        ({"temperature": 0.0}, r"temperature=0\.0 must be above 0"),
        ({"expertise_split": "train"}, r"expertise_split='train' is unknown"),
        ({"teacher_loss": -1.0}, r"teacher_loss=-1\.0 must be at least 0"),
        ({"train_limit": 200}, r"train_limit=200 must not exceed that of its teacher's outputs, 24"),
    ],
)
def test_settings_are_refused_when_planned(options: dict[str, Any], message: str, bert: Path) -> None:
    teachers = tuple(TeacherOutputs(_fine_tuned("chemprot", bert, seed=seed)) for seed in range(2))
    with pytest.raises(UserError, match=f"MultiTeacherDistillation.{message}"):
        MultiTeacherDistillation(_fine_tuned("chemprot", bert), teachers, **options)


def test_one_teacher_is_refused_where_several_are_needed(bert: Path) -> None:
    one = TeacherOutputs(_fine_tuned("chemprot", bert))
    for teachers in ((one,), (one, one)):
        with pytest.raises(UserError, match="teacher_outputs are of 1 teachers; give two different ones"):
            MultiTeacherDistillation(_fine_tuned("chemprot", bert), teachers)


def test_a_teacher_that_is_there_twice_is_refused(bert: Path) -> None:
    one, other = (TeacherOutputs(_fine_tuned("chemprot", bert, seed=seed)) for seed in range(2))
    again = dataclasses.replace(one, max_length=16)
    with pytest.raises(
        UserError, match=r"teacher_outputs 1 and 3 are of one teacher, chemprot seed 0 .*give each teac"
    ):
        MultiTeacherDistillation(_fine_tuned("chemprot", bert), (one, other, again))
    with pytest.raises(UserError, match="teacher_outputs are of 1 teachers; give two different ones"):
        MultiTeacherDistillation(_fine_tuned("chemprot", bert), (one, again))


@pytest.mark.parametrize(("own", "task"), [("gad@2/3", "gad@1/3"), ("gad", "gad@1/3"), ("gad@1/3", "gad")])
def test_a_teacher_of_another_fold_is_refused(own: str, task: str, bert: Path) -> None:
    fitting = TeacherOutputs(_fine_tuned(task, bert))
    stranger = TeacherOutputs(_fine_tuned(own, bert), task=task)
    with pytest.raises(
        UserError, match=f"teacher of {own}, whose training examples are partly the test examples of {task}; give a "
    ):
        MultiTeacherDistillation(_fine_tuned(task, bert), (fitting, stranger))


def test_teachers_and_students_of_another_source_are_refused(bert: Path) -> None:
    fitting = tuple(TeacherOutputs(_fine_tuned("gad", bert, seed=seed)) for seed in range(2))
    elsewhere = FineTune("gad", pretrained(bert), "/elsewhere", **_SIZES)
    stranger = TeacherOutputs(elsewhere, data="mini")
    said = "is fine-tuned on gad from '/elsewhere', whose training examples may be test examples of 'mini'"
    with pytest.raises(UserError, match=f"teacher_outputs are of a teacher that {said}"):
        MultiTeacherDistillation(_fine_tuned("gad", bert), (fitting[0], stranger))
    with pytest.raises(UserError, match=f"student {said}"):
        MultiTeacherDistillation(elsewhere, fitting)
    of_random_text = TeacherOutputs(FineTune("gad", pretrained(bert), "random:0:mini", **_SIZES), data="mini")
    MultiTeacherDistillation(_fine_tuned("gad", bert), (fitting[0], of_random_text))


def test_outputs_without_a_split_that_is_needed_are_refused(bert: Path) -> None:
    whole, part = (
        TeacherOutputs(_fine_tuned("gad", bert, seed=place), splits=splits)
        for place, splits in enumerate([("train", "dev"), ("train",)])
    )
    with pytest.raises(UserError, match="teacher_outputs are of train alone; give outputs on train, dev"):
        MultiTeacherDistillation(_fine_tuned("gad", bert), (whole, part))
    other = dataclasses.replace(whole, teacher=_fine_tuned("gad", bert, seed=2))
    MultiTeacherDistillation(_fine_tuned("gad", bert), (whole, other))
    with pytest.raises(UserError, match="teacher_outputs are of train, dev alone; give outputs on train, test"):
        MultiTeacherDistillation(_fine_tuned("gad", bert), (whole, other), expertise_split="test")


def test_teachers_and_students_of_other_labels_are_refused(bert: Path) -> None:
    own = [TeacherOutputs(_fine_tuned("fpb", bert, seed=seed)) for seed in range(2)]
    stranger = TeacherOutputs(_fine_tuned("pubmedqa", bert), task="fpb", data="mini")
    with pytest.raises(UserError, match=r"teacher of pubmedqa, which has other labels \(yes, no, maybe\) than fpb"):
        MultiTeacherDistillation(_fine_tuned("fpb", bert), (own[0], stranger))
    with pytest.raises(UserError, match="student=FineTune solves gad, its teacher fpb"):
        MultiTeacherDistillation(_fine_tuned("gad", bert), tuple(own))
    with pytest.raises(UserError, match=r"outputs are of fts from 'mini' and of fpb from 'mini'"):
        MultiTeacherDistillation(_fine_tuned("fpb", bert), (own[0], TeacherOutputs(_fine_tuned("fts", bert))))


def test_several_labels_per_example_are_refused(bert: Path) -> None:
    teachers = tuple(TeacherOutputs(_fine_tuned("hoc", bert, seed=seed)) for seed in range(2))
    with pytest.raises(UserError, match="task='hoc' has several labels per example"):
        MultiTeacherDistillation(_fine_tuned("hoc", bert), teachers)
