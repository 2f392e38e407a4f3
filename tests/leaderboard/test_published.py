from __future__ import annotations

import pytest

from orchestrator.leaderboard.published import JOIN, published
from tests.leaderboard.synthetic import frame, published_as_rows, row
from trainables.data import tasks
from trainables.data.tasks import STILT_TASKS, TASKS
from trainables.errors import UserError


def test_tables_and_models_are_text():
    everything = published()
    assert len(everything) == 1056
    assert "5.10" in set(everything["table"])
    assert everything["value"].dtype == "float64"


def test_an_unknown_paper_is_refused():
    with pytest.raises(UserError, match="did you mean 'stilt'"):
        published("stilts")


def test_our_rows_join_with_all_published_cells():
    joined = frame(published_as_rows()).merge(published("stilt"), on=JOIN, validate="one_to_one")
    assert len(joined) == 242
    assert (joined["score"] == joined["value"]).all()
    assert (joined["metric_x"] == joined["metric_y"]).all()


def test_our_tasks_and_metrics_are_the_papers():
    stilt = published("stilt")
    assert set(stilt["task"]) == set(STILT_TASKS)
    assert set(zip(stilt["task"], stilt["metric"], strict=True)) == {(name, TASKS[name].metric) for name in STILT_TASKS}


def test_gad_of_the_doktra_paper_is_of_ten_folds_and_in_table_4_of_the_first():
    printed = published("doktra")
    gad = printed[printed["task"].fillna("").str.startswith("gad")]
    assert set(gad.loc[gad["table"] == "4", "task"]) == {"gad@1/10"}
    assert set(gad.loc[gad["table"] != "4", "task"]) == {"gad@10"}
    assert "first split" in gad.loc[gad["task"] == "gad@1/10", "note"].iloc[0]
    assert len(gad) == 16
    # The benchmark's own split, which other papers score, is left as it is.
    others = published()
    assert (others.loc[others["paper"] != "doktra", "task"] == "gad").sum() > 20


def test_doktras_tasks_are_ours():
    printed = set(published("doktra")["task"].dropna()) - {"average"}
    assert {tasks.get(name).name for name in printed} == printed


def test_a_row_joins_with_the_protocol_that_it_was_scored_by():
    ours = frame([row("gad@10", 75.0, model="roberta_large"), row("gad", 76.0, model="roberta_large")])
    theirs = published("doktra")
    theirs = theirs[(theirs["table"] == "2") & (theirs["metric"] == "f1")]
    joined = ours.merge(theirs, on=JOIN, validate="one_to_one")
    assert joined[["task", "score", "value"]].to_dict("records") == [{"task": "gad@10", "score": 75.0, "value": 77.84}]
