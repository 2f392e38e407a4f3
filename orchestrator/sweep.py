"""What every sweep command does with its recipes: account, run, record, report."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from orchestrator import accounting
from orchestrator.bookkeeping import Bookkeeper
from orchestrator.engine import costs
from orchestrator.engine import run as engine
from orchestrator.engine.listener import Listener, Listeners
from orchestrator.engine.progress import Cell, Display, GridPanel, Panel, duration
from orchestrator.engine.proposer import Proposer
from orchestrator.engine.resources import estimate_memory
from orchestrator.engine.schedule import Schedule, State
from orchestrator.engine.store import Store
from orchestrator.options import RunOptions
from orchestrator.recipe import Recipe
from orchestrator.wording import counted
from trainables.data import tasks
from trainables.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130


#: Prints what came of recipes: called with the options, the recipes, the store and the console.
Report = Callable[[RunOptions, Sequence[Recipe], Store, "Console"], None]


def run(options: RunOptions, recipes: Sequence[Recipe], report: Report | None = None) -> int:
    """Runs what the store lacks of a sweep, or says what that would be.

    Args:
        options: How to run it.
        recipes: What the sweep asks for.
        report: Prints the result; grids of target and intermediate tasks unless given.

    Returns:
        The exit code: 0, 1 where a stage failed, 130 after Ctrl-C.

    Raises:
        UserError: For anything wrong that can be seen before training.
    """
    from orchestrator.leaderboard import terminal

    console = terminal.console()
    report = report or show_grids
    if not recipes:
        raise UserError("the sweep is empty: a grid needs a target task, and a pair another intermediate task")
    for recipe in recipes:
        _ = recipe.stage.key  # reads the fingerprints: missing data or weights are refused here
    store = Store(options.storage)
    if options.report_only:
        report(options, recipes, store, console)
        return 0
    if not options.dry_run:
        store.storage.check_writable()
    schedule = Schedule([recipe.stage for recipe in recipes], store)
    if options.keep_models == "all":
        schedule.want_weights()
    if options.dry_run:
        accounting.show(console, recipes, schedule, costs.from_store(store), options.shares)
        return 0
    check_data(recipes)
    store.tidy()
    store.write_sweep(options.sweep, [recipe.to_json() for recipe in recipes])
    begun = time.monotonic()
    keeper = Bookkeeper(options.sweep, recipes, schedule, store, options.keep_models)
    keeper.write_missing_rows()
    total, found = len(schedule.nodes), len(schedule.nodes) - schedule.unfinished
    console.print(f"{options.sweep}: {counted(total, 'stage')}, {found} of them finished already; storage {store.root}")
    completed = train(options, schedule, store, keeper, GridPanel(cells(recipes)), console)
    took = duration(time.monotonic() - begun)
    console.print(f"{counted(keeper.trained, 'stage')} trained in {took}, {found} found finished")
    if not completed:
        console.print(
            f"interrupted with {counted(schedule.unfinished, 'stage')} to go; to go on, run the same command again"
        )
        return INTERRUPTED
    report(options, recipes, store, console)
    return outcome(schedule, keeper, console)


def train(
    options: RunOptions,
    schedule: Schedule,
    store: Store,
    keeper: Bookkeeper,
    panel: Panel,
    console: Console,
    proposer: Proposer | None = None,
    listeners: Sequence[Listener] = (),
) -> bool:
    """Runs a schedule on Ray with a display.

    Args:
        options: How to run it.
        schedule: What to run.
        store: Where results go.
        keeper: Writes rows; hears of every event first.
        panel: What the display shows above the running stages.
        console: Where to.
        proposer: Adds to the schedule while it is run.
        listeners: Hear of every event after the keeper and before the display.

    Returns:
        Whether it came to its end; False after Ctrl-C.
    """
    known = accounting.observed(schedule)
    schedule.prioritise(lambda stage: known.seconds(stage) or 1.0, estimate_memory)
    if schedule.done and (proposer is None or proposer.done):
        return True
    with engine.connected() as cluster:
        console.print(f"on {cluster.cpus:g} CPU cores and {cluster.gpus:g} GPUs")
        if cluster.elastic and store.storage.local:
            console.print(f"note: {store.root} must be a folder that every node of the cluster shares")
        slots = options.shares.slots([node.stage for node in schedule.to_run()], cluster)
        with Display(schedule, panel, known, slots, console) as display:
            completed = engine.execute(
                schedule,
                store,
                options.shares,
                cluster,
                keeper.keep_model,
                Listeners([keeper, *listeners, display]),
                on_interrupt=display.stopping,
                proposer=proposer,
            )
    if keeper.unwritten:
        keeper.write_missing_rows()
    return completed


def outcome(schedule: Schedule, keeper: Bookkeeper, console: Console) -> int:
    """Prints what went wrong; returns the exit code."""
    if keeper.unwritten:
        console.print("some rows could not be written (see above); their results are safe: run the command again")
        return 1
    return _failures(schedule, console)


def _failures(schedule: Schedule, console: Console) -> int:
    failed = [node for node in schedule.nodes.values() if node.state is State.FAILED]
    blocked = sum(node.state is State.BLOCKED for node in schedule.nodes.values())
    if not failed:
        return 0
    console.print(f"{counted(len(failed), 'stage')} failed, {blocked} blocked by that:", style="bold red")
    for node in failed[:20]:
        console.print(f"  {node.stage.label()} [{node.key[:8]}]: {node.error.strip()}", markup=False)
    console.print("all errors: python -m orchestrator.leaderboard show --status failed; run the command again to retry")
    return 1


def show_grids(options: RunOptions, recipes: Sequence[Recipe], store: Store, console: Console) -> None:
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


def cells(recipes: Sequence[Recipe]) -> dict[str, list[Cell]]:
    """Where each recipe's score appears in the live grid, by stage key."""
    found: dict[str, list[Cell]] = {}
    for recipe in recipes:
        metric = f"test/{tasks.get(recipe.task).metric}"
        column = recipe.intermediate or ("baseline" if recipe.method == "finetune" else recipe.method)
        found.setdefault(recipe.stage.key, []).append(Cell(recipe.model, recipe.task, column, metric))
    return found


def check_data(recipes: Sequence[Recipe]) -> None:
    """Reads every data set once, so that a malformed file or an unknown label is refused before training."""
    from trainables.data import sources

    seen: set[tuple[str, str]] = set()
    for recipe in recipes:
        for stage in recipe.stage.walk():
            data, task = getattr(stage, "data", None), getattr(stage, "task", None)
            if data is not None and task is not None and (data, task) not in seen:
                seen.add((data, task))
                sources.load(data, task)
