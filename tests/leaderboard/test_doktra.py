from __future__ import annotations

import io

import pytest
from rich.console import Console

from orchestrator import doktra_tables
from orchestrator.leaderboard.doktra import block, compare, page
from orchestrator.leaderboard.paper import text
from orchestrator.leaderboard.published import published
from tests.leaderboard.synthetic import frame, row
from trainables.errors import UserError

#: Typed from the paper: a table's rows, cell by cell, without what follows ±.
PAPER = {
    2: """
        BioBERT-ft (teacher): 110M 76.20 81.59 80.05 74.14 84.21 79.24 -
        ALBERT-ft (student): 60M 73.67 74.33 81.31 69.89 81.76 76.19 -
        ALBERT-DoKTra: 60M 77.42 78.86 82.30 72.98 83.52 79.02 99.72%
        RoBERTa-ft (student): 355M 75.75 77.84 80.71 72.51 83.98 78.16 -
        RoBERTa-DoKTra: 355M 78.04 81.38 82.25 75.65 85.34 80.53 101.63%
    """,
    3: """
        ChemProt: 76.20 79.00 78.04
        GAD: 81.59 81.16 81.38
        DDI: 80.05 81.39 82.25
        i2b2: 74.14 78.83 75.65
        HoC: 84.21 86.11 85.34
        Avg.: 79.24 80.90 80.53
    """,
    4: """
        ChemProt: 75.75 73.55 75.40 78.04
        GAD: 80.17 81.85 81.41 84.47
        DDI: 80.71 73.61 78.00 82.25
        i2b2: 72.51 70.95 72.42 75.65
        HoC: 83.98 86.39 86.45 85.34
        Avg.: 79.34 77.27 78.74 81.15
    """,
    5: """
        ChemProt: 76.20 193.75 77.42 139.79
        GAD: 77.26 331.50 78.86 268.95
        DDI: 82.16 131.62 82.30 98.97
        i2b2: 72.82 123.29 72.98 92.20
    """,
    6: """
        BioBERT-ft (teacher): 76.20 -
        ALBERT-ft (student): 73.67 -
        +KLD: 76.40 +2.73
        +CTT+KLD: 76.87 +3.20
        +ABD: 76.20 +2.53
        +CTT+ABD: 77.42 +3.75
        ALBERT-ft+CPL: 74.04 +0.37
    """,
    7: """
        FinBERT-ft (teacher): 110M 85.70 85.88 85.79 -
        ALBERT-ft (student): 60M 83.85 80.79 82.32 -
        ALBERT-DoKTra: 60M 86.25 86.08 86.17 100.44%
        RoBERTa-ft (student): 125M 85.78 81.76 83.77 -
        RoBERTa-DoKTra: 125M 87.21 85.10 86.16 100.43%
    """,
}
#: Printed averages and what the printed cells give: two differ, one is a tie (86.165).
FROM_CELLS = {(3, "Avg.", "80.90"): "81.30", (4, "Avg.", "79.34"): "78.62", (7, "ALBERT-DoKTra", "86.17"): "86.16"}


def paper(number: int) -> dict[str, list[str]]:
    lines = (line.strip().split(": ") for line in PAPER[number].strip().splitlines())
    return {name: cells.split() for name, cells in lines}


def cell(task: str, score: float | None, method: str, model: str, teacher: str | None = None, seed: int = 0, **columns):
    """A row of the table's labels; its settings are the method's."""
    labels = {"method": method, "model": model, "teachers": [teacher] if teacher else [], "epochs": len(method)}
    name = "-".join(map(str, (task, method, model, teacher, seed, columns.get("sweep"))))
    return row(task, score, seed=seed, **{"row_key": name, "key": f"stage of {name}", **labels, **columns})


def printed_as_rows(number: int) -> list[dict]:
    """The paper's scores, boundaries and sizes as if they were ours, one seed each; nothing that follows from them."""
    table = doktra_tables.get(number)
    numbers = published("doktra")
    numbers = numbers[numbers["table"] == str(number)].fillna({"teacher": "", "task": ""})
    made = []
    for line in table.lines:
        mine = numbers[
            (numbers["method"] == line.method)
            & (numbers["model"] == line.model)
            & (numbers["teacher"] == (line.teacher or ""))
        ]
        sizes = mine.loc[mine["metric"] == "parameters", "value"]
        for task in table.tasks:
            of_task = mine[mine["task"] == task].set_index("metric")["value"]
            (score,) = of_task[of_task.index.isin(["f1", "micro_f1"])]
            columns = {"l_at": of_task.get("l_at"), "parameters": int(1e6 * sizes.iloc[0]) if len(sizes) else None}
            made.append(cell(task, float(score), line.method, line.model, line.teacher, **columns))
    return made


def shown(comparison, numbers) -> dict[str, list[str]]:
    """Rows of cells, without standard deviations and seeds."""
    return {
        name: [text(numbers.get(place), place.measure).split()[0] for place in places]
        for name, places in comparison.rows
    }


