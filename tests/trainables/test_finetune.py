from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Generator
from itertools import chain, repeat
from pathlib import Path

import numpy
import pyarrow.parquet
import pytest
import torch
import transformers

from tests.trainables.tiny import MemoryContext, finish, pretrained, run_with_stops
from trainables.context import Progress
from trainables.data import sources, tasks
from trainables.errors import StageError
from trainables.finetune import run
from trainables.stages import FineTune
from trainables.training import class_metrics, devices, encoding, evaluation, metrics, models, tokenizers


def _stage(task: str, start: Path, **options: object) -> FineTune:
    settings = {"epochs": 2, "batch_size": 8, "train_limit": 20, "learning_rate": 1e-3, **options}
    return FineTune(task, pretrained(start), "mini", **settings)  # type: ignore[arg-type]


def _outputs(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "predictions.parquet").read_bytes(), (folder / "model" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("task", list(tasks.TASKS))
def test_every_task_is_trained_scored_and_written(task: str, bert: Path, tmp_path: Path) -> None:
    stage = _stage(task, bert)
    seen, result = finish(run(stage, MemoryContext(tmp_path, bert)))
    known = tasks.get(task)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "predictions.parquet"]
    table = pyarrow.parquet.read_table(tmp_path / "predictions.parquet")
    assert {name: str(kind) for name, kind in zip(table.schema.names, table.schema.types, strict=True)} == {
        "id": "string",
        "split": "string",
        "gold": "list<element: int16>",
        "prediction": "list<element: int16>",
        "logits": "list<element: float>",
    }
    rows = table.to_pylist()
    examples = sources.load("mini", task)
    for split in ("dev", "test"):
        own = [row for row in rows if row["split"] == split]
        assert [row["id"] for row in own] == [example.id for example in examples[split]]
        found = metrics.score(known, [row["gold"] for row in own], [row["prediction"] for row in own])
        told = {name.removeprefix(f"{split}/"): v for name, v in result.metrics.items() if split in name}
        assert known.on_tokens or 0 <= told.pop("ece") <= 1
        if task in class_metrics.binary_tasks():
            logits = numpy.array([row["logits"] for row in own])
            assert told.pop("auroc") == pytest.approx(class_metrics.auroc(known, [row["gold"] for row in own], logits))
        assert told == found
        for row in own:
            logits = numpy.array(row["logits"]).reshape(-1, len(known.labels))
            expected = (logits[0] > 0).tolist() if known.multi_label else logits.argmax(axis=1).tolist()
            assert row["prediction"] == expected
    last = result.history[-1]
    assert last[f"dev/{known.metric}"] == result.metrics[f"dev/{known.metric}"]
    assert (last["epoch"], last["step"]) == (2, 6)
    assert result.facts["examples"] == {split: len(examples[split]) for split in ("dev", "test")} | {"train": 20}
    assert result.facts["steps"] == 6
    assert seen[-1].phase == "test"
    json.dumps(dataclasses.asdict(result))


