"""What every search does: account, run, record, report."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import accounting, sweep
from orchestrator.bookkeeping import Bookkeeper
from orchestrator.engine.progress import duration
from orchestrator.engine.schedule import Schedule
from orchestrator.engine.store import Store
from orchestrator.options import RunOptions
from orchestrator.recipe import Recipe, with_folds
from orchestrator.search import lease, outlook, report
from orchestrator.search.display import SearchPanel, SearchProgress
from orchestrator.search.phase import Make, Search
from orchestrator.search.proposer import StudyProposer
from orchestrator.search.rows import show_rows
from orchestrator.search.storage import FOLDER, Journal
from search_spaces.space import Space

if TYPE_CHECKING:
    from rich.console import Console

_OPTIMISTIC = (
    "the best trial by the mean dev score over folds: over all folds dev and test are the same examples, so its test "
    "score is that of a choice on test; report the one below"
)


@dataclasses.dataclass(frozen=True)
class Ending:
    """What a search is concluded with.

    Attributes:
        compared: What the best trial is compared with, of all that the search has trained.
        command: Makes the command line that trains some settings.
        published: The paper's choice, if it has one.
    """

    compared: Sequence[Make]
    command: Callable[[Mapping[str, Any]], str]
    published: Mapping[str, Any] | None = None


def run(
    options: RunOptions,
    search: Search,
    compared: Sequence[Make],
    command: Callable[[Mapping[str, Any]], str],
    published: Mapping[str, Any] | None = None,
) -> int:
    """Runs a search, or says what that would be.

    Args:
        options: How to run it.
        search: What is searched.
        compared: What the best trial is compared with, of all that the search has trained: the student's own
            fine-tuning, say. Of each the best by dev has a row.
        command: Makes the command line that trains the best settings.
        published: The paper's choice, to be shown beside ours.

    Returns:
        The exit code: 0, 1 where a stage failed or no trial came to its end, 130 after Ctrl-C.

    Raises:
        UserError: For anything wrong that can be seen before training.
    """
    from orchestrator.leaderboard import terminal

    console, ending = terminal.console(), Ending(compared, command, published)
    sample = _sample(search)
    for recipe in (recipe for recipes in sample for recipe in recipes):
        _ = recipe.stage.key  # missing data or weights are refused here
    store = Store(options.storage)
    if options.dry_run:
        outlook.show(console, options, search, sample[-1], store)
        return 0
    if options.report_only:
        return _report(options, search, ending, store, console)
    store.storage.check_writable()
    sweep.check_data([recipe for recipes in sample for recipe in recipes])
    with lease.held(store.storage, options.sweep, console.print):
        return _run(options, search, ending, store, console)


def _report(options: RunOptions, search: Search, ending: Ending, store: Store, console: Console) -> int:
    """Shows what there is of a search."""
    journal = Journal(store.storage, options.sweep, only_read=True)
    if not journal.path.exists():
        console.print(f"no search of sweep {options.sweep} in {store.root} yet")
        return 0
    proposer, _ = _proposer(options, search, store, journal)
    proposer.look()
    conclude(options, proposer, ending, store, console)
    return 0


def _run(options: RunOptions, search: Search, ending: Ending, store: Store, console: Console) -> int:
    """Runs a search that no other driver has."""
    store.tidy()
    journal = Journal(store.storage, options.sweep)
    proposer, keeper = _proposer(options, search, store, journal)
    schedule = proposer.schedule
    begun = time.monotonic()
    proposer.start()
    console.print(f"{options.sweep}: {search.trials} trials per study; storage {store.root}, study {journal.path}")
    panel = SearchPanel(lambda: progress(proposer))
    proposer.on_end = lambda study, number: panel.ended(study.study, number, study.phase.name)
    completed = sweep.train(options, schedule, store, keeper, panel, console, proposer, listeners=[proposer])
    console.print(f"{keeper.trained} stages trained in {duration(time.monotonic() - begun)}")
    journal.save()
    if not completed:
        console.print(f"interrupted with {len(proposer.open)} trials under way; to go on, run the same command again")
        return sweep.INTERRUPTED
    proposer.flush()
    journal.flush()
    # A mean over folds is made for what is compared only now: its folds are finished.
    beside = _beside(proposer, ending.compared)
    schedule.extend([recipe.stage for recipe in beside])
    keeper.add(with_folds(beside))
    store.write_sweep(options.sweep, [recipe.to_json() for recipe in with_folds(beside)])
    if not sweep.train(options, schedule, store, keeper, panel, console):
        return sweep.INTERRUPTED
    console.print(accounting.summary(proposer.recipes, schedule))
    if options.keep_models == "none":
        keeper.drop_weights()
    best = conclude(options, proposer, ending, store, console)
    return sweep.outcome(schedule, keeper, console) or (0 if best else 1)


def _proposer(options: RunOptions, search: Search, store: Store, journal: Journal) -> tuple[StudyProposer, Bookkeeper]:
    """What asks Optuna, and what keeps the books."""
    schedule = Schedule([], store)
    policy = "inputs" if options.keep_models == "none" else options.keep_models  # later trials want them again
    keeper = Bookkeeper(options.sweep, [], schedule, store, policy, spared={"finetune"})
    proposer = StudyProposer(
        search,
        journal.open(),
        schedule,
        keeper,
        record=lambda recipes: store.write_sweep(options.sweep, [recipe.to_json() for recipe in recipes]),
        save=journal.save,
    )
    return proposer, keeper


def _beside(proposer: StudyProposer, compared: Sequence[Make]) -> list[Recipe]:
    """What the best trial is shown beside; of folds also its own method, with the settings that each fold chose."""
    own = (proposer.search.phases[-1].make,) if proposer.chooses_per_fold else ()
    return proposer.best_of((*own, *compared))


def conclude(options: RunOptions, proposer: StudyProposer, ending: Ending, store: Store, console: Console) -> bool:
    """Prints what a search found, and writes its expressions and plots; returns whether there is a best trial."""
    studies = [study.study for study in proposer.studies.values()]
    if not studies:
        console.print(f"no study of {proposer.search.name} in sweep {options.sweep} yet")
        return False
    report.show(console, studies, ending.published)
    last = proposer.studies.get(proposer.search.phases[-1].name)
    best = last.best if last is not None else None
    if last is None or best is None:
        console.print("no trial came to its end, so there is no best one", style="bold red")
        return False
    chosen = last.chosen(best)
    own = proposer.recipes_of(last, chosen, best.number)
    console.print()
    beside = _beside(proposer, ending.compared)
    if proposer.chooses_per_fold:
        show_rows(options, own, store, console)
        console.print(_OPTIMISTIC, style="dim")
        console.print()
        show_rows(options, beside, store, console)
        console.print("settings chosen for each fold on its own dev", style="dim")
    else:
        show_rows(options, [*own, *beside], store, console)
        if beside:
            console.print("beside the best trial: the best by dev of what the search trained", style="dim")
    folder = _folder_of_reports(store)
    stem = f"{proposer.search.name}.{last.phase.name}"
    files = {ending: folder / f"{stem}{ending}" for ending in (".best.json", ".html", ".png")}
    report.write_expressions(files[".best.json"], [dataclasses.replace(one, study=None, trial=None) for one in own])
    from orchestrator.search import plots

    plots.write(studies, files[".html"], files[".png"])
    console.print(
        f"\nbest settings as a command:\n  {ending.command(chosen)}", soft_wrap=True, markup=False, highlight=False
    )
    console.print(f"as an expression: python -m orchestrator.run {files['.best.json']}", soft_wrap=True)
    console.print(f"plots: {files['.html']}, {files['.png']}", soft_wrap=True)
    return True


def _folder_of_reports(store: Store) -> Path:
    """Beside the journal, where somebody may write there; else the current folder."""
    folder = Path(store.storage.path(FOLDER))
    return folder if store.storage.local and os.access(folder, os.W_OK) else Path.cwd()


def progress(proposer: StudyProposer) -> SearchProgress:
    """Where a search stands, for the display."""
    search = proposer.search
    current = next((one.study for one in reversed(proposer.open)), None) or list(proposer.studies.values())[-1]
    running = [(one.trial.number, proposer.described(one)) for one in proposer.open]
    best = current.best
    return SearchProgress(
        target=current.target,
        ended=current.ended,
        complete=len(current.trials("COMPLETE")),
        pruned=len(current.trials("PRUNED")),
        failed=len(current.trials("FAIL")),
        running=running,
        best=None if best is None or best.value is None else (best.value, best.number, dict(best.params)),
        phase=current.phase.name if len(search.phases) > 1 else "",
    )


def _sample(search: Search) -> list[list[Recipe]]:
    """The recipes of some trial of each phase for one seed, by which data and models are checked."""
    chosen: dict[str, Any] = {}
    for phase in search.phases:
        chosen |= _some_point(phase.space)
    return [phase.recipes(chosen, search.seeds[0], study=search.name, trial=0) for phase in search.phases]


def _some_point(space: Space) -> dict[str, Any]:
    return {name: dimension.nearest(0) for name, dimension in space.dimensions.items()}
