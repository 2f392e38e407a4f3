"""The one training loop: a generator of progress that can be stopped anywhere and continues exactly.

A method says what it trains on (:class:`Objective`); the loop does the rest. What a stage becomes depends on its
objective, recipe and seed alone: a run that was stopped at any yield and continued from its last checkpoint ends, on
the CPU, with the same bits as one that was not.

A recipe with micro-batches spreads them over the processes of the context's world. Each has random numbers of its own
and the gradients are summed before the update, so the number of processes changes the order of sums and nothing else.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from trainables.context import Context, Progress
from trainables.errors import StageError
from trainables.training import devices, optimizer, parallel, seeds
from trainables.training.batches import Batch
from trainables.training.optimizer import Recipe

T = TypeVar("T")

#: Steps between looks at the loss on a GPU, where every look waits for it.
_LOOK_EVERY = 25


class Objective(Protocol):
    """What a method trains and for what.

    Attributes:
        model: Everything that is trained or has state, on the device already.
        settings: Named in errors (task, learning rate, batch size).
    """

    model: nn.Module
    settings: dict[str, Any]

    def batches(self, epoch: int) -> Sequence[Batch]:
        """The epoch's batches (counted from 0); as many in each epoch, and the same whenever asked."""
        ...

    def loss(self, batch: Batch, epoch: int) -> Tensor:
        """The scalar to minimise; run under the device's autocast.

        Where the recipe has micro-batches it is called with each of those that fall to this process: what it draws
        must depend on the batch's rows and the epoch alone.
        """
        ...

    def evaluate(self, epoch: int) -> Generator[Progress, None, dict[str, float]]:
        """Evaluates at the end of an epoch (counted from 0); must change no state and draw no random numbers."""
        ...


