from __future__ import annotations

import pytest

from orchestrator.leaderboard import comparison, tables
from orchestrator.leaderboard.published import published
from tests.leaderboard.synthetic import frame, published_as_rows, recipe, row
from trainables.data.tasks import STILT_TASKS
from trainables.errors import UserError


def grid_of(rows: list[dict], **options):
    (grid,) = tables.from_rows(frame(rows), **options)
    return grid


def test_cells_are_means_over_seeds_with_their_spread_and_change():
    grid = grid_of(
        [row("gad", score, seed=seed) for seed, score in enumerate([70.0, 72.0, 77.0])]
        + [row("gad", score, "ddi", seed=seed) for seed, score in enumerate([75.0, 78.0])]
    )
    baseline, pair = grid.cell("gad", None), grid.cell("gad", "ddi")
    assert (baseline.mean, baseline.seeds, baseline.change) == (73.0, 3, None)
    assert baseline.std == pytest.approx(3.605551275)  # sqrt(((-3)² + (-1)² + 4²) / 2)
    assert (pair.mean, pair.seeds, pair.change) == (76.5, 2, 3.5)
    assert pair.keys == (recipe("gad", "ddi").stage.key, recipe("gad", "ddi", 1).stage.key)
    assert any("2 to 3" in note for note in grid.notes)


def test_rows_and_columns_are_in_the_papers_order():
    grid = grid_of([row("hoc", 80), row("gad", 70), row("bc5chem", 90), row("gad", 71, "bc2gm"), row("gad", 7, "ddi")])
    assert grid.targets == ("bc5chem", "gad", "hoc")
    assert grid.columns == (None, "bc2gm", "ddi")


def test_folds_stand_behind_their_task_by_number():
    names = ["hoc", "gad@10/10", "gad@2/10", "gad@10", "gad", "chemprot", "fpb", "not ours"]
    assert tables.in_order(names) == (("chemprot", "gad", "gad@10", "gad@2/10", "gad@10/10", "hoc", "fpb", "not ours"))
    headings = [tables.heading(name) for name in (None, "gad", "gad@10", "gad@2/10", "fpb", "not ours")]
    assert headings == ["Baseline", "GAD", "GAD 10", "GAD 2/10", "FPB", "not ours"]


