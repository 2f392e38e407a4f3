"""``--workers`` from the command line to the result: the same numbers, and nothing lost by a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml

from orchestrator.engine.store import Store
from trainables.data import miniature
from trainables.stages import FineTune, MaskedLanguageModel, RandomInit

ROOT = Path(__file__).resolve().parents[2]
TINY = RandomInit(
    "mini:domain", vocabulary_size=400, hidden_size=32, layers=2, heads=2, intermediate_size=64, positions=64
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two CPU cores"),
]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    corpus = tmp_path_factory.mktemp("corpus") / "some.txt"
    corpus.write_text("".join(f"{text}\n" for text in miniature.corpus("domain")[:400]))
    adapted = MaskedLanguageModel(
        *(str(corpus), TINY), epochs=4, max_length=32, batch_size=16, micro_batch_size=3, learning_rate=1e-3
    )
    return [adapted, FineTune("gad", adapted, "mini", epochs=1, train_limit=32, batch_size=16, max_length=32)]


def start(folder: Path, stages: list[Any], storage: str, *arguments: str) -> subprocess.Popen[bytes]:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump([stages[-1].to_json()]))
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator.run", str(path), "--storage", str(folder / storage), *arguments],
        cwd=ROOT,
        env={**os.environ, "RAY_ADDRESS": "local", "RAY_gcs_rpc_server_reconnect_timeout_s": "5"},
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def one_and_two(stages: list[Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    folder = tmp_path_factory.mktemp("runs")
    for workers in ("1", "2"):
        assert start(folder, stages, workers, "--workers", workers).wait(timeout=300) == 0
    return Store(str(folder / "1")), Store(str(folder / "2"))


def result_of(store: Store, stage: Any) -> dict[str, Any]:
    result = store.result(stage.key)
    assert result is not None
    return result


def weights_of(store: Store, stage: Any) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(store.fetch_model(stage.key) / "model.safetensors")


def test_two_workers_find_what_one_does(stages: list[Any], one_and_two: tuple[Store, Store]) -> None:
    one, two = (result_of(store, stages[0]) for store in one_and_two)
    assert [found["provenance"]["workers"] for found in (one, two)] == [1, 2]
    assert len(one["history"]) == 4
    for entry, other in zip(two["history"], one["history"], strict=True):
        assert entry == pytest.approx(other, rel=1e-5)
    weights = [weights_of(store, stages[0]) for store in one_and_two]
    assert max(float((weights[1][name] - tensor).abs().max()) for name, tensor in weights[0].items()) < 1e-4
    tuned = [result_of(store, stages[1]) for store in one_and_two]
    assert [found["provenance"]["workers"] for found in tuned] == [1, 1], "fine-tuning is one process's work"
    assert tuned[1]["history"][-1]["loss"] == pytest.approx(tuned[0]["history"][-1]["loss"], rel=1e-3)


def test_a_killed_driver_costs_nothing_but_time(
    stages: list[Any], one_and_two: tuple[Store, Store], tmp_path: Path
) -> None:
    arguments = ("--workers", "2", "--checkpoint-seconds", "0.3")
    store, key = Store(str(tmp_path / "killed")), stages[0].key
    driver = start(tmp_path, stages, "killed", *arguments)
    deadline = time.monotonic() + 200
    while store.load_checkpoint(key) is None and time.monotonic() < deadline:
        time.sleep(0.1)
    driver.kill()
    driver.wait()
    assert store.result(key) is None, "it was in the middle of its training"
    assert store.load_checkpoint(key) is not None
    assert start(tmp_path, stages, "killed", *arguments).wait(timeout=300) == 0
    for stage in stages:
        again, whole = result_of(store, stage), result_of(one_and_two[1], stage)
        assert again["history"] == whole["history"]
        assert again["metrics"] == whole["metrics"]
    weights = weights_of(one_and_two[1], stages[0])
    assert all(torch.equal(tensor, weights[name]) for name, tensor in weights_of(store, stages[0]).items())
    assert store.load_checkpoint(key) is None