class Training:
    """A training under way.

    Args:
        objective: What to train.
        recipe: How.
        context: Of the stage; its last checkpoint is restored here.

    Attributes:
        history: One entry per finished epoch: epoch, step, mean loss, learning rate of its last step, metrics.
        tokens: Pieces trained on so far, without padding.
        padded: The same with padding.
    """

    def __init__(self, objective: Objective, recipe: Recipe, context: Context) -> None:
        self.history: list[dict[str, float]] = []
        self.tokens = 0
        self.padded = 0
        self._objective = objective
        self._recipe = recipe
        self._context = context
        self._world = context.world
        self._device = torch.device(context.device)
        self._optimizer = optimizer.adamw(objective.model, recipe)
        self._epoch = 0
        self._step = 0  # within the epoch
        self._epoch_steps = len(objective.batches(0))
        self._losses = torch.zeros(self._epoch_steps, device=self._device)
        self._look_every = 1 if self._device.type == "cpu" else _LOOK_EVERY
        torch.manual_seed(seeds.derive(recipe.seed, "dropout"))
        self._begin()

    @property
    def steps(self) -> int:
        """Steps done."""
        return self._epoch * self._epoch_steps + self._step

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self._recipe.epochs * self._epoch_steps

    def run(self) -> Generator[Progress, None, None]:
        """Trains the epochs that are left; yields after every step and every batch of evaluation.

        Raises:
            StageError: Where the loss or the gradient is not finite.
            OutOfDeviceMemory: Where the device's memory does not suffice.
        """
        while self._epoch < self._recipe.epochs:
            self._objective.model.train()
            plan = self._objective.batches(self._epoch)
            while self._step < len(plan):
                self._train(plan[self._step])
                self._save_if_due()
                yield Progress(self.steps, self.total_steps)
            self._look()
            entry = {
                "epoch": float(self._epoch + 1),
                "step": float(self.steps),
                "loss": float(self._losses.double().mean()),
                "learning_rate": self._recipe.rate(self.steps - 1, self.total_steps),
            }
            entry |= yield from self.guarded(self._objective.evaluate(self._epoch))
            self.history.append(entry)
            self._epoch, self._step = self._epoch + 1, 0
            self._save_if_due()
            yield Progress(self.steps, self.total_steps, metrics=entry)

    def guarded(self, work: Generator[Progress, None, T]) -> Generator[Progress, None, T]:
        """Saves checkpoints that fall due during work that changes no state (evaluation); such work is done again."""
        while True:
            try:
                progress = next(work)
            except StopIteration as end:
                result: T = end.value
                return result
            self._save_if_due()
            yield progress

    def facts(self) -> dict[str, Any]:
        """Figures of the run for the stage's result."""
        return {
            "parameters": sum(parameter.numel() for parameter in self._objective.model.parameters()),
            "steps": self.steps,
            "tokens": self.tokens,
            "padding_share": 1 - self.tokens / self.padded if self.padded else 0.0,
            "precision": devices.precision(self._context.device),
        }

    def _begin(self) -> None:
        """Takes up the last checkpoint; the other processes take their whole state from rank 0."""
        if self._world.size > 1 and self._recipe.micro_batch_size is None:
            raise StageError(f"{self._world.size} processes need micro-batches to share; set micro_batch_size")
        if self._world.rank == 0:
            saved = self._context.load_checkpoint()
            if saved is not None:
                self._restore(saved)
        if self._world.size > 1:
            state = self._world.share(self._state() if self._world.rank == 0 else None)
            if self._world.rank > 0:
                self._restore(state)

    def _train(self, batch: Batch) -> None:
        model, recipe = self._objective.model, self._recipe
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.rate(self.steps, self.total_steps)
        size = recipe.micro_batch_size
        parts = [batch] if size is None else batch.split(size)
        rows, width = max(len(part.rows) for part in parts), max(part.width for part in parts)
        with devices.memory_errors(f"training on {rows} x {width} word pieces ({self._described()})"):
            loss = self._backward(batch) if size is None else self._backward_in_parts(parts)
            norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
        # A gradient that is not finite makes the loss count as such, so that one look sees both.
        self._losses[self._step] = torch.where(torch.isfinite(norm), loss, torch.nan)
        self._step += 1
        self.tokens += batch.tokens
        self.padded += sum(part.padded for part in parts)
        if self._step % self._look_every == 0:
            self._look()

    def _backward(self, batch: Batch) -> Tensor:
        """Adds a batch's gradients; returns its loss."""
        with devices.autocast(self._context.device):
            loss = self._objective.loss(batch, self._epoch)
        torch.autograd.backward(loss)
        return loss.detach().float()

    def _backward_in_parts(self, parts: Sequence[Batch]) -> Tensor:
        """Adds the gradients of a step's micro-batches, of all processes; returns the step's loss.

        A step's loss is the mean of the micro-batches' losses, weighted by their numbers of rows.
        """
        total = torch.zeros((), device=self._device)
        rows = sum(len(part.rows) for part in parts)
        for number, part in enumerate(parts):
            if number % self._world.size != self._world.rank:
                continue
            torch.manual_seed(seeds.derive(self._recipe.seed, "dropout", self.steps, number))
            with devices.autocast(self._context.device):
                loss = self._objective.loss(part, self._epoch) * (len(part.rows) / rows)
            torch.autograd.backward(loss)
            total += loss.detach().float()
        parallel.sum_gradients(self._world, self._objective.model.parameters(), total)
        return total

    def _look(self) -> None:
        """Ends the stage where the loss stopped being finite."""
        bad = torch.nonzero(~torch.isfinite(self._losses[: self._step]))
        if len(bad):
            step = self._epoch * self._epoch_steps + int(bad[0]) + 1
            raise StageError(
                f"the loss or its gradient is not finite at step {step} of {self.total_steps} ({self._described()}); "
                "a lower learning rate, more warm-up or a smaller clip_norm usually helps"
            )

    def _described(self) -> str:
        settings = {
            **self._objective.settings,
            "learning_rate": self._recipe.learning_rate,
            "clip_norm": self._recipe.clip_norm,
            "seed": self._recipe.seed,
            "precision": devices.precision(self._context.device),
        }
        return ", ".join(f"{name}={value}" for name, value in settings.items())

    def _save_if_due(self) -> None:
        if self._context.checkpoint_due():
            self._look()
            self._context.save_checkpoint(self._state())

    def _state(self) -> dict[str, Any]:
        on_gpu = self._device.type == "cuda"
        return {
            "model": dict(self._objective.model.state_dict()),
            "optimizer": self._optimizer.state_dict(),
            "epoch": self._epoch,
            "step": self._step,
            "losses": self._losses,
            "history": self.history,
            "tokens": self.tokens,
            "padded": self.padded,
            "random": torch.get_rng_state(),
            "device_random": torch.cuda.get_rng_state(self._device) if on_gpu else None,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._objective.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._epoch, self._step = state["epoch"], state["step"]
        self._losses.copy_(state["losses"])
        self.history = list(state["history"])
        self.tokens, self.padded = state["tokens"], state["padded"]
        torch.set_rng_state(state["random"].cpu())
        if self._device.type == "cuda" and state["device_random"] is not None:
            torch.cuda.set_rng_state(state["device_random"].cpu(), self._device)
