"""The multi-teacher tables: fed with the thesis's own numbers they are the thesis's tables."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from orchestrator.engine.store import Store
from orchestrator.leaderboard import multi_teacher, rows
from orchestrator.leaderboard.commands import common
from orchestrator.leaderboard.multi_teacher import comparison
from orchestrator.leaderboard.published import published
from tests.leaderboard.synthetic import row
from trainables.errors import UserError

THREE = ("bert_base", "roberta_base", "deberta_base")
TWO = THREE[:2]


def thesis(task: str) -> list[dict[str, Any]]:
    """The thesis's accuracies on a task as rows of ours; its tables of classes leave out what was not distilled."""
    printed = published("multi_teacher")
    printed = printed[(printed["task"] == task) & (printed["metric"] == "accuracy")]
    made = []
    groups = printed.assign(teacher=printed["teacher"].fillna("")).groupby(["method", "model", "teacher"], sort=False)
    for (method, model, teacher), part in groups:
        classes = {str(each["label"]): each["value"] for _, each in part.iterrows() if each["label"] == each["label"]}
        dev = part[part["split"] == "dev"]["value"]
        made.append(
            row(
                task,
                50.0,
                method=method,
                model=model,
                teachers=teacher.split("+") if teacher else [],
                dev_score=float(dev.iloc[0]) if len(dev) else None,
                class_accuracy=classes or None,
                row_key=f"{len(made):032x}",
                alpha=None if method == "finetune" else 0.5,
            )
        )
    return made


def frame(made: list[dict[str, Any]]) -> pd.DataFrame:
    return rows.to_pandas(rows.table(made))


@pytest.mark.parametrize(
    ("task", "teachers", "labels"),
    [
        ("emotion", THREE, 6),
        ("tweet_emotion", THREE, 4),
        ("tweet_sentiment", TWO, 3),
    ],
)
def test_the_thesis_numbers_give_the_thesis_tables(task: str, teachers: tuple[str, ...], labels: int) -> None:
    (table,) = multi_teacher.tables(frame(thesis(task)), task)
    assert (table.student, table.teachers) == ("distilbert", teachers)
    assert len(table.labels) == labels
    assert table.strategies == ("expertise", "average_logits", "random_teacher")
    for place, cell in table.printed.items():
        assert table.ours[place].mean == cell.mean, place
    checked = 0
    for strategy in table.strategies:
        for teacher in teachers:
            theirs = comparison.printed_median(task, "distilbert", strategy, teacher)
            mine = table.median(strategy, teacher)
            assert mine is not None
            assert theirs is not None
            checked += abs(mine - theirs) < 0.06
    assert checked >= 3 * len(teachers) - 2, "two of its medians are not those of its own numbers"


def test_the_clinical_notes_are_scored_by_their_own_metric() -> None:
    """Tables 5.10 and 5.11, printed as fractions."""
    found = comparison.printed("nbme", "bert_base", ("deberta_v3_large", "pubmedbert"))
    assert {place: cell.mean for place, cell in found.items()} == {
        ("deberta_v3_large", comparison.SCORE): 88.0,
        ("pubmedbert", comparison.SCORE): 82.0,
        ("average_logits", comparison.SCORE): 78.0,
        ("ca_mkd", comparison.SCORE): 74.0,
    }


def test_accuracies_are_means_over_seeds_with_their_spread() -> None:
    labels = {"sadness": 90.0, "joy": 70.0}
    made = [
        row("emotion", 60.0, model=name, class_accuracy=labels, row_key=f"{place:032x}", seed=0)
        for place, name in enumerate(TWO)
    ]
    for seed, change in enumerate((0.0, 4.0)):
        accuracies = {label: value + change for label, value in labels.items()}
        columns = {"method": "ca_mkd", "model": "small", "teachers": list(TWO), "alpha": 0.5}
        made.append(
            row("emotion", 60.0 + change, seed=seed, class_accuracy=accuracies, row_key=f"{9 + seed:032x}", **columns)
        )
    (table,) = multi_teacher.tables(frame(made), "emotion")
    cell = table.ours["ca_mkd", "joy"]
    assert (cell.mean, cell.seeds) == (72.0, 2)
    assert cell.std == pytest.approx(2.828, abs=1e-3)
    assert table.median("ca_mkd", "bert_base") == 2.0
    assert table.printed == {}, "the thesis has no student of this name"


