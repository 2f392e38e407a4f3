"""The losses of VE-KD (Gao et al. 2024, section 3.3), which without new pieces and tolerance are DistilBERT's.

Each distillation loss is a mean over the ordinary positions: those that hold a piece, special ones included, that the
teacher knows. New pieces' positions are left out before anything is computed of them, so no gradient comes from there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils import checkpoint

from trainables.training.losses import widened

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The distillation losses, and the one of masked-language modelling; names of weights, figures and buffers.
DISTILLED = ("kl", "cosine", "mse")
TERMS = (*DISTILLED, "mlm")
#: Logits that are computed at once, teacher's and student's each: 128 MB in float32.
_LOGITS_AT_ONCE = 1 << 25


@dataclasses.dataclass(frozen=True)
class Weighting:
    """How the losses are put together.

    Attributes:
        weights: By name of :data:`TERMS`; that of ``mlm`` is the paper's alpha.
        tolerance: The paper's epsilon; none of ``mlm``.
        temperature: Of both distributions of ``kl``.
    """

    weights: Mapping[str, float]
    tolerance: float = 0.0
    temperature: float = 2.0

    @property
    def wanted(self) -> tuple[str, ...]:
        """The losses that count."""
        return tuple(name for name in TERMS if self.weights[name])

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The final loss: each distillation loss weighted and within tolerance 0, and ``mlm`` weighted."""
        return torch.stack(
            [
                self.weights[name] * terms[name]
                if name == "mlm"
                else tolerated(terms[name], self.weights[name], self.tolerance)
                for name in self.wanted
            ]
        ).sum()


def tolerated(loss: Tensor, weight: float, tolerance: float) -> Tensor:
    """``max(weight * loss - tolerance, 0)``; no gradient where it is 0."""
    return (weight * loss - tolerance).clamp(min=0)


def cosine_distances(student: Tensor, teacher: Tensor) -> Tensor:
    """One less the cosine of two hidden states, by position ``[positions]``.

    The paper prints the cosine itself; what is minimised, and what DistilBERT has, is its distance from 1.

    Args:
        student: ``[positions, width]``.
        teacher: Alike.
    """
    return 1 - functional.cosine_similarity(widened(student), widened(teacher), dim=-1)


def softened_divergences(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of the student's from the teacher's distribution over pieces ``[positions]``.

    Both are softened, and the divergence is multiplied by the square of the temperature, so that its gradient is of
    the same size at any temperature (Hinton et al. 2015).

    Args:
        student: Logits of the pieces that the teacher knows ``[positions, pieces]``.
        teacher: Alike.
        temperature: Of both.
    """
    own = (widened(student) / temperature).log_softmax(dim=-1)
    wanted = (widened(teacher) / temperature).log_softmax(dim=-1)
    each = functional.kl_div(own, wanted, log_target=True, reduction="none").sum(dim=-1)
    return each * temperature**2


def squared_differences(student: Tensor, teacher: Tensor) -> Tensor:
    """Squared difference of logits, summed over pieces, by position ``[positions]``.

    Args:
        student: Logits of the pieces that the teacher knows ``[positions, pieces]``.
        teacher: Alike.
    """
    return (widened(student) - widened(teacher)).square().sum(dim=-1)


def mean(each: Tensor) -> Tensor:
    """Mean over positions; 0 where there is none, and a gradient of 0."""
    return each.sum() / max(1, len(each))


def of_logits(
    student: Callable[[Tensor], Tensor],
    teacher: Callable[[Tensor], Tensor],
    features: tuple[Tensor, Tensor],
    pieces: int,
    names: tuple[str, ...],
    temperature: float,
    at_once: int = _LOGITS_AT_ONCE,
) -> dict[str, Tensor]:
    """Those losses that are of logits, in bounded memory.

    Logits of many positions are computed in parts, and again on the way back, since 15,000 positions of 30,522 pieces
    are 1.9 GB for each of half a dozen tensors. Few positions are one part, and nothing is computed twice.

    Args:
        student: Makes logits ``[positions, pieces]`` of its features.
        teacher: Alike.
        features: Both models' features ``[positions, width]``.
        pieces: That the teacher knows: the width of logits.
        names: Which of ``kl`` and ``mse``.
        temperature: Of ``kl``.
        at_once: Logits in one part at most, of one model.

    Returns:
        A mean over positions by name.
    """
    if not names:
        return {}
    own, wanted = features

    def sums(own: Tensor, wanted: Tensor) -> Tensor:
        with torch.no_grad():
            says = teacher(wanted)
        found = student(own)
        each = {
            "kl": lambda: softened_divergences(found, says, temperature),
            "mse": lambda: squared_differences(found, says),
        }
        return torch.stack([each[name]().sum() for name in names])

    total = torch.stack(list(_in_parts(sums, (own, wanted), max(1, at_once // pieces)))).sum(dim=0)
    return dict(zip(names, total / max(1, len(own)), strict=True))


def of_pieces(
    logits: Callable[[Tensor], Tensor], features: Tensor, targets: Tensor, pieces: int, at_once: int = _LOGITS_AT_ONCE
) -> tuple[Tensor, Tensor]:
    """Cross-entropies of pieces to be said, in bounded memory as :func:`of_logits`.

    Args:
        logits: Makes logits ``[positions, pieces]`` of features.
        features: ``[positions, width]``.
        targets: The pieces to be said ``[positions]``.
        pieces: Width of logits.
        at_once: Logits in one part at most.

    Returns:
        The loss of each ``[positions]``, and whether it is the likeliest piece.
    """

    def each(own: Tensor, wanted: Tensor) -> Tensor:
        found = logits(own)
        right = (found.argmax(dim=-1) == wanted).float()
        return torch.stack([functional.cross_entropy(widened(found), wanted, reduction="none"), right])

    parts = list(_in_parts(each, (features, targets), max(1, at_once // pieces)))
    loss, right = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
    return loss, right.bool()


def _in_parts(work: Callable[..., Tensor], inputs: tuple[Tensor, ...], rows: int) -> Iterator[Tensor]:
    """Work on some rows at a time, done again on the way back; where one part is all, it is simply done."""
    if len(inputs[0]) <= rows:
        yield work(*inputs)
        return
    for part in zip(*(torch.split(each, rows) for each in inputs), strict=True):
        yield checkpoint.checkpoint(work, *part, use_reentrant=False, preserve_rng_state=False)
