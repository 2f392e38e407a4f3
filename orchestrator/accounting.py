"""How much a sweep is: stages by kind, what sharing saves, and what it costs where like stages are known."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.engine.costs import CostModel
from orchestrator.engine.progress import duration
from orchestrator.engine.resources import Shares
from orchestrator.engine.schedule import Node, Schedule
from orchestrator.recipe import Recipe

if TYPE_CHECKING:
    from rich.console import Console


def observed(schedule: Schedule) -> CostModel:
    """Costs of the stages of a schedule that are finished."""
    model = CostModel()
    for node in schedule.nodes.values():
        if node.result is not None:
            model.observe(node.stage, node.result)
    return model


def unshared(recipes: Sequence[Recipe]) -> Counter[str]:
    """Stages by kind if every recipe were run on its own."""
    return Counter(type(stage).__name__ for recipe in recipes for stage in recipe.stage.walk() if stage.stored)


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
    table = Table(title=f"{len(recipes)} recipes", title_justify="left")
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
        console.print(f"cost not known for {unknown} stages: no like stage is finished in this store yet")
