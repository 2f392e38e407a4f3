"""Stages without training, for tests and benchmarks of the engine."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path
from typing import ClassVar

from trainables.context import Context, Progress, Result, Run
from trainables.errors import StageError
from trainables.expression import Stage


@dataclasses.dataclass(frozen=True)
class Sleep(Stage):
    """Waits, then succeeds; or misbehaves as ``how`` says."""

    name: str
    inputs_: tuple[Stage, ...] = ()
    seconds: float = 0.0
    how: str = "well"
    marker: str = ""
    step: float = 0.05

    implementation: ClassVar[str] = "tests.noop:run"

    def label(self) -> str:
        return f"sleep {self.name}"


@dataclasses.dataclass(frozen=True)
class Notes(Stage):
    """Reads its input's weights and has none itself, as a teacher's outputs; ``notes.txt`` is what others read."""

    name: str
    input_: Stage

    implementation: ClassVar[str] = "tests.noop:take_notes"
    makes_model: ClassVar[bool] = False


@dataclasses.dataclass(frozen=True)
class Reader(Stage):
    """Reads notes."""

    name: str
    notes: Notes

    implementation: ClassVar[str] = "tests.noop:read_notes"


@dataclasses.dataclass(frozen=True)
class Climb(Stage):
    """Reports a dev score per epoch, so that a search may stop it early.

    Attributes:
        name: Of the stage.
        scores: One per epoch; the last is the result's.
        seconds: Of an epoch.
        marker: Folder of a file that gets a line with the process's number per start.
        input_: What it starts from, if anything.
    """

    name: str
    scores: tuple[float, ...]
    seconds: float = 0.0
    marker: str = ""
    input_: Stage | None = None

    implementation: ClassVar[str] = "tests.noop:climb"
    prunable: ClassVar[bool] = True

    @property
    def epochs(self) -> int:
        return len(self.scores)


def take_notes(stage: Notes, context: Context) -> Run:
    weights = context.model_folder(stage.input_) / "config.json"
    (context.folder / "notes.txt").write_text(weights.read_text())
    yield Progress(1, 1)
    return Result({"test/score": 0.5})


def read_notes(stage: Reader, context: Context) -> Run:
    yield Progress(1, 1)
    return Result({"test/score": 0.5}, facts={"read": context.input_file(stage.notes, "notes.txt").read_text()})


def climb(stage: Climb, context: Context) -> Run:
    if stage.marker:
        with (Path(stage.marker) / f"{stage.name}.starts").open("a") as file:
            file.write(f"{os.getpid()}\n")
    saved = context.load_checkpoint() or {"done": 0, "history": []}
    history = list(saved["history"])
    for epoch in range(saved["done"], stage.epochs):
        for _ in range(max(1, round(stage.seconds / 0.05))):
            time.sleep(stage.seconds and 0.05)
            if context.checkpoint_due():
                context.save_checkpoint({"done": epoch, "history": history})
            yield Progress(epoch, stage.epochs)
        history.append({"step": epoch + 1.0, "resource": epoch + 1.0, "dev/score": stage.scores[epoch]})
        if context.checkpoint_due():
            context.save_checkpoint({"done": epoch + 1, "history": history})
        yield Progress(epoch + 1, stage.epochs, metrics=history[-1])
    return Result({"test/score": stage.scores[-1], "dev/score": stage.scores[-1]}, facts={"resumed_at": saved["done"]})


def run(stage: Sleep, context: Context) -> Run:
    started = Path(stage.marker) / f"{stage.name}.starts" if stage.marker else None
    if started is not None:
        with started.open("a") as file:
            file.write(f"{time.time()}\n")
    for parent in stage.inputs_:
        context.model_folder(parent)
    tries = len(started.read_text().splitlines()) if started is not None else 0
    if stage.how == "fails":
        raise StageError(f"{stage.name} fails by order")
    if stage.how == "dies once" and tries == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if stage.how == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if stage.how == "broken pipe once" and tries == 1:
        raise ConnectionResetError("storage went away")
    saved = context.load_checkpoint() or {"done": 0}
    steps = max(1, int(stage.seconds / stage.step))
    for step in range(saved["done"], steps):
        if stage.seconds:
            time.sleep(stage.step)
        if context.checkpoint_due():
            context.save_checkpoint({"done": step + 1})
        yield Progress(step + 1, steps)
    if context.keep_model:
        folder = context.folder / "model"
        folder.mkdir()
        (folder / "config.json").write_text(stage.name)
    return Result({"test/score": 0.5}, facts={"resumed_at": saved["done"]})