def test_a_student_that_is_one_of_its_teachers_has_one_column() -> None:
    columns = {"method": "ca_mkd", "model": TWO[0], "teachers": list(TWO)}
    made = [row("emotion", 60.0, row_key="1" * 32, **columns)]
    made += [row("emotion", 50.0, model=name, row_key=f"{place:032x}") for place, name in enumerate(TWO)]
    (table,) = multi_teacher.tables(frame(made), "emotion")
    assert table.columns == (*TWO, "ca_mkd")


def test_students_of_other_teachers_than_the_shown_are_left_out() -> None:
    """``--epochs 1 --strategies expertise`` after a run of all strategies: what is left of that stands nowhere."""
    made = []
    for epochs, score, strategies in ((4, 80.0, ("expertise", "ca_mkd")), (1, 40.0, ("expertise",))):
        when = datetime(2026, 3, 5 - epochs, tzinfo=UTC)
        keys = [f"{epochs}{place}".ljust(32, "0") for place in range(2)]
        for name, key in zip(TWO, keys, strict=True):
            made.append(row("emotion", score, model=name, key=key, row_key=key, epochs=epochs, started_at=when))
        for strategy in strategies:
            columns = {"method": strategy, "model": "small", "teachers": list(TWO), "teacher_keys": keys}
            place = f"{len(made):032x}"
            made.append(row("emotion", score + 1, row_key=place, teacher_epochs=epochs, started_at=when, **columns))
    (table,) = multi_teacher.tables(frame(made), "emotion")
    assert table.strategies == ("expertise",)
    assert [table.ours[name, comparison.SCORE].mean for name in (*TWO, "expertise")] == [40.0, 40.0, 41.0]


def test_the_order_of_teachers_does_not_matter_to_what_is_printed() -> None:
    found = comparison.printed("emotion", "distilbert", THREE)
    assert len(found) == 42
    assert comparison.printed("emotion", "distilbert", THREE[::-1]) == found


def test_classes_come_in_the_tasks_order() -> None:
    labels = {"surprise": 1.0, "joy": 2.0, "sadness": 3.0}
    columns = {"method": "ca_mkd", "model": TWO[0], "teachers": list(TWO), "class_accuracy": labels}
    (table,) = multi_teacher.tables(frame([row("emotion", 60.0, **columns)]), "emotion")
    assert table.labels == ("sadness", "joy", "surprise")


def test_rows_that_looked_at_test_are_told(tmp_path: Any) -> None:
    columns = {"method": "expertise", "model": "small", "teachers": list(TWO), "expertise_split": "test"}
    made = [row("emotion", 60.0, row_key="1" * 32, **columns)]
    (table,) = multi_teacher.tables(frame(made), "emotion")
    assert "looked at test data" in table.notes[0]
    output = io.StringIO()
    for block in multi_teacher.blocks(frame(made), "emotion", Store(str(tmp_path))):
        Console(file=output, width=150).print(block)
    assert "looked at test data" in output.getvalue()


def test_a_task_or_sweep_without_rows_is_refused_with_the_nearest() -> None:
    made = frame(thesis("emotion"))
    with pytest.raises(UserError, match="no rows of such a thing"):
        common.choose_sweep(made, multi_teacher.belonging(made, "mind"), "such a thing", None)
    with pytest.raises(UserError, match=r"no sweep 'gird'.*did you mean 'grid'"):
        common.choose_sweep(made, multi_teacher.belonging(made, "emotion"), "such a thing", "gird")
    assert len(common.choose_sweep(made, multi_teacher.belonging(made, "emotion"), "such a thing", None)) == len(made)
