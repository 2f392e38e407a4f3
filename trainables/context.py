"""What a running stage is handed, and what it gives back. No torch, no ray: tests make their own."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from trainables.expression import Stage

PREDICTIONS = "predictions.parquet"
MODEL = "model"
OUTPUTS = "outputs.parquet"  # of a teacher: id, split, cls, logits
TOKENIZER = "tokenizer"  # folder of a stage that has a tokenizer and no weights
PIECES = "pieces.arrow"  # of a corpus: its rows of word pieces


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a stage stands; yielded after every step of work.

    Attributes:
        step: Steps done.
        total: Steps in all.
        phase: What is being done: ``train``, ``dev``, ``test``, ...
        metrics: New metrics, if the step ended an epoch or interval (``{"loss": 0.4, "dev/f1": 0.7}``). Those of a
            prunable stage have ``resource`` where their dev score can be compared with other runs' of the same
            resource (epochs of refinement, say).
    """

    step: int
    total: int
    phase: str = "train"
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Result:
    """What a finished stage found; becomes ``result.json``.

    Attributes:
        metrics: Final metrics as fractions, named ``split/metric`` (``test/f1``).
        history: One entry per epoch: epoch, step, loss, metrics.
        facts: Other figures of the run: parameters, steps, tokens, precision, device.
        measured: What depends on the machine and the moment, as speeds do; kept with the cost.
    """

    metrics: dict[str, float]
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    measured: dict[str, float] = dataclasses.field(default_factory=dict)


#: A stage's implementation is ``def run(stage, context) -> Run``: yields Progress, returns a Result.
Run: TypeAlias = Generator[Progress, None, Result]


class World(Protocol):
    """The processes that train one stage together, as one of them sees it.

    Every process makes the same calls in the same order; each call waits for the others.

    Attributes:
        rank: Number of this process, from 0. Rank 0 keeps checkpoints and writes the result.
        size: Number of processes.
    """

    rank: int
    size: int

    def sum(self, tensors: Sequence[Any]) -> None:
        """Replaces tensors by their sums over all processes; they have the same shapes everywhere."""
        ...

    def share(self, state: Any) -> Any:
        """What rank 0 gave; the others' values are not looked at.

        Args:
            state: Tensors, numbers, strings, lists and dictionaries of them. Tensors arrive on the CPU.
        """
        ...


class Alone:
    """A :class:`World` of one process."""

    rank = 0
    size = 1

    def sum(self, tensors: Sequence[Any]) -> None:
        """Leaves them as they are."""

    def share(self, state: Any) -> Any:
        """The state itself."""
        return state


class Context(Protocol):
    """A running stage's surroundings.

    Attributes:
        folder: Where to put ``model/`` and ``predictions.parquet``; becomes the finished stage's folder.
        device: A torch device name; ``cpu`` or ``cuda``.
        keep_model: Whether ``model/`` is wanted; a stage may leave it unwritten otherwise.
        world: The processes that train it together. Only a stage that is ``data_parallel`` is given more than one;
            all of them run it from begin to end, each in a folder of its own, and only that of rank 0 is kept.
    """

    folder: Path
    device: str
    keep_model: bool
    world: World

    def model_folder(self, stage: Stage) -> Path:
        """The local folder of an input's weights and tokenizer, in ``save_pretrained`` layout."""
        ...

    def tokenizer_folder(self, stage: Stage) -> Path:
        """The local folder of an input's tokenizer: where its weights are, or of a stage without any ``tokenizer/``."""
        ...

    def input_file(self, stage: Stage, name: str) -> Path:
        """A local copy of another file of an input, such as a teacher's outputs."""
        ...

    def input_result(self, stage: Stage) -> dict[str, Any]:
        """An input's ``result.json``."""
        ...

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The state that was saved last, or None where the stage starts afresh."""
        ...

    def checkpoint_due(self) -> bool:
        """Whether a checkpoint is wanted now: the interval is over, or the stage is about to be stopped."""
        ...

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Saves a state of tensors, numbers, strings, lists and dictionaries of them; replaces the last one.

        The tensors are those that training goes on to change: they are written or copied before this returns.
        """
        ...
