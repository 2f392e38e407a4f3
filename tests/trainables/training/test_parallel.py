"""Several processes that train together, as real processes over gloo."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainables.tiny import MemoryContext
from trainables.context import Alone, Progress
from trainables.training import batches, parallel
from trainables.training.batches import Batch
from trainables.training.loop import Training
from trainables.training.optimizer import Recipe
from trainables.training.parallel import Group

RECIPE = Recipe(epochs=2, learning_rate=0.02, warmup_ratio=0.1, clip_norm=0.5, micro_batch_size=3)


class Curve:
    """A small network with dropout, a weight that nothing uses, and one that rows of odd number use."""

    def __init__(self, start: float = 0.0) -> None:
        chance = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(35, 3, generator=chance)
        self.outputs = self.inputs.square().sum(dim=1, keepdim=True)
        torch.manual_seed(3)
        self.model = nn.ModuleDict(
            {
                "body": nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1)),
                "unused": nn.Linear(2, 2),
                "some": nn.Linear(1, 1),
            }
        )
        with torch.no_grad():
            self.model["body"][0].weight += start
        self.settings: dict[str, Any] = {}

    def batches(self, epoch: int) -> Sequence[Batch]:
        return batches.for_training(torch.full((35,), 3), 10, 8, 0, epoch)

    def loss(self, batch: Batch, epoch: int) -> Tensor:
        found = self.model["body"](self.inputs[batch.rows])
        if int(batch.rows[0]) % 2:
            found = found + 0.1 * self.model["some"](found)
        loss: Tensor = (found - self.outputs[batch.rows]).square().mean()
        return loss

    def evaluate(self, epoch: int) -> Generator[Progress, None, dict[str, float]]:
        self.model.eval()
        yield Progress(1, 1, "dev")
        with torch.no_grad():
            return {"dev/error": float((self.model["body"](self.inputs) - self.outputs).square().mean())}


# --- what the processes do; each returns something to compare -------------------------------------------------


def train(world: Any, folder: Path, saved: bytes | None = None, stop: int | None = None) -> dict[str, Any]:
    context = MemoryContext(folder, folder, lambda asked: world.rank == 0, saved, world=world)
    # Only rank 0's first weights count.
    objective = Curve(start=float(world.rank))
    training = Training(objective, RECIPE, context)
    run = training.run()
    for _ in range(10**9 if stop is None else stop):
        if next(run, None) is None:
            break
    weights = {name: tensor.tolist() for name, tensor in objective.model.state_dict().items()}
    return {"weights": weights, "history": training.history, "tokens": training.tokens, "saved": context.saved}


def exchange(world: Any, folder: Path) -> dict[str, Any]:
    """Sums across the bounds of exchanges, types and shapes; what is shared comes from rank 0."""
    parallel.BUCKET = 8
    tensors = [
        *(torch.full((2, 3), float(world.rank)), torch.tensor(1.0), torch.full((30,), 0.5)),
        *(torch.tensor([world.rank], dtype=torch.int64), torch.zeros(0), torch.tensor(2.0, dtype=torch.float64)),
    ]
    world.sum(tensors)
    state = {"a": [torch.arange(3), {"b": (1, "x", None)}]} if world.rank == 0 else "mine"
    shared = world.share(state)
    return {"sums": [tensor.tolist() for tensor in tensors], "shared": [shared["a"][0].tolist(), shared["a"][1]]}


def lose_one(world: Any, folder: Path) -> dict[str, Any]:
    """The last one is killed while the others wait for it."""
    if world.rank == world.size - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    begun = time.monotonic()
    try:
        world.sum([torch.zeros(3)])
    except RuntimeError as error:
        return {"error": str(error), "seconds": time.monotonic() - begun}
    return {}


def _member(pipe: Connection) -> None:
    torch.set_num_threads(1)
    while (task := pipe.recv()) is not None:
        meeting, rank, work, arguments = task
        world = Group(meeting, rank)
        found = work(world, *arguments)
        world.close()
        pipe.send(found)


class Together:
    """This process as rank 0, and others that are kept for the next piece of work; each piece has a new group."""

    def __init__(self) -> None:
        self._others: list[tuple[BaseProcess, Connection]] = []

    def __call__(self, size: int, work: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What each process found; None of one that died."""
        spawn = multiprocessing.get_context("spawn")
        while len(self._others) < size - 1:
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_member, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._others.append((process, ours))
        meeting, hosted = parallel.host("127.0.0.1", size)
        pipes = [pipe for _, pipe in self._others[: size - 1]]
        for rank, pipe in enumerate(pipes, start=1):
            pipe.send((meeting, rank, work, arguments))
        world = Group(meeting, 0, hosted)
        found = work(world, *arguments)
        world.close()
        return [found, *(self._received(pipe) for pipe in pipes)]

    @staticmethod
    def _received(pipe: Connection) -> Any:
        try:
            return pipe.recv() if pipe.poll(60) else None
        except EOFError:
            return None

    def end(self) -> None:
        for process, pipe in self._others:
            with contextlib.suppress(OSError):
                pipe.send(None)
            process.join(timeout=60)