@pytest.mark.parametrize("number", sorted(PAPER))
def test_published_numbers_as_rows_give_the_papers_table(number):
    comparison = compare(frame(printed_as_rows(number)), number)
    assert shown(comparison, comparison.printed) == paper(number)
    expected = {
        name: [FROM_CELLS.get((number, name, value), value) for value in values]
        for name, values in paper(number).items()
    }
    assert shown(comparison, comparison.ours) == expected
    assert [len(places) for _, places in comparison.rows] == [len(comparison.heads) - 1] * len(comparison.rows)
    table = doktra_tables.get(number)
    scores = len(table.tasks) * len(table.lines)
    assert f"Of {scores} scores in both, ours are 0.00 points from the paper's on average" in comparison.notes[0]
    assert any("printed otherwise" in note for note in comparison.notes) is (number in (3, 4))
    assert not any("Not the paper's models" in note for note in comparison.notes)


@pytest.mark.parametrize("number", sorted(PAPER))
def test_without_a_run_the_papers_numbers_stand_alone(number):
    comparison = compare(frame([]), number)
    assert shown(comparison, comparison.printed) == paper(number)
    assert comparison.ours == {}
    assert "not run yet" in comparison.title


def test_standard_deviations_are_printed_where_the_paper_has_them():
    comparison = compare(frame([]), 2)
    cells = {name: [text(comparison.printed.get(place), place.measure) for place in places] for name, places in
             comparison.rows}  # fmt: skip
    assert cells["RoBERTa-DoKTra"] == (
        ["355M", "78.04 ±0.22", "81.38 ±0.05", "82.25 ±0.30", "75.65 ±0.11", "85.34 ±0.12", "80.53", "101.63%"]
    )


def test_cells_are_means_over_seeds_with_their_spread():
    rows = [cell("chemprot", score, "finetune", "albert_xlarge", seed=seed) for seed, score in enumerate((70, 72, 77))]
    comparison = compare(frame(rows), 6)
    (place, improvement) = comparison.rows[1][1]
    assert text(comparison.ours[place], "score") == "73.00 ±3.61 (3)"
    assert improvement not in comparison.ours


def test_means_over_folds_and_single_folds_are_never_mixed():
    rows = [cell("gad@10", 75.0, "finetune", "roberta_large")]
    rows += [cell(f"gad@{number}/10", 50.0 + number, "finetune", "roberta_large") for number in range(1, 11)]
    rows += [cell("gad", 10.0, "finetune", "roberta_large")]
    for number, expected in ((2, 75.0), (4, 51.0)):
        comparison = compare(frame(rows), number)
        found = {place.task: one.mean for place, one in comparison.ours.items() if place.task.startswith("gad")}
        assert found == {doktra_tables.get(number).tasks[1]: expected}
        assert any("folds" in note for note in comparison.notes)


def test_trials_of_a_search_and_other_teachers_are_left_out():
    rows = [
        cell("ddi", 80.0, "doktra", "albert_xlarge", "biobert"),
        cell("ddi", 99.0, "doktra", "albert_xlarge", "biobert", seed=1, study="s", trial=0),
        cell("ddi", 98.0, "doktra", "albert_xlarge", "finbert", seed=2),
        cell("ddi", 97.0, "doktra", "albert_xlarge", seed=3),
    ]
    comparison = compare(frame(rows), 5)
    assert [
        (place.line, one.mean, one.seeds) for place, one in comparison.ours.items() if place.measure == "score"
    ] == [("DoKTra", 80.0, 1)]


def test_of_several_settings_the_latest_is_shown_and_teachers_count_as_settings():
    first = [cell("ddi", 80.0, "doktra", "albert_xlarge", "biobert", seed=seed) for seed in (0, 1)]
    late = cell("ddi", 70.0, "doktra", "albert_xlarge", "biobert", row_key="late", teacher_confidence_penalty=0.7)
    late |= {"started_at": late["started_at"].replace(year=2027)}
    comparison = compare(frame([*first, late]), 5)
    place = comparison.rows[2][1][2]
    assert (place.line, place.task, comparison.ours[place].mean, comparison.ours[place].seeds) == (
        "DoKTra",
        "ddi",
        70,
        1,
    )
    assert any("2 more runs" in note for note in comparison.notes)


def test_averages_are_over_what_every_method_has_and_the_papers_beside_them_too():
    rows = []
    for task, teacher, plain, distilled in (("chemprot", 80.0, 60.0, 76.0), ("hoc", 90.0, 70.0, 94.0)):
        rows.append(cell(task, teacher, "finetune", "biobert"))
        rows.append(cell(task, plain, "finetune", "albert_xlarge"))
        rows.append(cell(task, distilled, "doktra", "albert_xlarge", "biobert"))
    rows.append(cell("ddi", 50.0, "finetune", "biobert"))
    comparison = compare(frame(rows), 2)
    ours, theirs = shown(comparison, comparison.ours), shown(comparison, comparison.printed)
    assert ours["BioBERT-ft (teacher)"][-2:] == ["85.00", "-"]
    assert ours["ALBERT-DoKTra"][-2:] == ["85.00", "100.00%"]
    assert ours["RoBERTa-DoKTra"] == ["-"] * 8
    assert theirs["ALBERT-DoKTra"][-2:] == ["80.47", "100.33%"]  # (77.42 + 83.52) / (76.20 + 84.21)
    assert any("over what every method here has: ChemProt, HoC." in note for note in comparison.notes)


