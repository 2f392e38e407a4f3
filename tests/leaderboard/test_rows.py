from __future__ import annotations

import datetime
import logging
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from orchestrator.leaderboard import rows, schema
from tests.leaderboard.synthetic import recipe, result
from trainables.errors import UserError


@pytest.fixture
def filesystem() -> LocalFileSystem:
    return LocalFileSystem()


def finished_row(**options) -> dict:
    asked = recipe("bc5chem", "ddi", seed=1, learning_rate=1e-5, **options)
    intermediate = asked.stage.init
    results = {
        asked.stage.key: result("f1", 0.8725, 0.9, seconds=5.0),
        intermediate.key: result("micro_f1", 0.7, seconds=3.0),
        intermediate.init.key: result("loss", 0.1, seconds=0.5),
    }
    return rows.build("grid", asked, results)


def test_row_holds_labels_percent_hyperparameters_cost_and_provenance():
    row = finished_row()
    assert set(row) == set(schema.NAMES)
    assert (row["sweep"], row["method"], row["model"], row["task"]) == ("grid", "stilt", "mini", "bc5chem")
    assert (row["intermediate"], row["seed"], row["split"], row["metric"]) == ("ddi", 1, "test", "f1")
    assert (row["score"], row["dev_score"]) == (87.25, 90.0)
    assert (row["learning_rate"], row["intermediate_learning_rate"]) == (1e-5, 5e-5)
    assert (row["own_seconds"], row["inherited_seconds"], row["parameters"]) == (5.0, 3.5, 1000)
    assert row["finished_at"] == datetime.datetime(2026, 3, 1, 10, 0, 2, tzinfo=datetime.UTC)
    assert (row["torch_version"], row["commit"], row["status"], row["error"]) == ("2.13.0", "abc123", "finished", None)


def test_an_ancestor_that_two_paths_share_is_counted_once():
    asked = recipe("bc5chem", "ddi")
    doubled = type(asked.stage)("bc5chem", asked.stage)
    results = {stage.key: result("f1", 0.5, seconds=1.0) for stage in doubled.walk()}
    row = rows.build("grid", type(asked)(doubled, "stilt", "mini", "bc5chem", 0), results)
    assert row["inherited_seconds"] == 3.0


def test_a_baseline_has_no_intermediate_hyperparameters_of_its_weights():
    asked = type(recipe("ddi"))(type(recipe("ddi").stage)("ddi"), "finetune", "mini", "ddi", 0)
    row = rows.build("grid", asked, {asked.stage.key: result("micro_f1", 0.5)})
    assert row["intermediate_epochs"] is None
    assert row["epochs"] == 3


@pytest.mark.parametrize("status", ["failed", "blocked", "pruned"])
def test_unfinished_rows_have_their_error_and_no_score(status):
    row = rows.build("grid", recipe("ddi"), {}, status, "loss is NaN at step 7")
    assert (row["status"], row["error"], row["score"], row["metric"]) == (
        status,
        "loss is NaN at step 7",
        None,
        "micro_f1",
    )


def test_what_is_written_is_read_with_its_types(filesystem, tmp_path):
    row = finished_row(train_limit=None) | {"teachers": ["biobert", "scibert"]}
    rows.write(filesystem, str(tmp_path), row)
    table = rows.read_table(filesystem, str(tmp_path))
    assert table.schema.equals(schema.arrow())
    assert table.to_pylist() == [row]
    frame = rows.read(filesystem, str(tmp_path))
    assert frame["seed"].dtype == pd.Int64Dtype()
    assert frame["train_limit"].isna().all()
    assert list(frame["teachers"][0]) == ["biobert", "scibert"]
    assert str(frame["started_at"].dtype) == "datetime64[us, UTC]"


def test_plain_pandas_reads_the_folder(filesystem, tmp_path):
    for seed in range(3):
        rows.write(filesystem, str(tmp_path), rows.build("grid", recipe("ddi", seed=seed), {}, "failed", "x"))
    assert sorted(pd.read_parquet(tmp_path / "leaderboard")["seed"]) == [0, 1, 2]


def test_writing_twice_leaves_one_file_with_the_same_bytes(filesystem, tmp_path):
    rows.write(filesystem, str(tmp_path), finished_row())
    (file,) = (tmp_path / "leaderboard").iterdir()
    before = file.read_bytes()
    rows.write(filesystem, str(tmp_path), finished_row())
    assert [each.name for each in (tmp_path / "leaderboard").iterdir()] == [file.name]
    assert file.read_bytes() == before


