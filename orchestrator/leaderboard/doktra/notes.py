"""Sentences under a table: what is averaged how, and what our runs were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.doktra_tables import PaperTable
from orchestrator.leaderboard.doktra.numbers import AVERAGE, score
from orchestrator.leaderboard.paper.cells import Numbers, Place
from orchestrator.leaderboard.tables import Cell, heading
from trainables.data.tasks import FOLD

if TYPE_CHECKING:
    import pandas as pd

_SIZES_AGREE = 1.25  # ratio up to which two models of a name may be the same one, as papers round


def title(task: str) -> str:
    """A task as the paper heads it; which folds are meant, a note says."""
    return "Avg." if task == AVERAGE else heading(task.partition(FOLD)[0])


def protocol(table: PaperTable, averaged: Sequence[str], printed: Numbers) -> list[str]:
    """Which folds, which teacher, which averages.

    Args:
        table: The table.
        averaged: Tasks that our averages are over; none where there are none.
        printed: The paper's numbers.
    """
    found = []
    for task in table.tasks:
        if FOLD in task:
            first = "/" in task
            folds = "first of ten folds" if first else "mean over ten folds"
            found.append(f"{title(task)}: {folds}, as the paper has it here.")
    if any(line.method == "finetune" and line.model == table.teacher for line in table.lines):
        found.append("The teacher's line is the calibrated teacher, the one that students are distilled from.")
    if 0 < len(averaged) < len(table.tasks) and table.layout in ("retention", "methods"):
        names = ", ".join(title(task) for task in averaged)
        found.append(f"Averages, the paper's beside ours too, are over what every method here has: {names}.")
    elif misprinted := _misprinted(table, printed):
        found.append(f"Averages that are printed otherwise than their cells give: {', '.join(misprinted)}.")
    return found


def _misprinted(table: PaperTable, printed: Numbers) -> list[str]:
    found = []
    for line in table.lines:
        scores = [score(printed, line, task) for task in table.tasks]
        average = score(printed, line, AVERAGE)
        known = [value for value in scores if value is not None]
        if average is None or len(known) < len(scores):
            continue
        mean = sum(known) / len(known)
        if abs(average - mean) > 0.0101:
            found.append(f"{line.title} {average:.2f} (cells: {mean:.2f})")
    return found


def runs(table: PaperTable, rows: pd.DataFrame) -> list[str]:
    """What our runs had in common, whether their models can be the paper's, and the teachers' calibration."""
    if rows.empty:
        return []
    found = [f"Ours are means over seeds, with standard deviation and their number; {_settings(rows)}."]
    other = _other_sizes(rows)
    if other:
        found.append(f"Not the paper's models, so that only the order may be compared: {', '.join(other)}.")
    unfinished = rows.groupby(["line", "task"])["score"].count()
    if (unfinished == 0).any():
        found.append(f"Cells without a finished run say what became of it: {int((unfinished == 0).sum())}.")
    if table.layout == "boundaries":
        found += _calibration(table, rows)
    return found


def _settings(rows: pd.DataFrame) -> str:
    parts = []
    for column, name in (("batch_size", "batch size"), ("max_length", "length"), ("train_limit", "training limit")):
        values = sorted({int(value) for value in rows[column].dropna()})
        parts += [f"{name} {'|'.join(map(str, values))}"] if values else []
    return ", ".join(parts)


def _other_sizes(rows: pd.DataFrame) -> list[str]:
    from orchestrator.leaderboard.published import published

    paper = published("doktra")
    sizes = paper[paper["metric"] == "parameters"].groupby("model")["value"].first()
    found = []
    for model, part in rows.groupby("model"):
        ours = part["parameters"].dropna()
        if len(ours) and model in sizes:
            millions, theirs = float(ours.median()) / 1e6, float(sizes[model])
            if max(millions / theirs, theirs / millions) > _SIZES_AGREE:
                found.append(f"{model} has {millions:.3g}M parameters, in the paper {theirs:g}M")
    return found


def _calibration(table: PaperTable, rows: pd.DataFrame) -> list[str]:
    """What calibration does to the teacher itself, of which Table 5 shows what it does to the student."""
    means = rows.groupby(["line", "task"])["teacher_ece"].mean().dropna().reset_index()
    places = map(Place, means["line"], means["task"])
    cells = {place: Cell(float(value)) for place, value in zip(places, means["teacher_ece"], strict=True)}
    shown = []
    for task in table.tasks:
        values = [score(cells, line, task) for line in table.lines]
        if all(value is not None for value in values):
            shown.append(f"{title(task)} " + " to ".join(f"{value:.2f}" for value in values))
    return [f"ECE of the teacher in percent, uncalibrated to calibrated: {', '.join(shown)}."] if shown else []
