"""AdamW as BERT is fine-tuned with it: no decay on biases and norms, linear warm-up and decay of the rate."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import nn


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How weights are updated.

    Attributes:
        epochs: Passes over the data.
        learning_rate: Peak of the schedule.
        warmup_steps: Steps of linear warm-up.
        warmup_ratio: Warm-up as a share of all steps; used where ``warmup_steps`` is 0.
        weight_decay: Decoupled decay; none on biases and norms.
        clip_norm: Largest norm of the gradient over all weights.
        seed: Of dropout.
        betas: Of AdamW.
        epsilon: Of AdamW.
        micro_batch_size: Rows that go through the model together; gradients are summed over the micro-batches of a
            batch before the update. None takes each batch at once.
    """

    epochs: int
    learning_rate: float
    warmup_steps: int = 0
    warmup_ratio: float = 0.0
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    seed: int = 0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    micro_batch_size: int | None = None

    def warmup(self, total_steps: int) -> int:
        """Steps of warm-up, given the number of all steps (a ratio is rounded up)."""
        return self.warmup_steps or math.ceil(self.warmup_ratio * total_steps)

    def rate(self, step: int, total_steps: int) -> float:
        """The learning rate of a step: linear from 0 to the peak, then linear to 0 at ``total_steps``.

        Args:
            step: Counted from 0.
            total_steps: Steps of the whole training.
        """
        warmup = self.warmup(total_steps)
        if step < warmup:
            return self.learning_rate * step / warmup
        return self.learning_rate * max(0.0, (total_steps - step) / max(1, total_steps - warmup))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Splits trainable weights into those that decay and those that don't.

    Weights of one dimension are the biases and norms of every BERT-like architecture, whatever their names.

    Returns:
        Two groups for a PyTorch optimiser; parameters that are shared between modules appear once.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trained if parameter.dim() > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.dim() <= 1], "weight_decay": 0.0},
    ]


def adamw(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """The optimiser of a recipe; its rate is set before every step, see :meth:`Recipe.rate`."""
    groups = parameter_groups(model, recipe.weight_decay)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.epsilon, fused=True)