def test_an_object_store_gets_the_same_rows(tmp_path):
    store = SubTreeFileSystem(str(tmp_path), LocalFileSystem())  # its type is not "local": a single put
    (tmp_path / "bucket" / "leaderboard").mkdir(parents=True)
    rows.write(store, "bucket", finished_row())
    assert rows.read_table(store, "bucket").to_pylist() == [finished_row()]
    assert rows.count(store, "bucket") == 1


def _write_many(root: str) -> None:
    for _ in range(20):
        for seed in range(5):
            rows.write(LocalFileSystem(), root, rows.build("grid", recipe("ddi", seed=seed), {}, "failed", "x" * 5000))


def test_concurrent_writers_leave_every_row_once(filesystem, tmp_path):
    # Spawned, for a forked copy of Arrow's threads may hang.
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(_write_many, str(tmp_path)) for _ in range(2)]
        for _ in range(20):
            seen = rows.read(filesystem, str(tmp_path), ["seed", "error"])  # a reader never sees half a row
            assert seen["seed"].is_unique
            assert (seen["error"].str.len() == 5000).all()
        for future in futures:
            future.result()
    assert sorted(rows.read(filesystem, str(tmp_path))["seed"]) == [0, 1, 2, 3, 4]
    assert not (tmp_path / "set_aside").exists()
    assert not list((tmp_path / "leaderboard").glob(".*"))


@pytest.mark.parametrize("damage", ["torn", "empty", "text", "wrong type"])
def test_a_corrupt_file_is_reported_and_set_aside(filesystem, tmp_path, caplog, damage):
    rows.write(filesystem, str(tmp_path), finished_row())
    other = rows.build("grid", recipe("ddi"), {}, "failed", "x")
    rows.write(filesystem, str(tmp_path), other)
    bad = Path(rows.path(str(tmp_path), other["row_key"]))
    if damage == "wrong type":
        pq.write_table(pa.table({"score": ["a lot"]}), bad)
    else:
        bad.write_bytes({"torn": bad.read_bytes()[:-40], "empty": b"", "text": b"not parquet"}[damage])
    with caplog.at_level(logging.WARNING):
        assert rows.read(filesystem, str(tmp_path))["task"].to_list() == ["bc5chem"]
    assert bad.name in caplog.text
    assert [file.name for file in (tmp_path / "set_aside").iterdir()] == [f"leaderboard-{bad.name}"]
    caplog.clear()
    assert len(rows.read(filesystem, str(tmp_path))) == 1
    assert not caplog.text


def test_temporary_files_are_ignored(filesystem, tmp_path):
    rows.write(filesystem, str(tmp_path), finished_row())
    (tmp_path / "leaderboard" / ".0123.tmp").write_bytes(b"half")
    (tmp_path / "leaderboard" / ".0123.parquet").write_bytes(b"half")
    assert len(rows.read(filesystem, str(tmp_path))) == 1


def test_files_of_older_and_newer_versions_are_read(filesystem, tmp_path):
    rows.write(filesystem, str(tmp_path), finished_row())
    folder = tmp_path / "leaderboard"
    old = pa.table({"sweep": ["early"], "task": ["gad"], "score": pa.array([75], pa.int32())})
    new = pa.table({"sweep": ["late"], "task": ["hoc"], "tolerance": [0.8]})
    pq.write_table(old, folder / "old.parquet")
    pq.write_table(new, folder / "young.parquet")
    frame = rows.read(filesystem, str(tmp_path)).set_index("sweep")
    assert frame.loc["early", "score"] == 75.0
    assert pd.isna(frame.loc["early", "learning_rate"])
    assert pd.isna(frame.loc["early", "trial"])
    assert frame.loc["late", "tolerance"] == 0.8
    assert pd.isna(frame.loc["grid", "tolerance"])
    assert rows.read(filesystem, str(tmp_path), ["sweep", "seed"])["seed"].notna().sum() == 1


def test_no_leaderboard_reads_as_no_rows_with_all_columns(filesystem, tmp_path):
    frame = rows.read(filesystem, str(tmp_path / "nowhere"))
    assert frame.empty
    assert list(frame.columns) == list(schema.NAMES)


def test_an_unknown_column_is_refused_with_the_nearest(filesystem, tmp_path):
    with pytest.raises(UserError, match="did you mean 'score'"):
        rows.read(filesystem, str(tmp_path), ["scor"])
