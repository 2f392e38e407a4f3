from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainables.tiny import MemoryContext
from trainables.context import Alone, Progress
from trainables.errors import OutOfDeviceMemory, StageError
from trainables.training import batches, devices, seeds
from trainables.training.batches import Batch
from trainables.training.loop import Training
from trainables.training.optimizer import Recipe


class Line:
    """Fits a line through noisy points, with dropout."""

    def __init__(self, poison: int | None = None, dropout: float = 0.2) -> None:
        chance = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(20, 3, generator=chance)
        self.outputs = self.inputs @ torch.tensor([[1.0], [-2.0], [0.5]])
        self.model = nn.Sequential(nn.Linear(3, 1), nn.Dropout(dropout))
        with torch.no_grad():
            self.model[0].weight.fill_(0.1)
            self.model[0].bias.zero_()
        self.settings: dict[str, Any] = {"task": "line", "batch_size": 4}
        self.poison = poison
        self.norms: list[float] = []
        self.losses = 0

    def batches(self, epoch: int) -> Sequence[Batch]:
        return batches.for_training(torch.full((20,), 3), 4, 8, 0, epoch)

    def loss(self, batch: Batch, epoch: int) -> Tensor:
        self.losses += 1
        loss: Tensor = (self.model(self.inputs[batch.rows]) - self.outputs[batch.rows]).square().mean()
        return loss * torch.inf if self.losses == self.poison else loss

    def evaluate(self, epoch: int) -> Generator[Progress, None, dict[str, float]]:
        self.model.eval()
        yield Progress(1, 1, "dev")
        with torch.no_grad():
            return {"dev/error": float((self.model(self.inputs) - self.outputs).square().mean())}


RECIPE = Recipe(epochs=3, learning_rate=0.05, warmup_ratio=0.1)


def test_it_learns_and_tells_its_history(tmp_path: Path) -> None:
    training = Training(Line(), RECIPE, MemoryContext(tmp_path, tmp_path))
    seen = list(training.run())
    assert [(progress.step, progress.total, progress.phase) for progress in seen[:7]] == [
        *((step, 15, "train") for step in range(1, 6)),
        (1, 1, "dev"),
        (5, 15, "train"),
    ]
    assert [entry["step"] for entry in training.history] == [5, 10, 15]
    assert [progress.metrics for progress in seen if progress.metrics] == training.history
    assert training.history[-1]["dev/error"] < training.history[0]["dev/error"]
    assert training.history[-1]["learning_rate"] == RECIPE.rate(14, 15)
    assert (training.tokens, training.padded) == (3 * 20 * 3, 3 * 20 * 4)


def test_the_first_update_is_adamws_at_the_rate_of_the_first_step(tmp_path: Path) -> None:
    objective = Line()
    before = objective.model[0].weight.detach().clone()
    training = Training(objective, Recipe(1, 0.05, weight_decay=0.0), MemoryContext(tmp_path, tmp_path))
    next(training.run())
    # Adam's first update is the rate times the sign of the gradient.
    assert torch.allclose((objective.model[0].weight - before).abs(), torch.tensor(0.05), atol=1e-5)


def test_gradients_are_clipped_over_all_weights(tmp_path: Path) -> None:
    def moved(clip: float) -> Tensor:
        objective = Line()
        before = objective.model[0].weight.detach().clone()
        # A large epsilon makes Adam's step proportional to the gradient, so that its size shows.
        recipe = Recipe(1, 1.0, weight_decay=0.0, clip_norm=clip, epsilon=1e4)
        next(Training(objective, recipe, MemoryContext(tmp_path, tmp_path)).run())
        return objective.model[0].weight.detach() - before

    free, clipped = moved(1e9), moved(0.01)
    assert float(clipped.norm()) <= 0.01 / 1e4 * 1.01
    assert float(free.norm()) > 10 * float(clipped.norm())


def test_dropout_is_on_after_every_evaluation(tmp_path: Path) -> None:
    objective = Line()
    modes = [
        objective.model.training
        for progress in Training(objective, RECIPE, MemoryContext(tmp_path, tmp_path)).run()
        if progress.phase == "train" and not progress.metrics
    ]
    assert modes == [True] * 15


@pytest.mark.parametrize("micro", [None, 3], ids=["whole batches", "micro-batches"])
@pytest.mark.parametrize("due", [lambda asked: True, lambda asked: asked % 4 == 3], ids=["always", "at times"])
def test_stopped_anywhere_it_ends_with_the_same_bits(due: Any, micro: int | None, tmp_path: Path) -> None:
    recipe, calls = dataclasses.replace(RECIPE, micro_batch_size=micro), 1 if micro is None else 2
    whole = Line()
    straight = Training(whole, recipe, MemoryContext(tmp_path, tmp_path))
    yields = len(list(straight.run()))
    for stop in range(1, yields + 1):
        context = MemoryContext(tmp_path, tmp_path, due)
        first = Training(Line(), recipe, context).run()
        for _ in range(stop):
            next(first)
        first.close()
        torch.manual_seed(stop)
        objective = Line()
        resumed = Training(objective, recipe, MemoryContext(tmp_path, tmp_path, saved=context.saved))
        rest = list(resumed.run())
        assert torch.equal(objective.model[0].weight, whole.model[0].weight), stop
        assert resumed.history == straight.history
        assert (resumed.tokens, resumed.padded) == (straight.tokens, straight.padded)
        if due(0):
            done = sum(1 for progress in _first(stop, tmp_path) if progress.phase == "train" and not progress.metrics)
            assert objective.losses == calls * (15 - done)
        assert len(rest) <= yields


