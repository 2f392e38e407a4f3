"""The STILT paper's grid: rows are targets, columns intermediates, the baseline first, means over seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from orchestrator.leaderboard.settings import comparable
from orchestrator.leaderboard.statistics import spread
from trainables.data import tasks
from trainables.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

#: Adjusted p-value below which a cell is marked.
LEVEL = 0.05


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of a grid.

    Attributes:
        mean: Mean score over seeds in percent; None where no run has finished.
        std: Sample standard deviation over seeds; None for fewer than two, or where not stated.
        seeds: Runs that the mean is over; None where not stated.
        change: Points above the baseline of the same target; None without one.
        status: ``finished``, or what became of the runs where none finished.
        keys: Keys of the stages behind the mean.
        q: Adjusted p-value of the change, where it was asked for.
    """

    mean: float | None
    std: float | None = None
    seeds: int | None = None
    change: float | None = None
    status: str = "finished"
    keys: tuple[str, ...] = ()
    q: float | None = None

    @property
    def marked(self) -> bool:
        """Whether the change is significant."""
        return self.q is not None and self.q < LEVEL


@dataclasses.dataclass(frozen=True)
class Grid:
    """A grid of one model.

    Attributes:
        title: What it shows.
        model: Key of the model.
        targets: Tasks of the rows, in the papers' order.
        intermediates: Tasks of the columns behind the baseline's, in the same order.
        baselines: Cell by target.
        pairs: Cell by (target, intermediate).
        notes: What a reader should know, one sentence each.
    """

    title: str
    model: str
    targets: tuple[str, ...]
    intermediates: tuple[str, ...]
    baselines: Mapping[str, Cell]
    pairs: Mapping[tuple[str, str], Cell]
    notes: tuple[str, ...] = ()

    def cell(self, target: str, intermediate: str | None) -> Cell | None:
        """A pair's cell, or the baseline's where ``intermediate`` is None; None where nothing has ended yet."""
        if intermediate is None:
            return self.baselines.get(target)
        return self.pairs.get((target, intermediate))

    @property
    def columns(self) -> tuple[str | None, ...]:
        """What to put side by side: None for the baseline, then the intermediates."""
        return (None, *self.intermediates)

    @property
    def largest_change(self) -> float:
        """The largest change in points, either way; 0 without any."""
        return max((abs(cell.change) for cell in self.pairs.values() if cell.change is not None), default=0.0)


def heading(task: str | None) -> str:
    """A task's name as the papers print it; ``Baseline`` for None."""
    if task is None:
        return "Baseline"
    try:
        return tasks.get(task).title
    except UserError:  # of another version
        return task


def text(grid: Grid, target: str, intermediate: str | None, *, std: bool = False) -> str:
    """What a cell says: ``92.97``, with ``*`` where significant; ``-`` on the diagonal, nothing where nothing is yet.

    Args:
        grid: The grid.
        target: Its row.
        intermediate: Its column; None for the baseline.
        std: Add standard deviation and number of seeds: ``92.97 ±0.21 (3)``.
    """
    cell = grid.cell(target, intermediate)
    if cell is None:
        return "-" if target == intermediate else ""
    if cell.mean is None:
        return cell.status
    shown = f"{cell.mean:.2f}{'*' if cell.marked else ''}"
    if std:
        shown += f" ±{cell.std:.2f}" if cell.std is not None else ""
        shown += f" ({cell.seeds})" if cell.seeds is not None else ""
    return shown


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Tasks in the papers' order, each before its folds and those by number; others behind them by name."""
    order = list(tasks.TASKS)

    def place(name: str) -> tuple[int, str, *tuple[int, ...]]:
        corpus, _, fold = name.partition(tasks.FOLD)
        number, _, count = fold.rpartition("/")
        if corpus not in tasks.TASKS:
            return len(order), name, 0, 0
        return order.index(corpus), "", *(int(part) if part.isdecimal() else 0 for part in (count, number))

    return tuple(sorted(set(names), key=place))


def latest_sweep(rows: pd.DataFrame) -> str:
    """The sweep that holds the stage started last; stages that other sweeps shared count for each of them.

    Args:
        rows: At least one row.
    """
    started = rows.groupby("sweep")["started_at"].max()
    return str(started.idxmax() if started.notna().any() else started.index[-1])


def from_rows(rows: pd.DataFrame, sweep: str | None = None, split: str = "test") -> list[Grid]:
    """Makes the grid of every model in a sweep, as far as it has got.

    Args:
        rows: From :func:`orchestrator.leaderboard.rows.read`.
        sweep: Its name; the one started last where None.
        split: ``test`` or ``dev``.

    Returns:
        One grid per model, in the order of their names.

    Raises:
        UserError: For an unknown sweep, or one without rows of ``finetune`` and ``stilt``.
    """
    sweeps = sorted(set(rows["sweep"]))
    if sweep is not None and sweep not in sweeps:
        raise UserError(f"no sweep {sweep!r} in the leaderboard{did_you_mean(sweep, sweeps)}")
    chosen = sweep if sweep is not None else latest_sweep(rows)
    grid_rows = rows[(rows["sweep"] == chosen) & rows["method"].isin(["finetune", "stilt"])]
    if grid_rows.empty:
        raise UserError(f"sweep {chosen!r} has no rows of the methods finetune and stilt, which a grid is made of")
    column = "score" if split == "test" else "dev_score"
    return [_of_model(part, chosen, str(model), column, split) for model, part in grid_rows.groupby("model")]


