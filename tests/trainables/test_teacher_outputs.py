from __future__ import annotations

from pathlib import Path

import numpy
import pyarrow.parquet as pq
import pytest
import torch
import transformers

from tests.trainables import tiny
from tests.trainables.tiny import Finished, MemoryContext, finish, pretrained
from trainables.context import OUTPUTS
from trainables.data import sources
from trainables.errors import UserError
from trainables.stages import FineTune, TeacherOutputs
from trainables.teacher_outputs import run
from trainables.training import encoding


@pytest.fixture(scope="module")
def teacher(bert: Path) -> FineTune:
    settings = {"epochs": 1, "batch_size": 8, "train_limit": 40, "learning_rate": 1e-3, "confidence_penalty": 0.3}
    return FineTune("gad", pretrained(bert), "mini", **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(teacher: FineTune, bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return tiny.finished(teacher, tmp_path_factory.mktemp("teacher"), bert)


def _rows(folder: Path, split: str) -> list[dict[str, object]]:
    return [row for row in pq.read_table(folder / OUTPUTS).to_pylist() if row["split"] == split]


def test_every_example_has_its_outputs_under_its_id(teacher: FineTune, trained: Finished, tmp_path: Path) -> None:
    stage = TeacherOutputs(teacher)
    seen, result = finish(run(stage, MemoryContext(tmp_path, trained.folder / "model")))
    assert [path.name for path in tmp_path.iterdir()] == [OUTPUTS]
    examples = sources.load("mini", "gad")
    chosen = encoding.chosen(examples["train"], 40)
    assert [row["id"] for row in _rows(tmp_path, "train")] == [example.id for example in chosen]
    for split in ("dev", "test"):
        assert [row["id"] for row in _rows(tmp_path, split)] == [example.id for example in examples[split]]
    assert [(progress.step, progress.total) for progress in seen] == [
        (step, len(seen)) for step in range(1, len(seen) + 1)
    ]
    assert [progress.phase for progress in seen] == sorted((p.phase for p in seen), key=["train", "dev", "test"].index)
    assert result.metrics == {}
    facts = result.facts
    assert (facts["width"], facts["steps"], facts["precision"]) == (32, len(seen), "float32")
    assert facts["parameters"] == trained.result.facts["parameters"]
    assert facts["examples"] == {"train": 40, "dev": len(examples["dev"]), "test": len(examples["test"])}


def test_they_are_what_the_model_says(teacher: FineTune, trained: Finished, tmp_path: Path) -> None:
    """Logits are those of the teacher's own predictions; the vectors are transformers' last hidden state."""
    model = trained.folder / "model"
    finish(run(TeacherOutputs(teacher), MemoryContext(tmp_path, model)))
    predicted = pq.read_table(trained.folder / "predictions.parquet").to_pylist()
    for split in ("dev", "test"):
        own, theirs = _rows(tmp_path, split), [row for row in predicted if row["split"] == split]
        assert [row["id"] for row in own] == [row["id"] for row in theirs]
        assert numpy.allclose([row["logits"] for row in own], [row["logits"] for row in theirs], atol=1e-6)
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(str(model)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(model))
    for row, example in zip(_rows(tmp_path, "test")[:5], sources.load("mini", "gad")["test"][:5], strict=True):
        with torch.no_grad():
            said = loaded(**tokenizer(example.text, return_tensors="pt"), output_hidden_states=True)  # type: ignore[union-attr]
        assert numpy.allclose(row["cls"], said.hidden_states[-1][0, 0], atol=1e-5)
        assert numpy.allclose(row["logits"], said.logits[0], atol=1e-5)


def test_twice_is_bit_for_bit_the_same(teacher: FineTune, trained: Finished, tmp_path: Path) -> None:
    for name in ("one", "other"):
        torch.manual_seed(len(name))
        finish(run(TeacherOutputs(teacher), MemoryContext(tmp_path / name, trained.folder / "model")))
    assert (tmp_path / "one" / OUTPUTS).read_bytes() == (tmp_path / "other" / OUTPUTS).read_bytes()


def test_a_teacher_reads_another_tasks_texts(teacher: FineTune, trained: Finished, tmp_path: Path) -> None:
    """Its logits are of its own two labels, not of that task's six."""
    stage = TeacherOutputs(teacher, task="chemprot", train_limit=12)
    finish(run(stage, MemoryContext(tmp_path, trained.folder / "model")))
    examples = encoding.chosen(sources.load("mini", "chemprot")["train"], 12)
    rows = _rows(tmp_path, "train")
    assert [row["id"] for row in rows] == [example.id for example in examples]
    assert {len(row["logits"]) for row in rows} == {2}  # type: ignore[arg-type]


def test_only_the_splits_that_are_wanted_are_read(teacher: FineTune, trained: Finished, tmp_path: Path) -> None:
    seen, result = finish(
        run(TeacherOutputs(teacher, splits=("train",)), MemoryContext(tmp_path, trained.folder / "model"))
    )
    assert {progress.phase for progress in seen} == {"train"}
    assert result.facts["examples"] == {"train": 40}
    finish(run(TeacherOutputs(teacher), MemoryContext(tmp_path / "all", trained.folder / "model")))
    assert pq.read_table(tmp_path / OUTPUTS).to_pylist() == _rows(tmp_path / "all", "train")


def test_all_splits_in_any_order_are_what_is_read_unless_others_are_named(teacher: FineTune) -> None:
    every = TeacherOutputs(teacher)
    assert "splits" not in every.canonical()["fields"]
    assert TeacherOutputs(teacher, splits=("test", "train", "dev")) == every
    some = [TeacherOutputs(teacher, splits=splits) for splits in (("train",), ("dev", "train"), ("train", "dev"))]
    assert len({every.key, *(one.key for one in some)}) == 3
    for wrong in ((), ("train", "train"), ("train", "valid")):
        with pytest.raises(UserError, match=r"TeacherOutputs\.splits=.* must be some of train, dev, test, each once"):
            TeacherOutputs(teacher, splits=wrong)


def test_an_interruption_need_not_wait(teacher: FineTune, trained: Finished, tmp_path: Path) -> None:
    """It says at its next step that there is nothing to save, and begins again."""
    context = MemoryContext(tmp_path / "stopped", trained.folder / "model", due=lambda asked: asked == 1)
    stopped = run(TeacherOutputs(teacher), context)
    next(stopped)
    assert context.saved is None
    next(stopped)
    assert context.saved is not None
    stopped.close()
    again = MemoryContext(tmp_path / "stopped", trained.folder / "model", saved=context.saved)
    _, result = finish(run(TeacherOutputs(teacher), again))
    _, whole = finish(run(TeacherOutputs(teacher), MemoryContext(tmp_path / "whole", trained.folder / "model")))
    assert result == whole
    assert (tmp_path / "stopped" / OUTPUTS).read_bytes() == (tmp_path / "whole" / OUTPUTS).read_bytes()


def test_a_length_beyond_the_teachers_is_cut_and_told(teacher: FineTune, trained: Finished, tmp_path: Path) -> None:
    stage = TeacherOutputs(teacher, max_length=500)
    _, result = finish(run(stage, MemoryContext(tmp_path, trained.folder / "model")))
    assert (result.facts["max_length"], result.facts["max_length_asked"]) == (64, 500)


def test_a_folder_without_a_head_is_refused(teacher: FineTune, bert: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no classifier of texts"):
        finish(run(TeacherOutputs(teacher), MemoryContext(tmp_path, bert)))


def test_a_teacher_of_words_is_refused_for_texts_when_planned(bert: Path) -> None:
    refusal = r"TeacherOutputs\.task='gad' does not fit its teacher: jnlpba labels words and gad labels texts"
    with pytest.raises(UserError, match=refusal):
        TeacherOutputs(FineTune("jnlpba", pretrained(bert), "mini"), task="gad")


def test_every_word_has_its_logits(bert: Path, tmp_path: Path) -> None:
    """They are those of the teacher's own predictions, however many windows a sentence is read in."""
    teacher = FineTune("jnlpba", pretrained(bert), "mini", epochs=1, train_limit=40, max_length=12)
    trained = tiny.finished(teacher, tmp_path / "teacher", bert)
    finish(run(TeacherOutputs(teacher), MemoryContext(tmp_path / "outputs", trained.folder / "model")))
    predicted = pq.read_table(trained.folder / "predictions.parquet").to_pylist()
    examples = sources.load("mini", "jnlpba")
    for split in ("dev", "test"):
        own, theirs = _rows(tmp_path / "outputs", split), [row for row in predicted if row["split"] == split]
        assert [row["id"] for row in own] == [row["id"] for row in theirs]
        for row, other, example in zip(own, theirs, examples[split], strict=True):
            assert len(row["logits"]) == 3 * len(example.tokens)  # type: ignore[arg-type, union-attr]
            assert numpy.allclose(row["logits"], other["logits"], atol=1e-6)


def test_a_teacher_without_weights_is_refused_when_planned(teacher: FineTune) -> None:
    with pytest.raises(UserError, match=r"TeacherOutputs\.teacher=TeacherOutputs has no weights"):
        TeacherOutputs(TeacherOutputs(teacher))