def test_cells_without_a_finished_run_say_so():
    comparison = compare(frame([cell("chemprot", None, "kld", "albert_xlarge", "biobert")]), 6)
    place = comparison.rows[2][1][0]
    assert text(comparison.ours[place], "score") == "failed"
    assert any("say what became of it: 1" in note for note in comparison.notes)


def test_notes_count_agreement_and_tell_models_of_another_size():
    rows = [
        cell("fpb", 80.0, "finetune", "albert_xlarge", parameters=200_000),
        cell("fpb", 79.0, "doktra", "albert_xlarge", "finbert"),
        cell("fpb", 70.0, "finetune", "roberta_base"),
    ]
    notes = compare(frame(rows), 7).notes
    # Distances 3.85, 7.25 and 15.78; of the pairs the paper has DoKTra first, RoBERTa second, ALBERT third.
    assert notes[0] == (
        "Of 3 scores in both, ours are 8.96 points from the paper's on average, 15.78 at most; of 3 pairs of methods "
        "on the same task, 1 ranks the same way."
    )
    (sizes,) = [note for note in notes if "Not the paper's models" in note]
    assert "albert_xlarge has 0.101M parameters, in the paper 60M" in sizes  # median of 200,000 and 1,000
    assert "roberta_base has 0.001M parameters, in the paper 125M" in sizes


def test_calibration_of_the_teachers_stands_under_table_5():
    rows = [
        cell("ddi", 80.0, "doktra_no_ctt", "albert_xlarge", "biobert", teacher_ece=6.0),
        cell("ddi", 80.0, "doktra_no_ctt", "albert_xlarge", "biobert", seed=1, teacher_ece=7.0),
        cell("ddi", 81.0, "doktra", "albert_xlarge", "biobert", teacher_ece=2.0),
        cell("i2b2", 81.0, "doktra", "albert_xlarge", "biobert", teacher_ece=2.0),
    ]
    notes = compare(frame(rows), 5).notes
    assert "ECE of the teacher in percent, uncalibrated to calibrated: DDI 6.50 to 2.00." in notes


def test_the_sweep_with_rows_of_the_table_that_started_last_is_shown():
    rows = [
        cell("fpb", 1.0, "finetune", "roberta_base", sweep="early"),
        cell("fpb", 2.0, "finetune", "roberta_base", sweep="late"),
        cell("gad", 3.0, "finetune", "roberta_base", sweep="other"),
    ]
    for place, one in enumerate(rows):
        one["started_at"] = one["started_at"].replace(year=2027 + place)
    assert compare(frame(rows), 7).sweep == "late"
    assert compare(frame(rows), 7, "early").sweep == "early"
    with pytest.raises(UserError, match="did you mean 'early'"):
        compare(frame(rows), 7, "earl")
    with pytest.raises(UserError, match="sweep 'other' has no rows of Table 7"):
        compare(frame(rows), 7, "other")
    with pytest.raises(UserError, match="2, 3, 4"):
        compare(frame(rows), 1)


def printed_on(width: int, number: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(block(compare(frame(printed_as_rows(number)), number), console))
    return console.file.getvalue()


def test_a_wide_terminal_has_the_papers_numbers_beside_and_a_narrow_one_below():
    wide = printed_on(300, 2)
    (line,) = [line for line in wide.splitlines() if line.startswith("ALBERT-DoKTra")]
    assert "77.42 (1) | 77.42 ±0.04" in line
    assert line.rstrip().endswith("99.72% | 99.72%")
    lines = printed_on(120, 2).splitlines()
    (place,) = [place for place, line in enumerate(lines) if line.startswith("ALBERT-DoKTra")]
    assert "77.42 (1)" in lines[place]
    assert "77.42 ±0.04" in lines[place + 1]
    assert max(map(len, lines)) <= 120
    assert "…" not in "".join(lines)


def test_the_papers_numbers_are_dim():
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system="standard", highlight=False)
    console.print(block(compare(frame(printed_as_rows(6)), 6), console))
    assert "\x1b[2m | +2.73\x1b[0m" in console.file.getvalue()


def test_a_page_holds_every_number_and_escapes_names():
    rows = [{**one, "sweep": "<b>"} for one in printed_as_rows(2)]
    made = page([compare(frame(rows), 2), compare(frame([]), 6)], "DoKTra")
    for value in ("77.42 (1)", "<small>77.42 ±0.04</small>", "101.63%", "ALBERT-ft+CPL", "&lt;b&gt;"):
        assert value in made
    assert "<b>" not in made
    assert "<title>DoKTra</title>" in made
