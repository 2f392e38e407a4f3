"""Losses against gold labels, for each form that labels take. All are means in float32."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: The target of word pieces that have no label: all but the first of a word, and special tokens.
IGNORED = -100


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over the labelled positions.

    Args:
        logits: ``[..., labels]``.
        targets: Label indices ``[...]``, :data:`IGNORED` where there is none.

    Returns:
        A scalar; 0 where no position is labelled.
    """
    flat = targets.reshape(-1).long()
    total = functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]).float(), flat, ignore_index=IGNORED, reduction="sum"
    )
    return total / (flat != IGNORED).sum().clamp(min=1)


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over examples and labels of the cross-entropy of independent yes/no decisions.

    Args:
        logits: ``[examples, labels]``.
        targets: 0 or 1 ``[examples, labels]``.
    """
    return functional.binary_cross_entropy_with_logits(logits.float(), targets.to(torch.float32))
