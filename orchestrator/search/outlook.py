"""What a search would be: how many trials of which spaces, what a trial consists of, and what is finished already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.bookkeeping import Bookkeeper
from orchestrator.engine.schedule import Schedule
from orchestrator.engine.store import Store
from orchestrator.options import RunOptions
from orchestrator.recipe import Recipe
from orchestrator.search import report
from orchestrator.search.phase import Search
from orchestrator.search.proposer import StudyProposer
from orchestrator.search.storage import Journal
from orchestrator.wording import counted

if TYPE_CHECKING:
    from rich.console import Console


def show(console: Console, options: RunOptions, search: Search, example: Sequence[Recipe], store: Store) -> None:
    """Says what a search would run at most, and what of it the storage holds.

    Which trials there will be is the sampler's business.

    Args:
        console: Where to.
        options: How it would be run.
        search: What would be searched.
        example: The recipes of a trial of the last phase, for one seed.
        store: Where it would go.

    Raises:
        UserError: Where a study of the same name was begun with something else, as the search itself would.
    """
    total = 0
    for phase in search.phases:
        size = phase.space.size
        trials = search.trials if size is None else min(search.trials, size)
        total += trials
        of = "any number of combinations" if size is None else counted(size, "combination")
        console.print(f"{phase.name}: {counted(trials, 'trial')} of {of}: {phase.space.describe()}", soft_wrap=True)
    kinds = {stage.key: type(stage).__name__ for recipe in example for stage in recipe.stage.walk() if stage.stored}
    stages = Counter(kinds.values())
    listed = ", ".join(f"{count} {name}" for name, count in stages.items())
    console.print(f"a trial of {search.phases[-1].name} is, per seed: {listed}; what trials share is trained once")
    how = f"sampler {search.sampler}, pruner {search.pruner}"
    console.print(f"{counted(total, 'trial')}, {counted(len(search.seeds), 'seed')}, {how}")
    for sentence in begun(options, search, store):
        console.print(f"begun already: {sentence}", soft_wrap=True)


def begun(options: RunOptions, search: Search, store: Store) -> list[str]:
    """A sentence on each study of a search that the storage holds; nothing is written there.

    Not the studies themselves: the copy of the journal in which they lie is gone afterwards.
    """
    journal = Journal(store.storage, options.sweep, only_read=True)
    if not journal.path.exists():
        return []
    schedule = Schedule([], store)
    keeper = Bookkeeper(options.sweep, [], schedule, store, options.keep_models)
    proposer = StudyProposer(search, journal.open(), schedule, keeper, record=lambda _: None, save=lambda **_: None)
    proposer.look()
    return [f"{study.name}, {report.sentence(study.study)}" for study in proposer.studies.values()]