@pytest.mark.parametrize("task", ["ncbi_disease", "ddi", "hoc", "pubmedqa"])
def test_twice_is_bit_for_bit_the_same(task: str, bert: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        torch.manual_seed(len(name))
        finish(run(_stage(task, bert), MemoryContext(tmp_path / name, bert)))
    assert _outputs(tmp_path / "one") == _outputs(tmp_path / "other")
    finish(run(_stage(task, bert, seed=1), MemoryContext(tmp_path / "seeded", bert)))
    assert _outputs(tmp_path / "seeded")[1] != _outputs(tmp_path / "one")[1]


@pytest.mark.parametrize("task", ["ncbi_disease", "gad"])
def test_stopped_at_any_yield_it_ends_with_the_same_bits(task: str, bert: Path, tmp_path: Path) -> None:
    stage = _stage(task, bert)
    seen, whole = finish(run(stage, MemoryContext(tmp_path / "whole", bert)))
    for stop in range(1, len(seen) + 1):
        folder = tmp_path / str(stop)
        result, stopped = run_with_stops(run, stage, folder, bert, iter([stop]))
        assert stopped == 1
        assert _outputs(folder) == _outputs(tmp_path / "whole"), (stop, seen[stop - 1])
        assert result == whole, stop


def test_stopped_again_and_again_with_checkpoints_at_times(bert: Path, tmp_path: Path) -> None:
    stage = _stage("ebm_pico", bert)
    _, whole = finish(run(stage, MemoryContext(tmp_path / "whole", bert)))
    for attempt in range(5):
        chance = random.Random(attempt)
        stops = chain((chance.randint(2, 5) for _ in range(6)), repeat(10**6))
        folder = tmp_path / str(attempt)
        result, stopped = run_with_stops(run, stage, folder, bert, stops, lambda asked, n=attempt: asked % (n + 2) == 1)
        assert stopped >= 2
        assert _outputs(folder) == _outputs(tmp_path / "whole")
        assert result == whole


def test_the_same_holds_in_bfloat16(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path of a GPU, run with the CPU's autocast."""
    finish(run(_stage("gad", bert), MemoryContext(tmp_path / "float32", bert)))
    monkeypatch.setattr(devices, "precision", lambda device: devices.BFLOAT16)
    _, whole = finish(run(_stage("gad", bert), MemoryContext(tmp_path / "whole", bert)))
    assert whole.facts["precision"] == "bfloat16"
    assert _outputs(tmp_path / "whole") != _outputs(tmp_path / "float32")
    result, _ = run_with_stops(run, _stage("gad", bert), tmp_path / "stopped", bert, iter([4, 2]))
    assert result == whole
    assert _outputs(tmp_path / "stopped") == _outputs(tmp_path / "whole")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(str(tmp_path / "whole" / "model"))
    assert model.dtype == torch.float32


def test_another_stage_before_it_in_the_process_changes_nothing(bert: Path, tmp_path: Path) -> None:
    finish(run(_stage("gad", bert), MemoryContext(tmp_path / "alone", bert)))
    finish(run(_stage("hoc", bert, seed=9), MemoryContext(tmp_path / "before", bert)))
    stopped = run(_stage("jnlpba", bert), MemoryContext(tmp_path / "stopped", bert))
    for _ in range(9):
        next(stopped)
    finish(run(_stage("gad", bert), MemoryContext(tmp_path / "after", bert)))
    assert _outputs(tmp_path / "alone") == _outputs(tmp_path / "after")
    assert not torch.is_inference_mode_enabled()
    assert torch.is_grad_enabled()


def test_it_learns(bert: Path, tmp_path: Path) -> None:
    _, result = finish(run(_stage("gad", bert, train_limit=300, epochs=6), MemoryContext(tmp_path, bert)))
    assert result.history[-1]["loss"] < result.history[0]["loss"]


@pytest.mark.parametrize("task", ["bc2gm", "pubmedqa", "hoc"])
def test_a_model_with_other_special_pieces_works(task: str, roberta: Path, tmp_path: Path) -> None:
    _, result = finish(run(_stage(task, roberta), MemoryContext(tmp_path, roberta)))
    assert f"test/{tasks.get(task).metric}" in result.metrics


def _drain(work: Generator[Progress, None, numpy.ndarray]) -> numpy.ndarray:
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def test_padding_does_not_change_a_prediction(roberta: Path, bert: Path) -> None:
    for folder in (roberta, bert):
        task = tasks.get("gad")
        model = models.classifier(folder, task, seed=0)
        tokenizer = tokenizers.load(folder)
        examples = sources.load("mini", "gad")["dev"][:12]
        together = _drain(evaluation.predict(model, encoding.encode(examples, task, tokenizer, 64), "cpu", "dev"))
        for index, example in enumerate(examples):
            one = encoding.encode([example], task, tokenizer, 64)  # type: ignore[list-item]
            alone = _drain(evaluation.predict(model, one, "cpu", "dev"))
            assert numpy.allclose(alone[0], together[index], atol=1e-5)


def test_sequences_beyond_the_limit_are_predicted_to_their_last_word(bert: Path, tmp_path: Path) -> None:
    _, result = finish(run(_stage("jnlpba", bert, max_length=10), MemoryContext(tmp_path, bert)))
    rows = pyarrow.parquet.read_table(tmp_path / "predictions.parquet").to_pylist()
    assert all(len(row["prediction"]) == len(row["gold"]) for row in rows)
    # No row is left at the logits that stand for a word without pieces.
    assert not any(row["logits"][-2:] == [-10.0, -10.0] for row in rows)
    assert result.facts["max_length"] == 10


def test_a_length_beyond_the_models_is_cut_and_told(bert: Path, tmp_path: Path) -> None:
    _, result = finish(run(_stage("gad", bert, max_length=500), MemoryContext(tmp_path, bert)))
    assert (result.facts["max_length"], result.facts["max_length_asked"]) == (64, 500)


def test_weights_are_left_out_where_nobody_wants_them(bert: Path, tmp_path: Path) -> None:
    finish(run(_stage("gad", bert), MemoryContext(tmp_path, bert, keep_model=False)))
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.parquet"]


def test_saved_weights_make_the_written_predictions(bert: Path, tmp_path: Path) -> None:
    finish(run(_stage("gad", bert), MemoryContext(tmp_path, bert)))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(str(tmp_path / "model")).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "model"))
    example = sources.load("mini", "gad")["test"][0]
    row = next(
        r for r in pyarrow.parquet.read_table(tmp_path / "predictions.parquet").to_pylist() if r["split"] == "test"
    )
    with torch.no_grad():
        logits = model(**tokenizer(example.text, return_tensors="pt")).logits[0]  # type: ignore[union-attr]
    assert numpy.allclose(logits.numpy(), row["logits"], atol=1e-5)


def test_a_loss_that_explodes_names_the_settings(bert: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"step \d+ of 6 \(task=gad, batch_size=8.*learning_rate=1e\+30"):
        finish(run(_stage("gad", bert, learning_rate=1e30, warmup_ratio=0.0), MemoryContext(tmp_path, bert)))