def _first(count: int, folder: Path) -> list[Progress]:
    run = Training(Line(), RECIPE, MemoryContext(folder, folder)).run()
    return [next(run) for _ in range(count)]


@pytest.mark.parametrize("poison", [1, 8])
def test_a_loss_that_is_not_finite_ends_the_stage(poison: int, tmp_path: Path) -> None:
    context = MemoryContext(tmp_path, tmp_path, lambda asked: True)
    with pytest.raises(StageError) as caught:
        list(Training(Line(poison), RECIPE, context).run())
    for part in (
        f"step {poison} of 15",
        "task=line",
        "batch_size=4",
        "learning_rate=0.05",
        "precision=float32",
        "lower",
    ):
        assert part in str(caught.value)
    if context.saved is not None:
        state = MemoryContext(tmp_path, tmp_path, saved=context.saved).load_checkpoint()
        assert state is not None
        assert torch.isfinite(state["model"]["0.weight"]).all()


def test_a_gradient_that_is_not_finite_ends_the_stage_too(tmp_path: Path) -> None:
    objective = Line()
    objective.model[0].weight.register_hook(lambda gradient: gradient * torch.nan)
    with pytest.raises(StageError, match="step 1 of 15"):
        list(Training(objective, RECIPE, MemoryContext(tmp_path, tmp_path)).run())


def test_running_out_of_device_memory_is_told_apart() -> None:
    with pytest.raises(OutOfDeviceMemory, match="32 x 256"), devices.memory_errors("training on 32 x 256"):
        raise torch.OutOfMemoryError("CUDA out of memory")


# --- micro-batches -------------------------------------------------------------------------------------------


def test_micro_batches_give_the_gradient_and_the_loss_of_the_whole_batch(tmp_path: Path) -> None:
    """Also where the last one is smaller: 4 rows are 3 and 1."""

    def trained(micro: int | None) -> tuple[Line, Training]:
        objective = Line(dropout=0.0)
        training = Training(
            objective, dataclasses.replace(RECIPE, micro_batch_size=micro), MemoryContext(tmp_path, tmp_path)
        )
        list(training.run())
        return objective, training

    whole, one = trained(None)
    for micro in (1, 3, 4, 99):
        parts, other = trained(micro)
        assert torch.allclose(parts.model[0].weight, whole.model[0].weight, atol=1e-6), micro
        for left, right in zip(other.history, one.history, strict=True):
            assert left == pytest.approx(right, rel=1e-5)
        assert (other.tokens, other.padded, other.steps) == (one.tokens, one.padded, one.steps)
        assert parts.losses == 15 * -(-4 // micro)


def test_the_gradient_is_clipped_once_and_as_a_whole(tmp_path: Path) -> None:
    def moved(micro: int | None) -> Tensor:
        objective = Line(dropout=0.0)
        before = objective.model[0].weight.detach().clone()
        recipe = Recipe(1, 1.0, weight_decay=0.0, clip_norm=0.01, epsilon=1e4, micro_batch_size=micro)
        next(Training(objective, recipe, MemoryContext(tmp_path, tmp_path)).run())
        return objective.model[0].weight.detach() - before

    assert torch.allclose(moved(1), moved(None), rtol=1e-4)
    assert float(moved(1).norm()) > 0


def test_dropout_depends_on_seed_step_and_micro_batch_alone(tmp_path: Path) -> None:
    class Noting(Line):
        def __init__(self) -> None:
            super().__init__()
            self.drawn: list[float] = []

        def loss(self, batch: Batch, epoch: int) -> Tensor:
            self.drawn.append(float(torch.rand(())))
            torch.rand(len(self.drawn))  # what one micro-batch draws must not matter to the next
            return super().loss(batch, epoch)

    objective = Noting()
    recipe = dataclasses.replace(RECIPE, micro_batch_size=2, seed=5)
    list(Training(objective, recipe, MemoryContext(tmp_path, tmp_path)).run())
    wanted = [
        float(torch.rand((), generator=seeds.generator(5, "dropout", step, number)))
        for step in range(15)
        for number in range(2)
    ]
    assert objective.drawn == wanted
    assert len(set(wanted)) == 30


@pytest.mark.parametrize("poison", [2, 16])
def test_one_micro_batch_that_is_not_finite_ends_the_stage(poison: int, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, micro_batch_size=2)
    with pytest.raises(StageError, match=f"step {-(-poison // 2)} of 15"):
        list(Training(Line(poison), recipe, MemoryContext(tmp_path, tmp_path)).run())


def test_several_processes_without_micro_batches_are_refused(tmp_path: Path) -> None:
    class Two(Alone):
        size = 2

    with pytest.raises(StageError, match=r"2 processes need micro-batches.* micro_batch_size"):
        Training(Line(), RECIPE, MemoryContext(tmp_path, tmp_path, world=Two()))
