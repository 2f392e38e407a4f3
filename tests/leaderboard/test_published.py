from __future__ import annotations

import pytest

from orchestrator.leaderboard.published import JOIN, published
from tests.leaderboard.synthetic import frame, published_as_rows
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