def _of_model(rows: pd.DataFrame, sweep: str, model: str, column: str, split: str) -> Grid:
    everything, rows = rows, comparable(rows)
    finished = rows[(rows["status"] == "finished") & rows[column].notna()]
    cells: dict[tuple[str, str | None], Cell] = {}
    for place, part in _by_place(rows):
        cells[place] = Cell(mean=None, status=str(part["status"].iloc[0]))
    for place, part in _by_place(finished.sort_values("seed")):
        scores = [float(value) for value in part[column]]
        cells[place] = Cell(sum(scores) / len(scores), spread(scores), len(scores), keys=tuple(part["key"]))
    baselines = {task: cell for (task, intermediate), cell in cells.items() if intermediate is None}
    pairs = {
        (task, intermediate): dataclasses.replace(cell, change=_change(cell, baselines.get(task)))
        for (task, intermediate), cell in cells.items()
        if intermediate is not None
    }
    notes = [_seeds_note([*baselines.values(), *pairs.values()], split)]
    if len(rows) < len(everything):
        notes.append(
            f"{len(everything) - len(rows)} more runs with other settings or data are left out: of each task those of "
            "the run started last are shown."
        )
    unfinished = sum(cell.mean is None for cell in cells.values())
    if unfinished:
        notes.append(f"Cells without a finished run show what became of it: {unfinished}.")
    return Grid(
        title=f"{model}: sweep {sweep}, {split} scores",
        model=model,
        targets=in_order(task for task, _ in cells),
        intermediates=in_order(intermediate for _, intermediate in cells if intermediate is not None),
        baselines=baselines,
        pairs=pairs,
        notes=tuple(notes),
    )


def _by_place(rows: pd.DataFrame) -> Iterable[tuple[tuple[str, str | None], pd.DataFrame]]:
    """Rows by (task, intermediate); the baselines' intermediate is None."""
    for (task, intermediate), part in rows.groupby(["task", "intermediate"], dropna=False):
        is_pair = part["method"].iloc[0] == "stilt"
        yield (str(task), str(intermediate) if is_pair else None), part


def _change(cell: Cell, baseline: Cell | None) -> float | None:
    if cell.mean is None or baseline is None or baseline.mean is None:
        return None
    return cell.mean - baseline.mean


def _seeds_note(cells: Iterable[Cell], split: str) -> str:
    numbers = sorted({cell.seeds for cell in cells if cell.seeds})
    if not numbers:
        return f"No run has a {split} score yet."
    if len(numbers) == 1:
        return "One seed." if numbers[0] == 1 else f"Means over {numbers[0]} seeds."
    return f"Means over the seeds that have finished: {numbers[0]} to {numbers[-1]} per cell."


def from_published(model: str) -> Grid:
    """The paper's own grid of a model (Tables 2 and 3).

    Raises:
        UserError: For a model that the paper does not have.
    """
    from orchestrator.leaderboard.published import published

    everything = published("stilt")
    models = sorted(set(everything["model"]))
    if model not in models:
        raise UserError(f"the STILT paper has no grid of {model!r}{did_you_mean(model, models)}")
    rows = everything[everything["model"] == model]
    places = zip(rows["task"], rows["intermediate"].where(rows["method"] == "stilt", ""), strict=True)
    printed = zip(rows["value"].astype(float), rows["seeds"].astype(int), strict=True)
    numbers = dict(zip(places, printed, strict=True))
    baselines = {
        task: Cell(mean, seeds=seeds) for (task, intermediate), (mean, seeds) in numbers.items() if not intermediate
    }
    pairs = {
        (task, intermediate): Cell(mean, seeds=seeds, change=_change(Cell(mean), baselines[task]))
        for (task, intermediate), (mean, seeds) in numbers.items()
        if intermediate
    }
    return Grid(
        title=f"{model}: published (STILT paper, Table {rows['table'].iloc[0]})",
        model=model,
        targets=in_order(baselines),
        intermediates=in_order(intermediate for _, intermediate in pairs),
        baselines=baselines,
        pairs=pairs,
        notes=("Means over three runs.",),
    )


def laid_out_as(grid: Grid, other: Grid) -> Grid:
    """The same cells in the rows and columns of another grid, so that both can be read line by line."""
    wanted = {(target, column) for target in other.targets for column in other.intermediates}
    return dataclasses.replace(
        grid,
        targets=other.targets,
        intermediates=other.intermediates,
        baselines={target: cell for target, cell in grid.baselines.items() if target in other.targets},
        pairs={place: cell for place, cell in grid.pairs.items() if place in wanted},
    )
