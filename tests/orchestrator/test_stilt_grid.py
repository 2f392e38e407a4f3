"""The grid command from end to end, on the miniature benchmark, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from orchestrator import stilt_grid
from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows
from trainables.expression import from_json

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "--preset",
    "mini",
    "--models",
    "mini_general",
    "--tasks",
    "gad,ddi,hoc",
    "--epochs",
    "1",
    "--train-limit",
    "64",
)


def grid(storage: Path, *options: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.stilt_grid", "--storage", str(storage), *options],
        cwd=ROOT,
        env={**os.environ, "RAY_ADDRESS": "local"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def board(storage: Path) -> pd.DataFrame:
    store = Store(str(storage))
    return rows.read(store.filesystem, store.root)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    storage = tmp_path_factory.mktemp("grid")
    return storage, grid(storage, *SMALL)


def test_every_pair_and_baseline_has_a_row(finished: tuple[Path, str]) -> None:
    found = board(finished[0])
    assert len(found) == 3 + 6
    assert set(found.status) == {"finished"}
    pairs = found[found.method == "stilt"]
    assert set(zip(pairs.intermediate, pairs.task, strict=True)) == {
        (one, other) for one in ("gad", "ddi", "hoc") for other in ("gad", "ddi", "hoc") if one != other
    }
    assert found.score.between(0, 100).all()
    assert found.dev_score.notna().all()
    assert (found.train_limit == 64).all()
    assert (pairs.inherited_seconds > 0).all()


def test_shared_stages_were_trained_once(finished: tuple[Path, str]) -> None:
    storage, output = finished
    stages = [json.loads(path.read_text())["stage"] for path in (storage / "stages").glob("*/stage.json")]
    assert sorted(stages) == ["FineTune"] * 9 + ["MaskedLanguageModel", "RandomInit"]
    assert output.count("start ") == 11
    assert "11 stages trained" in output


def test_the_grid_is_shown_at_the_end(finished: tuple[Path, str]) -> None:
    assert "Target" in finished[1]
    assert "Baseline" in finished[1]


def test_a_finished_entry_can_be_read_back_and_loaded(finished: tuple[Path, str]) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    storage, _ = finished
    store = Store(str(storage))
    row = board(storage).query("method == 'finetune' and task == 'gad'").iloc[0]
    form = store.stage_json(row.key)
    assert form is not None
    assert from_json(form).key == row.key
    folder = store.fetch_model(row.key)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    assert model.config.id2label == {0: "0", 1: "1"}
    encoded = AutoTokenizer.from_pretrained(folder)("some text", return_tensors="pt")
    assert model(**encoded).logits.shape == (1, 2)


def test_only_inputs_and_best_rows_keep_their_weights(finished: tuple[Path, str]) -> None:
    storage, _ = finished
    store, found = Store(str(storage)), board(storage)
    best = {max(zip(group.dev_score, group.key, strict=True))[1] for _, group in found.groupby("task")}
    for row in found.itertuples():
        assert store.has_model(row.key) == (row.method == "finetune" or row.key in best), (row.task, row.intermediate)


def test_running_again_trains_nothing_and_changes_nothing(finished: tuple[Path, str]) -> None:
    storage, _ = finished
    before = {path: path.stat().st_mtime_ns for path in storage.rglob("*") if path.is_file()}
    output = grid(storage, *SMALL)
    assert "0 stages trained" in output
    assert {path: path.stat().st_mtime_ns for path in storage.rglob("*") if path.is_file()} == before


def test_report_only_shows_and_dry_run_accounts_without_running(finished: tuple[Path, str]) -> None:
    storage, _ = finished
    assert "Target" in grid(storage, *SMALL, "--report-only")
    account = grid(storage, *SMALL, "--seeds", "0,1", "--dry-run")
    lines = {line.split("│")[1].strip(): line.split("│")[2:-1] for line in account.splitlines() if line.startswith("│")}
    assert [int(cell) for cell in lines["FineTune"]] == [30, 18, 12, 9, 9]
    assert "expected" in account
    assert len(board(storage)) == 9


def test_extending_by_a_seed_and_a_failure_in_it(finished: tuple[Path, str], tmp_path: Path) -> None:
    storage, _ = finished
    output = grid(storage, *SMALL, "--seeds", "0,1", "--intermediates", "gad")
    assert "5 stages trained" in output  # three baselines and two pairs of the new seed
    found = board(storage)
    assert len(found) == 9 + 5
    assert set(found.seed) == {0, 1}


def test_a_row_that_is_lost_is_written_again(finished: tuple[Path, str]) -> None:
    storage, _ = finished
    before = board(storage)
    victim = next((storage / "leaderboard").glob("*.parquet"))
    victim.unlink()
    grid(storage, *SMALL)
    assert victim.exists()
    assert len(board(storage)) == len(before)


def test_options_from_a_yaml_file(finished: tuple[Path, str], tmp_path: Path) -> None:
    config = tmp_path / "sweep.yaml"
    config.write_text(
        "preset: mini\nmodels: mini_general\ntasks: [gad, ddi, hoc]\n"
        "epochs: 1\ntrain-limit: 64\nseeds: [0]\ndry_run: true\n"
    )
    account = grid(finished[0], "--config", str(config))
    assert "9 recipes" in account
    config.write_text("preset: mini\nmodles: mini_general\n")
    assert "did you mean 'models'" in grid(finished[0], "--config", str(config), code=2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--preset", "mini", "--tasks", "gadd"), "unknown task 'gadd'; did you mean 'gad'?"),
        (("--preset", "mini", "--models", "mini_genral"), "did you mean 'mini_general'?"),
        (
            ("--preset", "mini", "--models", "./nowhere"),
            "nowhere' does not exist; give a folder in save_pretrained layout",
        ),
        (("--data", "/no/such/folder"), "data folder '/no/such/folder' does not exist"),
        (("--preset", "mini", "--epochs", "0"), "--epochs=0 must be at least 1"),
        (("--preset", "mini", "--gpu-fraction", "1.5"), "--gpu-fraction=1.5 must be above 0 and at most 1"),
        (("--preset", "mini", "--seeds", "one"), "'one' is no whole number"),
        (("--preset", "mini", "--storage", "nosuch://bucket"), "cannot be opened"),
        (("--preset", "mini", "--storage", "/proc/nothing"), "cannot be written"),
    ],
)
def test_what_is_wrong_is_refused_before_training(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    output = grid(tmp_path / "runs", *options, code=2)
    assert said in output
    assert not (tmp_path / "runs" / "stages").exists()


def test_a_model_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    output = grid(tmp_path / "runs", "--preset", "mini", "--models", str(tmp_path / "model"), code=2)
    assert "has no config.json" in output


def test_a_label_that_the_task_does_not_have_is_refused(tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        file = tmp_path / "data" / "seqcls" / "GAD_hf" / f"{split}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        label = "2" if split == "dev" else "1"
        file.write_text(json.dumps({"id": "a", "sentence": "one @GENE$ and one @DISEASE$", "label": label}) + "\n")
    options = ("--models", "mini_general", "--data", str(tmp_path / "data"), "--tasks", "gad")
    output = grid(tmp_path / "runs", *options, code=2)
    assert "dev.json" in output
    assert "'2'" in output
    assert not (tmp_path / "runs" / "stages").exists()


def test_the_papers_grid_is_242_recipes_a_seed_with_121_fine_tunings_a_model() -> None:
    from orchestrator import models, options
    from orchestrator.engine.resources import Shares
    from trainables.data import tasks

    chosen = options.SweepOptions(
        preset="mini",
        models=dict(models.resolve(name) for name in ("mini_general", "mini_domain")),
        tasks=tasks.STILT_TASKS,
        seeds=(0,),
        data="mini",
        storage="runs",
        sweep="test",
        overrides={},
        shares=Shares(),
        keep_models="best",
        dry_run=False,
        report_only=False,
    )
    recipes = stilt_grid.recipes(chosen, tasks.STILT_TASKS)
    assert len(recipes) == 242
    distinct = {stage.key for recipe in recipes for stage in recipe.stage.walk() if type(stage).__name__ == "FineTune"}
    assert len(distinct) == 242
    pairs = [recipe for recipe in recipes if recipe.method == "stilt"]
    assert len(pairs) == 220
    assert all(recipe.intermediate != recipe.task for recipe in pairs)