def test_trials_of_a_search_are_never_averaged():
    trials = [row("gad", 70.0 + trial, seed=trial % 2, study="s", trial=trial // 2) for trial in range(4)]
    for place, one in enumerate(trials):
        one |= {"row_key": str(place), "started_at": one["started_at"].replace(minute=place)}
    cell = grid_of(trials).cell("gad", None)
    assert (cell.mean, cell.seeds) == (72.5, 2)


def test_rows_of_before_there_was_a_penalty_have_none():
    old, new = row("gad", 70.0), row("gad", 72.0, seed=1, confidence_penalty=0.0, row_key="new")
    assert grid_of([old, new]).cell("gad", None).seeds == 2
    penalised = new | {"confidence_penalty": 0.3, "started_at": new["started_at"].replace(year=2027)}
    assert grid_of([old, penalised]).cell("gad", None).seeds == 1


def test_a_half_finished_grid_shows_what_there_is():
    grid = grid_of([row("gad", None), row("gad", 71, "ddi"), row("ddi", 60), row("ddi", 61, "gad")])
    shown = {(target, column): tables.text(grid, target, column) for target in grid.targets for column in grid.columns}
    assert shown == {
        ("ddi", None): "60.00",
        ("ddi", "ddi"): "-",
        ("ddi", "gad"): "61.00",
        ("gad", None): "failed",
        ("gad", "ddi"): "71.00",
        ("gad", "gad"): "-",
    }
    assert grid.cell("gad", "ddi").change is None
    only_baseline = grid_of([row("gad", 70), row("ddi", None, "gad")])
    assert tables.text(only_baseline, "gad", "gad") == "-"
    assert tables.text(only_baseline, "ddi", None) == ""


def test_of_several_settings_those_of_the_run_started_last_are_shown_and_never_mixed():
    first = [row("gad", 90.0), row("gad", 95.0, "ddi")]
    late = row("gad", 80.0)
    late = late | {"started_at": late["started_at"].replace(year=2027), "epochs": 99, "row_key": "late"}
    grid = grid_of([*first, late])
    assert grid.cell("gad", None).mean == 80.0
    assert grid.cell("gad", "ddi") is None
    assert any("other settings" in note for note in grid.notes)


def test_runs_on_other_data_are_left_out():
    late = row("gad", 80.0)
    late = late | {"started_at": late["started_at"].replace(year=2027), "data": "corrected", "row_key": "late"}
    grid = grid_of([row("gad", 90.0) | {"data": "first"}, late])
    assert grid.cell("gad", None).mean == 80.0
    assert grid.cell("gad", None).seeds == 1


def test_dev_scores_on_request():
    assert grid_of([row("gad", 90.0, dev_score=61.0)], split="dev").cell("gad", None).mean == 61.0


def test_the_latest_sweep_is_shown_and_named():
    old = row("gad", 70, sweep="old")
    late = row("gad", 75, sweep="a_new_one") | {"started_at": old["started_at"].replace(year=2027)}
    assert "a_new_one" in grid_of([old, late]).title
    assert grid_of([old, late], sweep="old").cell("gad", None).mean == 70
    with pytest.raises(UserError, match="did you mean 'old'"):
        grid_of([old, late], sweep="odl")


def test_one_grid_per_model_and_other_methods_left_out():
    grids = tables.from_rows(frame([row("gad", 1, model="b"), row("gad", 2, model="a"), row("gad", 3, method="tapt")]))
    assert [(grid.model, grid.cell("gad", None).mean) for grid in grids] == [("a", 2), ("b", 1)]
    with pytest.raises(UserError, match="finetune and stilt"):
        tables.from_rows(frame([row("gad", 3, method="tapt")]))


#: Rows of the paper's Tables 3 (PubMedBERT) and 2 (BERT), typed from the paper.
PRINTED = {
    ("pubmedbert", "bc5chem"): "92.97 - 92.99 93.11 93.46 93.20 93.22 92.88 92.88 93.05 93.28 93.00",
    ("pubmedbert", "bioasq"): "84.29 88.22 83.93 82.86 78.22 86.07 80.72 80.00 92.15 83.22 86.79 -",
    ("bert_base", "ddi"): "77.01 77.32 78.38 77.87 74.57 77.71 78.57 79.03 - 78.91 78.29 78.23",
    ("bert_base", "pubmedqa"): "50.60 50.20 51.10 50.80 50.90 51.80 49.20 58.30 58.50 51.10 - 53.40",
}


@pytest.mark.parametrize("model", ["bert_base", "pubmedbert"])
def test_published_numbers_as_rows_give_the_papers_table(model):
    rows = [each for each in published_as_rows() if each["model"] == model]
    ours, theirs = grid_of(rows), tables.from_published(model)
    printed = published("stilt")
    expected = {
        (one.task, None if one.method == "finetune" else one.intermediate): f"{one.value:.2f}"
        for one in printed[printed["model"] == model].itertuples()
    } | {(task, task): "-" for task in STILT_TASKS}
    for grid in (ours, theirs):
        assert grid.targets == grid.intermediates == STILT_TASKS
        shown = {
            (target, column): tables.text(grid, target, column) for target in STILT_TASKS for column in grid.columns
        }
        assert shown == expected
        for (of_model, target), line in PRINTED.items():
            if of_model == model:
                assert [shown[target, column] for column in grid.columns] == line.split()
    assert {place: cell.change for place, cell in ours.pairs.items()} == {
        place: cell.change for place, cell in theirs.pairs.items()
    }


def test_the_published_grid_of_an_unknown_model_is_refused():
    with pytest.raises(UserError, match="did you mean 'bert_base'"):
        tables.from_published("bert_bas")


def test_the_published_grid_takes_the_layout_of_ours():
    ours = grid_of([row("gad", 70), row("gad", 71, "ddi"), row("hoc", 69, "gad")])
    theirs = tables.laid_out_as(tables.from_published("bert_base"), ours)
    assert (theirs.targets, theirs.columns) == (ours.targets, ours.columns)
    assert tables.text(theirs, "gad", "ddi") == "78.59"
    assert tables.text(theirs, "hoc", None) == ""
    assert theirs.largest_change == pytest.approx(0.34)


def test_agreement_counts_directions():
    ours = grid_of([row("gad", 70), row("gad", 71, "ddi"), row("gad", 69, "hoc"), row("gad", 75, "bc2gm")])
    theirs = grid_of([row("gad", 80), row("gad", 84, "ddi"), row("gad", 81, "hoc"), row("gad", 90, "bc2gm")])
    found = comparison.agreement(ours, theirs)
    assert (found.pairs, found.same_direction, found.gains, found.published_gains) == (3, 2, 2, 3)
    assert found.rank_correlation == pytest.approx(1.0)
    assert comparison.agreement(grid_of([row("gad", 70)]), theirs).pairs == 0
