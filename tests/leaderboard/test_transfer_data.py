"""The transfer-data table: which share of the gap between an untrained student and its teacher is closed."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from orchestrator.leaderboard import rows, transfer_data
from tests.leaderboard.synthetic import row

_PLACE = iter(range(10_000))
EARLIER, LATER = (datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2))


def one(method: str, auroc: float | None, teacher: str | None = None, **columns: Any) -> dict[str, Any]:
    model = columns.pop("model", "bert_base")
    teachers = [] if teacher is None else [teacher]
    key = f"{next(_PLACE):032x}"
    return row("bioasq", 50.0, method=method, model=model, teachers=teachers, auroc=auroc, row_key=key, **columns)


def frame(*made: dict[str, Any]) -> pd.DataFrame:
    return rows.to_pandas(rows.table(list(made)))


def test_the_share_of_the_gap_is_counted_from_the_untrained_student() -> None:
    (found,) = transfer_data.compare(
        frame(
            one("finetune", 90.0, model="biobert"),
            one("untrained", 50.0),
            one("distill_boolq", 70.0, "biobert", transfer_task="boolq"),
            one("distill_boolq_random", 45.0, "biobert"),
            one("finetune_boolq", 60.0),
        ),
        "bioasq",
    )
    assert (found.student, found.teachers) == ("bert_base", ("biobert",))
    assert found.closed == {("boolq", "biobert"): 50.0, ("boolq_random", "biobert"): -12.5}
    assert found.ours["boolq", transfer_data.OWN_LABELS].mean == 60.0
    # The paper's, in percent.
    assert found.printed["boolq", "biobert"].mean == pytest.approx(64.1)
    assert found.printed["boolq", "pubmedbert"].mean == pytest.approx(58.1)
    assert found.printed["boolq", transfer_data.OWN_LABELS].mean == pytest.approx(59.0)
    assert found.printed_closed == {("boolq", "biobert"): 48.4, ("boolq_random", "biobert"): 23.2}
    output = io.StringIO()
    Console(file=output, width=150).print(transfer_data.block(found))
    text = output.getvalue()
    assert "70.0 | 64.1" in text
    assert "50% | 48%" in text
    assert "60.0 | 59.0" in text


def test_without_a_gap_or_a_number_there_is_no_share() -> None:
    better = frame(
        one("finetune", 50.0, model="biobert"), one("untrained", 55.0), one("distill_boolq", 70.0, "biobert")
    )
    assert transfer_data.compare(better, "bioasq")[0].closed == {}
    lost = frame(
        one("finetune", 90.0, model="biobert"),
        one("untrained", 50.0),
        one("distill_boolq", None, "biobert", status="failed"),
    )
    (found,) = transfer_data.compare(lost, "bioasq")
    assert found.closed == {}
    assert found.ours["boolq", "biobert"].status == "failed"


def test_the_papers_gad_stands_beside_ours_over_folds() -> None:
    made = row("gad@5", 50.0, method="distill_euadr", model="bert_base", teachers=["biobert"], auroc=60.0)
    (found,) = transfer_data.compare(frame(made), "gad@5")
    assert found.printed["euadr", "biobert"].mean == pytest.approx(47.1)
    assert found.printed["teacher", "biobert"].mean == pytest.approx(80.8)
    assert found.printed[transfer_data.UNTRAINED, transfer_data.OWN_LABELS].mean == pytest.approx(70.1)
    assert "does not say whether it was fine-tuned" in found.notes[0]


def test_every_student_has_its_own_table() -> None:
    made = [one("finetune", 90.0, model="biobert")]
    for student, untrained, taught in (("bert_base", 50.0, 60.0), ("distilbert", 60.0, 90.0)):
        made += [one("untrained", untrained, model=student), one("distill_boolq", taught, "biobert", model=student)]
    found = transfer_data.compare(frame(*made), "bioasq")
    assert [(table.student, table.ours["boolq", "biobert"].mean) for table in found] == [
        ("bert_base", 60.0),
        ("distilbert", 90.0),
    ]
    assert [table.closed["boolq", "biobert"] for table in found] == [25.0, 100.0]


def test_students_of_other_teachers_than_the_shown_are_left_out() -> None:
    """A second run with weaker teachers and fewer transfer sets must not stand beside the first run's students."""
    old, new = {"started_at": EARLIER}, {"started_at": LATER}
    found = transfer_data.compare(
        frame(
            one("finetune", 90.0, model="biobert", epochs=20, key="a" * 32, **old),
            one("finetune", 55.0, model="biobert", epochs=1, key="b" * 32, **new),
            one("untrained", 50.0, **old),
            one("distill_boolq", 70.0, "biobert", teacher_epochs=20, teacher_keys=["a" * 32], **old),
            one("distill_bioasq", 85.0, "biobert", teacher_epochs=20, teacher_keys=["a" * 32], **old),
            one("distill_boolq", 52.0, "biobert", teacher_epochs=1, teacher_keys=["b" * 32], **new),
        ),
        "bioasq",
    )
    (table,) = found
    assert table.ours["teacher", "biobert"].mean == 55.0
    assert table.transfer == ("boolq",), "no student of the earlier teacher"
    assert table.closed == {("boolq", "biobert"): pytest.approx(40.0)}


def test_other_random_text_is_another_setting() -> None:
    made = [
        one("distill_boolq_random", auroc, "biobert", random_seed=seed, transfer_data=f"{seed:012x}", started_at=when)
        for seed, auroc, when in ((0, 40.0, EARLIER), (1, 60.0, LATER))
    ]
    (table,) = transfer_data.compare(frame(*made), "bioasq")
    cell = table.ours["boolq_random", "biobert"]
    assert (cell.mean, cell.seeds) == (60.0, 1)


@pytest.mark.parametrize(
    ("teachers", "closed"),
    [((90.0, 91.0), True), ((50.2, 50.4), False), ((40.0, 80.0), False)],
)
def test_no_share_is_told_of_a_gap_that_may_be_noise(teachers: tuple[float, float], closed: bool) -> None:
    made = []
    for seed, score in enumerate(teachers):
        made += [
            one("finetune", score, model="biobert", seed=seed),
            one("untrained", 50.0, seed=seed),
            one("distill_boolq", 60.0, "biobert", seed=seed),
        ]
    (table,) = transfer_data.compare(frame(*made), "bioasq")
    assert (("boolq", "biobert") in table.closed) == closed
