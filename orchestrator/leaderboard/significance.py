"""Marks the cells of a grid whose change is more than chance: bootstrap per pair, false discoveries over the grid."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.leaderboard import statistics
from orchestrator.leaderboard.tables import LEVEL, Cell, Grid
from trainables.data import tasks
from trainables.errors import CorruptEntry, UserError

if TYPE_CHECKING:
    from orchestrator.engine.store import Store


def with_significance(grid: Grid, store: Store, split: str = "test", resamples: int = statistics.RESAMPLES) -> Grid:
    """Adds adjusted p-values to a grid's pairs.

    Args:
        grid: From :func:`orchestrator.leaderboard.tables.from_rows`.
        store: Holds the predictions behind it.
        split: What the grid's scores are of.
        resamples: Bootstrap samples.

    Returns:
        The grid with ``q`` in every pair that could be compared, and a note that says how.
    """
    p_values: dict[tuple[str, str], float] = {}
    for target in grid.targets:
        p_values.update(_row(grid, store, target, split, resamples))
    adjusted = dict(zip(p_values, statistics.false_discovery(list(p_values.values())), strict=True))
    pairs = {place: dataclasses.replace(cell, q=adjusted.get(place)) for place, cell in grid.pairs.items()}
    comparable = sum(cell.change is not None for cell in pairs.values())
    method = (
        f"* differs from the baseline at a false discovery rate of {LEVEL:g} over {len(adjusted)} pairs "
        f"(Benjamini-Hochberg; paired bootstrap over {split} examples and seeds, {resamples:,} resamples): "
        f"{sum(cell.marked for cell in pairs.values())} of them."
    )
    notes = [method]
    if len(adjusted) < comparable:
        notes.append(f"Not tested, for want of predictions: {comparable - len(adjusted)} of {comparable} pairs.")
    return dataclasses.replace(grid, pairs=pairs, notes=(*grid.notes, *notes))


def _row(grid: Grid, store: Store, target: str, split: str, resamples: int) -> dict[tuple[str, str], float]:
    """P-values of one target's pairs, which share their test examples."""
    task = tasks.get(target)
    baseline = _counts(grid.cell(target, None), store, task, split)
    if not baseline:
        return {}
    places, others = [], []
    for intermediate in grid.intermediates:
        found = _counts(grid.cell(target, intermediate), store, task, split)
        if found:
            places.append((target, intermediate))
            others.append(found)
    try:
        differences = statistics.paired_bootstrap(baseline, others, task.metric, resamples)
    except UserError as error:
        raise UserError(f"{target}: {error}") from error
    return {place: difference.p for place, difference in zip(places, differences, strict=True)}


def _counts(cell: Cell | None, store: Store, task: tasks.Task, split: str) -> list[np.ndarray]:
    """Counts of every run behind a cell; none where a run's predictions are missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if cell is None or not cell.keys:
        return []
    found = []
    for key in cell.keys:
        try:
            content = pa.BufferReader(store.predictions(key))
            table = pq.read_table(content, columns=["id", "split", "gold", "prediction"])
        except (KeyError, CorruptEntry):
            return []
        found.append(statistics.counts(table, task, split))
    return found
