"""A stage without training that several processes run together, for tests of the engine."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path
from typing import ClassVar

from trainables import team
from trainables.context import Context, Progress, Result, Run
from trainables.errors import OutOfDeviceMemory, StageError
from trainables.expression import Stage

MISFORTUNE = 5  # the step in which what ``how`` says happens


@dataclasses.dataclass(frozen=True)
class Together(Stage):
    """Counts steps with the others; reports a dev score per epoch.

    Attributes:
        name: Of the stage.
        epochs: Of ten steps.
        seconds: Of a step.
        how: What the process of rank 1 does on the way: ``well``, or at its first start only: ``dies``, ``fails``,
            ``memory``, ``raises``; with ``hangs`` it dies, and rank 0 waits for it as for a dead GPU.
        marker: Folder of files that get a line with the process's number per start, one file per rank.
    """

    name: str
    epochs: int = 2
    seconds: float = 0.0
    how: str = "well"
    marker: str = ""

    implementation: ClassVar[str] = "tests.together:run"
    makes_model: ClassVar[bool] = False
    prunable: ClassVar[bool] = True

    @property
    def data_parallel(self) -> bool:
        return True

    def processes(self, rank: int) -> list[int]:
        """Numbers of the processes that were this rank, in order."""
        path = Path(self.marker) / f"{self.name}.{rank}"
        return [int(line) for line in path.read_text().split()] if path.exists() else []


def run(stage: Together, context: Context) -> Run:
    import torch

    world = context.world
    with (Path(stage.marker) / f"{stage.name}.{world.rank}").open("a") as file:
        file.write(f"{os.getpid()}\n")
    saved = context.load_checkpoint() if world.rank == 0 else None
    if stage.how == "hangs":
        team.NOTICE = 1.0
    state = world.share(saved or {"done": 0, "sum": 0.0, "history": []})
    total = stage.epochs * 10
    resumed_at, largest = state["done"], world.size * (world.size - 1) / 2
    while state["done"] < total:
        time.sleep(stage.seconds)
        state["done"] += 1
        if world.rank == 1 and state["done"] == MISFORTUNE and len(stage.processes(1)) == 1:
            _misbehave(stage.how)
        if stage.how == "hangs" and world.rank == 0 and state["done"] == MISFORTUNE and len(stage.processes(0)) == 1:
            time.sleep(300)
        ranks = torch.tensor(float(world.rank))
        world.sum([ranks])
        assert float(ranks) == largest
        metrics = {}
        if state["done"] % 10 == 0:
            epoch = state["done"] / 10
            metrics = {"step": float(state["done"]), "resource": epoch, "dev/score": 0.1 * epoch}
            state["history"].append(metrics)
        if context.checkpoint_due():
            context.save_checkpoint(state)
        yield Progress(state["done"], total, metrics=metrics)
    facts = {"resumed_at": resumed_at, "size": world.size, "folder": str(context.folder)}
    return Result({"dev/score": 0.1 * stage.epochs}, state["history"], facts)


def _misbehave(how: str) -> None:
    if how in ("dies", "hangs"):
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "fails":
        raise StageError("rank 1 fails by order")
    if how == "memory":
        raise OutOfDeviceMemory("rank 1 has too little memory by order")
    if how == "raises":
        raise RuntimeError("rank 1 is in trouble by order")
