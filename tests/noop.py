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
