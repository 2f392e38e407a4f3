"""What every sweep command does with its recipes: account, run, record, report."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator import accounting
from orchestrator.bookkeeping import Bookkeeper
from orchestrator.engine import costs
from orchestrator.engine import run as engine
from orchestrator.engine.listener import Listeners
from orchestrator.engine.progress import Cell, Display, duration
from orchestrator.engine.resources import estimate_memory
from orchestrator.engine.schedule import Schedule, State
from orchestrator.engine.store import Store
from orchestrator.options import SweepOptions
from orchestrator.recipe import Recipe
from trainables.data import tasks
from trainables.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130


def run(options: SweepOptions, recipes: Sequence[Recipe]) -> int:
    """Runs what the store lacks of a sweep, or says what that would be.

    Args:
        options: The common options.
        recipes: What the sweep asks for.

    Returns:
        The exit code: 0, 1 where a stage failed, 130 after Ctrl-C.

    Raises:
        UserError: For anything wrong that can be seen before training.
    """
    from orchestrator.leaderboard import terminal

    console = terminal.console()
    if not recipes:
        raise UserError("the sweep is empty: a grid needs a target task, and a pair another intermediate task")
    for recipe in recipes:
        _ = recipe.stage.key  # reads the fingerprints: missing data or weights are refused here
    store = Store(options.storage)
    if options.report_only:
        _report(options, recipes, store, console)
        return 0
    if not options.dry_run:
        store.storage.check_writable()
    schedule = Schedule([recipe.stage for recipe in recipes], store)
    if options.dry_run:
        accounting.show(console, recipes, schedule, costs.from_store(store), options.shares)
        return 0
    _check_data(recipes)
    store.tidy()
    store.write_sweep(options.sweep, [recipe.to_json() for recipe in recipes])
    return _run(options, recipes, schedule, store, console)


def _run(options: SweepOptions, recipes: Sequence[Recipe], schedule: Schedule, store: Store, console: Console) -> int:
    begun = time.monotonic()
    known = accounting.observed(schedule)
    schedule.prioritise(lambda stage: known.seconds(stage) or 1.0, estimate_memory)
    keeper = Bookkeeper(options.sweep, recipes, schedule, store, options.keep_models)
    keeper.write_missing_rows()
    total, found = len(schedule.nodes), len(schedule.nodes) - schedule.unfinished
    console.print(f"{options.sweep}: {total} stages, {found} of them finished already; storage {store.root}")
    completed = True
    if not schedule.done:
        with engine.connected() as cluster:
            console.print(f"on {cluster.cpus:g} CPU cores and {cluster.gpus:g} GPUs")
            if cluster.elastic and store.storage.local:
                console.print(f"note: {store.root} must be a folder that every node of the cluster shares")
            slots = options.shares.slots([node.stage for node in schedule.to_run()], cluster)
            with Display(schedule, _cells(recipes), known, slots, console) as display:
                listeners = Listeners([keeper, display])
                completed = engine.execute(
                    schedule,
                    store,
                    options.shares,
                    cluster,
                    keeper.keep_model,
                    listeners,
                    on_interrupt=display.stopping,
                )
        if keeper.unwritten:
            keeper.write_missing_rows()
    console.print(f"{keeper.trained} stages trained in {duration(time.monotonic() - begun)}, {found} found finished")
    if not completed:
        console.print(f"interrupted with {schedule.unfinished} stages to go; to go on, run the same command again")
        return INTERRUPTED
    _report(options, recipes, store, console)
    if keeper.unwritten:
        console.print("some rows could not be written (see above); their results are safe: run the command again")
        return 1
    return _failures(schedule, console)


def _failures(schedule: Schedule, console: Console) -> int:
    failed = [node for node in schedule.nodes.values() if node.state is State.FAILED]
    blocked = sum(node.state is State.BLOCKED for node in schedule.nodes.values())
    if not failed:
        return 0
    console.print(f"{len(failed)} stages failed, {blocked} were blocked by them:", style="bold red")
    for node in failed[:20]:
        console.print(f"  {node.stage.label()} [{node.key[:8]}]: {node.error.strip()}", markup=False)
    console.print("all errors: python -m orchestrator.leaderboard show --status failed; run the command again to retry")
    return 1


def _report(options: SweepOptions, recipes: Sequence[Recipe], store: Store, console: Console) -> None:
    """Prints the grids of what was asked for, from the leaderboard; a sweep may hold more than that."""
    from orchestrator.leaderboard import rows, tables, terminal

    found = rows.read(store.filesystem, store.root)
    found = found[found["row_key"].isin([recipe.row_key(options.sweep) for recipe in recipes])]
    if found.empty:
        console.print(f"no rows of sweep {options.sweep} in {store.root} yet")
        return
    grids = tables.from_rows(found, options.sweep)
    largest = max(grid.largest_change for grid in grids)
    for grid in grids:
        console.print(terminal.grid_block(grid, largest))
    console.print(terminal.legend(largest))
    where = "" if options.storage == "./runs" else f" --storage {shlex.quote(options.storage)}"
    console.print(f"more: python -m orchestrator.leaderboard show|grid|sql{where}")


def _cells(recipes: Sequence[Recipe]) -> dict[str, list[Cell]]:
    cells: dict[str, list[Cell]] = {}
    for recipe in recipes:
        metric = f"test/{tasks.get(recipe.task).metric}"
        column = recipe.intermediate or ("baseline" if recipe.method == "finetune" else recipe.method)
        cells.setdefault(recipe.stage.key, []).append(Cell(recipe.model, recipe.task, column, metric))
    return cells


def _check_data(recipes: Sequence[Recipe]) -> None:
    """Reads every data set once, so that a malformed file or an unknown label is refused before training."""
    from trainables.data import sources
    from trainables.stages import FineTune

    seen: set[tuple[str, str]] = set()
    for recipe in recipes:
        for stage in recipe.stage.walk():
            if isinstance(stage, FineTune) and (stage.data, stage.task) not in seen:
                seen.add((stage.data, stage.task))
                sources.load(stage.data, stage.task)
