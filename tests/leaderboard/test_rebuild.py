from __future__ import annotations

from pathlib import Path

from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows
from orchestrator.leaderboard.rebuild import rebuild
from orchestrator.recipe import Recipe
from tests.leaderboard.filled import fill, write_rows
from trainables.stages import FineTune, Pretrained


def files(store: Store) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (Path(store.root) / "leaderboard").iterdir()}


def test_rebuilt_rows_are_byte_for_byte_those_of_the_sweep(tmp_path):
    store = Store(str(tmp_path))
    asked = fill(store)
    write_rows(store, asked)
    before = files(store)
    assert len(before) == 10  # of twelve recipes two have not run yet
    for file in (tmp_path / "leaderboard").iterdir():
        file.unlink()
    assert rebuild(Store(str(tmp_path))) == 10
    assert files(store) == before
    assert rebuild(store) == 10
    assert files(store) == before


def test_rebuilding_an_extended_sweep_makes_every_row_once(tmp_path):
    store = Store(str(tmp_path))
    fill(store, seeds=(0,))
    fill(store, seeds=(0, 1))
    assert rebuild(store) == 10
    frame = rows.read(store.filesystem, store.root)
    assert not frame.duplicated(["sweep", "key"]).any()
    assert set(frame["status"]) == {"finished", "failed"}
    assert set(frame.loc[frame["intermediate"].isna(), "inherited_seconds"]) == {7.0}


def test_rebuilding_needs_neither_data_nor_weights(tmp_path):
    store = Store(str(tmp_path / "runs"))
    model = Pretrained(str(tmp_path / "gone"))
    stage = FineTune("gad", model, data=str(tmp_path / "gone too"), learning_rate=1e-5)
    for place, one in enumerate((stage, model)):
        one.__dict__["key"] = f"{place:032x}"  # as computed while data and weights were there
    store.write_sweep("grid", [Recipe(stage, "finetune", "gone", "gad", 0).to_json()])
    store.write_failure(stage.key, "blocked", "weights are gone")
    assert rebuild(Store(str(tmp_path / "runs"))) == 1
    (row,) = rows.read_table(store.filesystem, store.root).to_pylist()
    assert (row["key"], row["status"], row["learning_rate"], row["epochs"]) == (stage.key, "blocked", 1e-5, 10)


def test_an_empty_store_has_nothing_to_rebuild(tmp_path):
    assert rebuild(Store(str(tmp_path))) == 0