# --- tests ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def together() -> Iterator[Together]:
    made = Together()
    yield made
    made.end()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    torch.set_num_threads(1)
    return train(Alone(), tmp_path_factory.mktemp("alone"))


def _close(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, weight in wanted["weights"].items():
        assert torch.allclose(torch.tensor(found["weights"][name]), torch.tensor(weight), atol=1e-5), name
    assert len(found["history"]) == len(wanted["history"]) == 2
    for entry, other in zip(found["history"], wanted["history"], strict=True):
        assert entry == pytest.approx(other, rel=1e-5)
    assert found["tokens"] == wanted["tokens"]


def test_two_train_as_one_does_and_alike_whenever_they_do(
    together: Together, alone: dict[str, Any], tmp_path: Path
) -> None:
    """Ten rows are micro-batches of 3, 3, 3 and 1, and in the last step of an epoch five are 3 and 2."""
    first, other = together(2, train, tmp_path)
    _close(first, alone)
    assert alone["history"][0]["dev/error"] > alone["history"][1]["dev/error"]
    assert other["weights"] == first["weights"], "every process has the same weights, to the bit"
    assert other["history"] == first["history"]
    assert other["saved"] is None
    again, _ = together(2, train, tmp_path)
    assert (again["weights"], again["history"]) == (first["weights"], first["history"])


def test_three_of_which_one_has_nothing_to_do_at_times(
    together: Together, alone: dict[str, Any], tmp_path: Path
) -> None:
    """The last step of an epoch has two micro-batches."""
    first, *others = together(3, train, tmp_path)
    _close(first, alone)
    assert [other["weights"] for other in others] == [first["weights"]] * 2


def test_what_no_process_uses_is_left_as_it_was(together: Together, alone: dict[str, Any], tmp_path: Path) -> None:
    """Weight decay would change it, were it given a gradient of zeros."""
    before = Curve().model["unused"].weight.tolist()
    assert alone["weights"]["unused.weight"] == before
    first, _ = together(2, train, tmp_path)
    assert first["weights"]["unused.weight"] == before
    assert first["weights"]["some.weight"] != Curve().model["some"].weight.tolist()


@pytest.mark.parametrize("stop", [3, 6])
def test_it_goes_on_with_another_number_of_processes(
    together: Together, alone: dict[str, Any], stop: int, tmp_path: Path
) -> None:
    """Stopped in the first epoch (four steps, the evaluation, its end) or at its end; one process goes on, then two."""
    two, _ = together(2, train, tmp_path, None, stop)
    assert two["saved"] is not None
    one = train(Alone(), tmp_path, two["saved"], 2)
    rest, other = together(2, train, tmp_path, one["saved"])
    _close(rest, alone)
    assert other["weights"] == rest["weights"]
    assert other["history"] == rest["history"], "the others know the epochs before, too"


def test_sums_and_what_is_shared(together: Together, tmp_path: Path) -> None:
    first, other = together(2, exchange, tmp_path)
    assert first == other
    assert first["sums"] == [[[1.0] * 3] * 2, 2.0, [1.0] * 30, [1], [], 4.0]
    assert first["shared"] == [[0, 1, 2], {"b": (1, "x", None)}]


def test_a_dead_process_is_noticed_at_once(tmp_path: Path) -> None:
    together = Together()
    *left, killed = together(3, lose_one, tmp_path)
    together.end()
    assert killed is None
    for found in left:
        assert "onnection" in found["error"]
        assert found["seconds"] < 30


def test_one_process_is_its_own_world() -> None:
    weight = nn.Parameter(torch.ones(2))
    parallel.sum_gradients(Alone(), [weight], torch.ones(1))
    assert weight.grad is None
    state = {"a": torch.ones(1)}
    assert Alone().share(state) is state
