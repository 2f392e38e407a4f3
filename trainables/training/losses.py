"""Losses, for each form that labels take, against gold labels and against a teacher. All are means in float32.

Equations are those of DoKTra. Where a task has several labels per example, its outputs are independent yes/no
decisions, and what the paper sums over classes is taken of each decision.
"""

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


def entropy(logits: Tensor, targets: Tensor | None = None) -> Tensor:
    """Mean entropy of the predicted distributions over classes (eq. 1), in nats.

    Args:
        logits: ``[..., labels]``.
        targets: Label indices ``[...]``; positions that are :data:`IGNORED` there do not count.

    Returns:
        A scalar; 0 where no position counts.
    """
    logarithms = widened(logits).log_softmax(dim=-1)
    each = -(logarithms.exp() * logarithms).sum(dim=-1)
    counted = torch.ones_like(each, dtype=torch.bool) if targets is None else targets != IGNORED
    return (each * counted).sum() / counted.sum().clamp(min=1)


def binary_entropy(logits: Tensor) -> Tensor:
    """Mean over examples and labels of the entropy of independent yes/no decisions, in nats.

    Both this and :func:`binary_cross_entropy` are the joint distribution's value divided by the number of labels, so
    a penalty weighs one against the other as eq. 2 does.

    Args:
        logits: ``[examples, labels]``.
    """
    wide = widened(logits)
    yes, no = functional.logsigmoid(wide), functional.logsigmoid(-wide)
    return -(yes.exp() * yes + no.exp() * no).mean()


def classification(logits: Tensor, targets: Tensor, multi_label: bool, penalty: float = 0.0) -> Tensor:
    """Cross-entropy against the gold labels less ``penalty`` times the entropy of the predictions (eq. 2).

    Args:
        logits: ``[..., labels]``.
        targets: Label indices ``[...]``; for several labels 0 or 1 ``[examples, labels]``.
        multi_label: Whether an example may have several labels or none.
        penalty: The paper's beta.
    """
    loss = binary_cross_entropy(logits, targets) if multi_label else cross_entropy(logits, targets)
    if penalty:
        loss = loss - penalty * (binary_entropy(logits) if multi_label else entropy(logits, targets))
    return loss


def boundary_loss(student: Tensor, active: Tensor, margin: float) -> Tensor:
    """Activation boundary loss (eq. 5): the squared hinge summed over units, as a mean over examples.

    A unit costs nothing once it is on the teacher's side of 0 by the margin.

    Args:
        student: CLS vectors ``[examples, units]``.
        active: Whether the teacher's unit is above 0 (eq. 3), boolean ``[examples, units]``.
        margin: The paper's mu.
    """
    wide = widened(student)
    short_by = torch.where(active, margin - wide, margin + wide).clamp(min=0)
    return short_by.square().sum(dim=-1).mean()


def activation_difference(student: Tensor, active: Tensor) -> Tensor:
    """L_AT (eq. 4): the number of units on the other side of 0 than the teacher's, per example ``[examples]``.

    Args:
        student: CLS vectors ``[examples, units]``.
        active: Whether the teacher's unit is above 0 (eq. 3), boolean ``[examples, units]``.
    """
    return ((student > 0) != active).sum(dim=-1)


def divergence(logits: Tensor, teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the student's from the teacher's distribution over classes, mean over examples.

    Without a temperature, as in DoKTra's ablation.

    Args:
        logits: The student's, ``[examples, labels]``.
        teacher: The teacher's, alike.
    """
    return functional.kl_div(
        widened(logits).log_softmax(dim=-1),
        widened(teacher).log_softmax(dim=-1),
        log_target=True,
        reduction="batchmean",
    )


def binary_divergence(logits: Tensor, teacher: Tensor) -> Tensor:
    """The same of independent yes/no decisions: summed over labels (the joint distribution's), mean over examples."""
    found = torch.zeros((), device=logits.device)
    for sign in (1, -1):
        own, wanted = functional.logsigmoid(sign * widened(logits)), functional.logsigmoid(sign * widened(teacher))
        found = found + functional.kl_div(own, wanted, log_target=True, reduction="batchmean")
    return found


def soft_cross_entropy(logits: Tensor, targets: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean cross-entropy of the student's softened distribution against probabilities, over examples or words.

    With two labels and a teacher's ``softmax(z / T)`` this is the loss of the transfer-data paper (section 4.1), whose
    q = sigmoid(z / T) is of z = positive - negative logit.

    Args:
        logits: The student's, ``[units, labels]``.
        targets: Probabilities, alike.
        temperature: Of the student's distribution; the loss is not multiplied by its square.
    """
    return -(targets * (widened(logits) / temperature).log_softmax(dim=-1)).sum(dim=-1).sum() / max(1, len(logits))


def widened(values: Tensor) -> Tensor:
    """At least float32: sums over classes or pieces must not be bfloat16."""
    return values if values.dtype == torch.float64 else values.float()
