"""Both averages, against those that the paper prints below its tables."""

from __future__ import annotations

import math
from collections import defaultdict

import pytest

from orchestrator.leaderboard.published import published
from orchestrator.vekd_averages import AVERAGE, MACRO_AVERAGE, average, macro_average
from orchestrator.vekd_tables import TASKS
from trainables.data import tasks

#: Printed otherwise than the cells give, by table, method and model; the README of the transcription lists them.
MISPRINTED = {
    ("2", "distilbert", "student_l6h768", MACRO_AVERAGE): 73.21,
    ("2", "distilbert_domain_adaptation", "student_l6h768", AVERAGE): 76.50,
    ("2", "distilbert_domain_adaptation", "student_l6h768", MACRO_AVERAGE): 75.00,
}


def columns() -> dict[tuple[str, str, str], dict[str, float]]:
    found: dict[tuple[str, str, str], dict[str, float]] = defaultdict(dict)
    rows = published("vekd")
    for row in rows[rows["table"].isin(["1", "2", "6", "7", "8", "9"])].to_dict("records"):
        found[row["table"], row["method"], row["model"]][row["task"]] = row["value"]
    return found


def test_the_papers_averages_follow_from_its_scores() -> None:
    seen = set()
    for (table, method, model), printed in columns().items():
        scores = {task: printed[task] for task in TASKS}
        for name, mean in ((AVERAGE, average), (MACRO_AVERAGE, macro_average)):
            place = (table, method, model, name)
            wanted = MISPRINTED.get(place, printed[name])
            assert math.isclose(mean(scores), wanted, abs_tol=0.0111), place
            seen.add(place)
    assert len(seen) == 62
    assert MISPRINTED.keys() <= seen
    assert all(abs(columns()[place[:3]][place[3]] - value) > 0.02 for place, value in MISPRINTED.items())


def test_the_twelve_tasks_are_of_five_kinds_of_which_each_counts_as_much() -> None:
    kinds = [tasks.get(task).kind for task in TASKS]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "ner": 5,
        "pico": 1,
        "relation": 3,
        "document": 1,
        "question": 2,
    }
    scores = dict.fromkeys(TASKS, 0.0) | {"hoc": 50.0}
    assert average(scores) == pytest.approx(50 / 12)
    assert macro_average(scores) == pytest.approx(10.0)
    assert macro_average({"hoc": 80.0, "pubmedqa": 50.0, "bioasq": 70.0}) == 70.0
