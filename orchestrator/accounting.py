"""How much a sweep is, before it runs and after: stages by kind, what sharing saves, and what it costs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from orchestrator.engine.costs import CostModel
from orchestrator.engine.progress import duration
from orchestrator.engine.resources import Shares
from orchestrator.engine.schedule import Node, Schedule, State
from orchestrator.recipe import Recipe
from orchestrator.wording import counted
from trainables.expression import Stage

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def observed(schedule: Schedule) -> CostModel:
    """Costs of the stages of a schedule that are finished."""
    model = CostModel()
    for node in schedule.nodes.values():
        if node.result is not None:
            model.observe(node.stage, node.result)
    return model


def unshared(recipes: Sequence[Recipe]) -> Counter[str]:
    """Stages by kind if every recipe were run on its own."""
    return _counts(recipe.stage for recipe in recipes)


def _counts(roots: Iterable[Stage]) -> Counter[str]:
    return Counter(type(stage).__name__ for root in roots for stage in root.walk() if stage.stored)


def _scheduled(stage: Stage, schedule: Schedule) -> list[Stage]:
    """An expression, if it came to be run; of one that was given up before that, the folds that did."""
    if stage.key in schedule.nodes:
        return [stage]
    return [part for part in getattr(stage, "folds", ()) if part.key in schedule.nodes]


def expected(nodes: Sequence[Node], known: CostModel, slots: int) -> tuple[float, float, float, int]:
    """What some stages cost.

    Args:
        nodes: The stages that are to be run.
        known: Costs of like stages.
        slots: Stages at once.

    Returns:
        Seconds of work, GPU-seconds, wall seconds (work over slots, or the longest chain if that is more), and how
        many stages are unlike any finished one and so left out.
    """
    work = gpu = 0.0
    unknown = 0
    chain: dict[str, float] = {}
    for node in nodes:
        cost = known.known(node.stage)
        if cost is None:
            unknown += 1
            continue
        work += cost.seconds
        gpu += cost.gpu_seconds
        chain[node.key] = cost.seconds + max((chain.get(parent, 0.0) for parent in node.parents), default=0.0)
    return work, gpu, max(work / slots, max(chain.values(), default=0.0)), unknown


def show(console: Console, recipes: Sequence[Recipe], schedule: Schedule, known: CostModel, shares: Shares) -> None:
    """Prints the account of a sweep."""
    from rich.table import Table

    kinds = Counter(type(node.stage).__name__ for node in schedule.nodes.values())
    waiting = schedule.to_run()
    to_run = Counter(type(node.stage).__name__ for node in waiting)
    alone = unshared(recipes)
    table = Table(title=counted(len(recipes), "recipe"), title_justify="left")
    for name in ("stage", "nothing shared", "distinct", "saved by sharing", "finished", "to run"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for kind, count in kinds.items():
        finished = count - to_run[kind]
        table.add_row(kind, *(str(n) for n in (alone[kind], count, alone[kind] - count, finished, to_run[kind])))
    total = (
        alone.total(),
        kinds.total(),
        alone.total() - kinds.total(),
        kinds.total() - to_run.total(),
        to_run.total(),
    )
    table.add_section()
    table.add_row("all", *(str(n) for n in total))
    console.print(table)
    slots = shares.max_concurrent or max(1, (os.cpu_count() or 1) // shares.threads)
    work, gpu, wall, unknown = expected(waiting, known, slots)
    if gpu and not shares.max_concurrent:
        console.print(f"expected: {gpu / 3600:.2f} GPU-hours; --max-concurrent N says how long that takes N at once")
    elif waiting and unknown < len(waiting):
        hours = f"{gpu / 3600:.2f} GPU-hours, " if gpu else ""
        console.print(
            f"expected: {hours}{work / 3600:.2f} hours of work, {duration(wall)} of wall time with {slots} at once"
        )
    if unknown:
        console.print(f"cost not known for {counted(unknown, 'stage')}: no like stage is finished in this store yet")


#: What became of a stage, as the account at the end calls it; the first four were run, now or before.
_OUTCOMES = ("trained now", "found finished", "pruned", "failed", "blocked", "not needed", "to go")
_RUN = _OUTCOMES[:4]


def summary(recipes: Sequence[Recipe], schedule: Schedule) -> RenderableType:
    """The account of what was run: by kind of stage, and in a sentence.

    Args:
        recipes: All that was asked for, in the schedule from the beginning or added to it later.
        schedule: Their graph, when the run has ended.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    alone = _counts(stage for recipe in recipes for stage in _scheduled(recipe.stage, schedule))
    kinds: dict[str, Counter[str]] = {}
    for node in schedule.nodes.values():
        kinds.setdefault(type(node.stage).__name__, Counter())[_outcome(node)] += 1
    whole = sum(kinds.values(), Counter[str]())
    columns = [name for name in _OUTCOMES if name in _RUN or whole[name]]
    table = Table(title=counted(len(recipes), "recipe"), title_justify="left")
    for name in ("stage", "nothing shared", "distinct", *columns):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for kind, counts in kinds.items():
        table.add_row(kind, *(str(n) for n in (alone[kind], counts.total(), *(counts[name] for name in columns))))
    table.add_section()
    table.add_row("all", *(str(n) for n in (alone.total(), whole.total(), *(whole[name] for name in columns))))
    return Group(table, Text(_sentence(schedule, whole, alone.total())))


def _sentence(schedule: Schedule, whole: Counter[str], alone: int) -> str:
    def listed(names: Sequence[str]) -> str:
        return ", ".join(f"{whole[name]} {name}" for name in names if whole[name])

    distinct, run = whole.total(), sum(whole[name] for name in _RUN)
    equal = "=" if run == distinct else "of"
    text = f"{counted(run, 'stage')} run {equal} {counted(distinct, 'distinct sub-expression')}"
    text += f" ({listed(_RUN)})" if run else ""
    text += f"; not run: {listed(_OUTCOMES[4:])}" if run < distinct else ""
    again = sum(max(0, node.attempts - 1) for node in schedule.nodes.values())
    text += f"; {counted(again, 'more start')}, after an error or for weights that were wanted again" if again else ""
    return f"{text}; nothing shared would have been {alone}"


def _outcome(node: Node) -> str:
    if node.state is State.FINISHED:
        return "trained now" if node.attempts else "found finished"
    names = {
        State.PRUNED: "pruned",
        State.FAILED: "failed",
        State.BLOCKED: "blocked",
        State.UNNEEDED: "not needed",
    }
    return names.get(node.state, "to go")
