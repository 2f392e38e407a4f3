from __future__ import annotations

from pathlib import Path

from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows
from orchestrator.leaderboard.rebuild import rebuild
from orchestrator.recipe import Recipe
from tests.leaderboard.filled import fill, write_rows
from tests.leaderboard.synthetic import CHOSEN, experiment, keyed, result
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


def test_rows_of_searches_are_made_again_with_study_and_trial_and_pruned_ones_too(tmp_path):
    store = Store(str(tmp_path))
    done, stopped = (
        keyed(experiment("ddi").distilled_recipe({**CHOSEN, "gamma": gamma}, 0, study="joint", trial=trial))
        for trial, gamma in enumerate((0.9, 0.6))
    )
    for stage in filter(lambda stage: stage.stored, done.stage.walk()):
        store.publish(stage.key, store.working_folder(stage.key), {}, result("micro_f1", 0.8))
    store.write_failure(stopped.row_key("search"), "pruned", "stopped after epoch 2")
    store.write_sweep("search", [one.to_json() for one in (done, stopped)])
    write_rows(store, [done, stopped], "search")
    before = files(store)
    for file in (tmp_path / "leaderboard").iterdir():
        file.unlink()
    assert rebuild(Store(str(tmp_path))) == 2
    assert files(store) == before
    frame = rows.read(store.filesystem, store.root).sort_values("trial")
    assert frame["trial"].to_list() == [0, 1]
    assert frame["status"].to_list() == ["finished", "pruned"]
    assert frame["switch_rate"].to_list() == [0.9, 0.6]
    assert set(frame["study"]) == {"joint"}
    assert frame["retention"].iloc[0] == 100.0
    assert frame["error"].iloc[1] == "stopped after epoch 2"


def test_a_pruned_trial_stays_so_though_somebody_else_has_its_stage_trained(tmp_path):
    store = Store(str(tmp_path))
    stopped = keyed(experiment("ddi").distilled_recipe(CHOSEN, 0, study="joint", trial=1))
    store.write_failure(stopped.row_key("search"), "pruned", "stopped after epoch 2")
    store.write_sweep("search", [stopped.to_json()])
    for stage in filter(lambda stage: stage.stored, stopped.stage.walk()):
        store.publish(stage.key, store.working_folder(stage.key), {}, result("micro_f1", 0.8))
    assert rebuild(store) == 1
    (row,) = rows.read_table(store.filesystem, store.root).to_pylist()
    assert (row["status"], row["error"], row["score"]) == ("pruned", "stopped after epoch 2", None)


def test_an_empty_store_has_nothing_to_rebuild(tmp_path):
    assert rebuild(Store(str(tmp_path))) == 0
