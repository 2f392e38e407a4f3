"""The layer between vectors of different widths, and which units of a teacher are active."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainables.training import seeds

_BIAS = 0.01
_ROWS_AT_ONCE = 4_096


def layer(inputs: int, outputs: int, seed: int) -> nn.Linear:
    """A linear layer as DoKTra's released code makes it: Xavier-uniform weights, every bias 0.01.

    The draw is made on the CPU from the seed alone, so that it is the same on every device.
    """
    made = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(made.weight, generator=seeds.generator(seed, "projection"))
    nn.init.constant_(made.bias, _BIAS)
    return made


@torch.inference_mode()
def activations(vectors: Tensor, projection: nn.Linear | None) -> Tensor:
    """Which units are active (eq. 3).

    Only this much of a fixed projection is ever needed, and it does not change: one byte per unit, so 18 MB for
    ChemProt's 18,035 training examples at a width of 1,024.

    Args:
        vectors: ``[examples, inputs]``, on the CPU.
        projection: Applied before; None where the widths agree.

    Returns:
        Boolean ``[examples, outputs]``.
    """
    if projection is None:
        return vectors > 0
    parts = [projection(part) > 0 for part in torch.split(vectors, _ROWS_AT_ONCE)]
    return torch.cat(parts)
