from __future__ import annotations

from pathlib import Path

from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows, significance, tables
from tests.leaderboard.filled import fill, write_rows


def test_a_real_gain_is_marked_and_noise_is_not(tmp_path):
    store = Store(str(tmp_path))
    write_rows(store, fill(store))
    (grid,) = tables.from_rows(rows.read(store.filesystem, store.root))
    tested = significance.with_significance(grid, store, resamples=2000)
    assert tested.cell("gad", "ddi").marked
    assert tables.text(tested, "gad", "ddi").endswith("*")
    assert not tested.cell("chemprot", "ddi").marked
    assert tested.cell("ddi", "gad").q is None
    assert any("over 2 pairs" in note and "1 of them." in note for note in tested.notes)


def test_pairs_without_predictions_are_counted_out(tmp_path):
    store = Store(str(tmp_path))
    asked = fill(store)
    write_rows(store, asked)
    (grid,) = tables.from_rows(rows.read(store.filesystem, store.root))
    missing = grid.cell("gad", "ddi").keys[0]
    (Path(store.root) / "stages" / missing / "predictions.parquet").unlink()
    tested = significance.with_significance(grid, Store(str(tmp_path)), resamples=500)
    assert tested.cell("gad", "ddi").q is None
    assert tested.cell("chemprot", "ddi").q is not None
    assert any("Not tested" in note and "1 of 2 pairs" in note for note in tested.notes)
