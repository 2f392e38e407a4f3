"""DoKTra's spaces, and its paper's picks against the published table."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

import orchestrator.leaderboard
from search_spaces import doktra
from search_spaces.space import Choices, Range
from trainables.errors import UserError

PUBLISHED = Path(orchestrator.leaderboard.__file__).parent / "published" / "hyperparameters.csv"
TABLES = {"A1", "A2", "A3", "A4", "A5", "A6"}
#: Names in the published table by stage, and ours.
NAMES = {
    ("calibrated_teacher", "epochs"): "teacher_epochs",
    ("calibrated_teacher", "learning_rate"): "teacher_learning_rate",
    ("calibrated_teacher", "beta1"): "beta1",
    ("student_finetune", "epochs"): "student_epochs",
    ("student_finetune", "learning_rate"): "student_learning_rate",
    ("distillation", "epochs"): "epochs",
    ("distillation", "learning_rate"): "learning_rate",
    ("distillation", "beta2"): "beta2",
    ("distillation", "gamma"): "gamma",
}


def published_rows(*tables: str) -> list[dict[str, str]]:
    with PUBLISHED.open() as file:
        return [row for row in csv.DictReader(file) if row["paper"] == "doktra" and row["table"] in tables]


def all_picks() -> list[dict[str, float]]:
    tasks = {row["task"] for row in published_rows(*TABLES)}
    return [chosen for task in sorted(tasks) for chosen in doktra.picks(task).values()]


def test_picks_equal_the_published_tables_row_for_row() -> None:
    rows = published_rows(*TABLES)
    teachers = [row for row in rows if row["stage"] == "calibrated_teacher"]
    students = [row for row in rows if row["stage"] != "calibrated_teacher"]
    printed = {
        (row["task"], row["model"], NAMES[row["stage"], row["name"]]): float(row["value"]) for row in students
    } | {
        (row["task"], student, NAMES[row["stage"], row["name"]]): float(row["value"])
        for row in teachers
        for student in {other["model"] for other in students if other["task"] == row["task"]}
    }

    ours = {
        (task, student, name): value
        for task in {row["task"] for row in rows}
        for student, chosen in doktra.picks(task).items()
        for name, value in chosen.items()
        if name != "teacher_learning_rate"  # no table has it
    }

    assert len(rows) == len(printed) - 7 * len({"teacher_epochs", "beta1"})  # seven tasks, each with two students
    assert ours == printed


def test_the_teachers_learning_rate_is_the_one_in_the_text() -> None:
    (row,) = [
        row for row in published_rows("text") if (row["stage"], row["name"]) == ("calibrated_teacher", "learning_rate")
    ]

    assert {chosen["teacher_learning_rate"] for chosen in all_picks()} == {float(row["value"])}


def test_the_papers_sets_are_the_printed_ones() -> None:
    printed = {
        NAMES[row["stage"], row["name"]]: row["searched"] or row["value"]
        for row in published_rows("text")
        if (row["stage"], row["name"]) in NAMES
    }

    assert set(printed) == set(doktra.PAPER.dimensions) == set(doktra.PARAMETERS)
    for name, text in printed.items():
        dimension = doktra.PAPER.dimensions[name]
        assert isinstance(dimension, Choices)
        if ".." in text:  # a range; the tables hold these values of it
            low, high = map(int, text.split(".."))
            assert set(dimension.values) == {chosen[name] for chosen in all_picks()}
            assert all(low <= value <= high for value in dimension.values)
        else:
            assert dimension.values == tuple(map(float, text.split("|")))


def test_a_fold_has_the_settings_of_its_task() -> None:
    whole = doktra.published("gad", "roberta_large")

    assert whole is not None
    assert whole["gamma"] == 0.9
    assert doktra.published("gad@10", "roberta_large") == doktra.published("gad@1/10", "roberta_large") == whole


@pytest.mark.parametrize(
    ("task", "student"), [("pubmedqa", "roberta_large"), ("gad", "bert_base"), ("gad", "roberta_base")]
)
def test_nothing_is_made_up_for_what_the_paper_lacks(task: str, student: str) -> None:
    assert doktra.published(task, student) is None
    assert student not in doktra.picks(task)


def test_picks_can_be_changed_without_changing_the_table() -> None:
    doktra.picks("gad")["roberta_large"]["gamma"] = 0.0

    assert doktra.picks("gad")["roberta_large"]["gamma"] == 0.9


def test_picks_lie_in_the_spaces() -> None:
    assert len(all_picks()) == 14
    assert all(doktra.WIDE.contains(chosen) for chosen in all_picks())
    outside = [chosen for chosen in all_picks() if not doktra.PAPER.contains(chosen)]
    assert outside == [doktra.published("fts", "albert_xlarge")]
    assert doktra.PAPER.nearest(outside[0]) == {**outside[0], "beta2": 0.0}


def test_paper_defaults_are_the_most_frequent_picks() -> None:
    for name, value in doktra.defaults("paper").items():
        counts = Counter(chosen[name] for chosen in all_picks())
        assert counts[value] == max(counts.values()), name


def test_defaults_are_a_point_of_their_space() -> None:
    assert doktra.PAPER.contains(doktra.defaults("paper"))
    assert doktra.MINI.contains(doktra.defaults("mini"))
    with pytest.raises(UserError, match="no default settings for preset 'min'; did you mean 'mini'"):
        doktra.defaults("min")


def test_counts_of_combinations() -> None:
    assert doktra.PAPER.size == 3 * 1 * 4 * 2 * 3 * 1 * 3 * 4 * 4
    assert [doktra.PAPER.subset(names).size for names in doktra.PHASES.values()] == [12, 6, 48]
    assert doktra.WIDE.size is None
    assert doktra.MINI.size == 3 * 3 * 4 * 2 * 3 * 2 * 3 * 4 * 4


def test_phases_are_a_partition_of_the_hyperparameters() -> None:
    assert [name for names in doktra.PHASES.values() for name in names] == list(doktra.PARAMETERS)


def test_the_wide_space_is_continuous_where_it_can_be() -> None:
    for name, dimension in doktra.WIDE.dimensions.items():
        assert isinstance(dimension, Range)
        assert dimension.integer == name.endswith("epochs")
        assert dimension.log == name.endswith("learning_rate")


def test_spaces_by_name_and_from_files(tmp_path: Path) -> None:
    assert doktra.get("wide") is doktra.WIDE
    file = tmp_path / "mine.yaml"
    file.write_text("gamma: [0.8]\n")
    assert doktra.get(str(file)).dimensions == {**doktra.PAPER.dimensions, "gamma": Choices((0.8,))}
    assert doktra.get(str(file), base="mini").dimensions == {**doktra.MINI.dimensions, "gamma": Choices((0.8,))}
    bare = tmp_path / "without_ending"
    bare.write_text("base: wide\n")
    assert doktra.get(str(bare)).dimensions == doktra.WIDE.dimensions


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("papr", "unknown space 'papr'; did you mean 'paper'.*or a file"),
        ("nowhere.yaml", "space file 'nowhere.yaml' cannot be read"),
        ("", "unknown space ''"),
    ],
)
def test_spaces_that_there_are_not(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        doktra.get(text)


def test_settings_from_the_command_line() -> None:
    settings = doktra.parse_settings(" gamma = 0.8 , epochs=3,learning_rate=1e-5,beta2=0")

    assert settings == {"gamma": 0.8, "epochs": 3, "learning_rate": 1e-5, "beta2": 0.0}
    assert [type(value) for value in settings.values()] == [float, int, float, float]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gamma=1.2", "--settings: gamma=1.2 must be a number from 0 to 1; nearest: 1"),
        ("gama=0.8", "--settings: unknown hyperparameter 'gama'; did you mean 'gamma'"),
        ("epochs=2.5", "--settings: epochs=2.5 must be a whole number of at least 1"),
        ("epochs=0", "--settings: epochs=0 must be a whole number of at least 1; nearest: 1"),
        ("learning_rate=0", "--settings: learning_rate=0 must be a number above 0"),
        ("beta2=x", "--settings: beta2='x' must be a number of at least 0"),
        ("beta2=nan", "--settings: beta2=nan must be a number of at least 0"),
        ("beta2=", "--settings: beta2='' must be a number of at least 0"),
        ("gamma", "--settings: 'gamma' must read NAME=VALUE"),
        ("gamma=0.8,gamma=0.9", "--settings: gamma is given twice, 0.8 and 0.9"),
        (" , ", "--settings=' , ' sets nothing"),
    ],
)
def test_settings_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        doktra.parse_settings(text)
