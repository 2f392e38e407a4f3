"""The losses of VE-KD against hand-computed values, the released code's formulas, and numeric gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from trainables.training import vocabulary_expansion_losses as losses
from trainables.training.vocabulary_expansion_losses import DISTILLED, Weighting


def _random(*shape: int, seed: int = 0, scale: float = 1.5) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def test_cosine_by_hand() -> None:
    """Alike whatever the lengths, at a right angle, opposed, and at 60 degrees."""
    student = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [0.5, math.sqrt(3) / 2]])
    teacher = torch.tensor([[5.0, 0.0]] * 4)
    assert losses.cosine_distances(student, teacher).tolist() == pytest.approx([0, 1, 2, 0.5], abs=1e-6)


def test_divergence_by_hand() -> None:
    """At temperature 2 the teacher's logits 0 and 2 log 3 are (1/4, 3/4); the student says (1/2, 1/2)."""
    student, teacher = torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 2 * math.log(3)]])
    expected = 1 / 4 * math.log((1 / 4) / (1 / 2)) + 3 / 4 * math.log((3 / 4) / (1 / 2))
    assert float(losses.softened_divergences(student, teacher, 2.0)) == pytest.approx(4 * expected, rel=1e-5)
    assert float(losses.softened_divergences(teacher, teacher, 2.0)) == pytest.approx(0, abs=1e-6)


def test_squared_difference_by_hand() -> None:
    student, teacher = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 4.0], [0.0, 3.0]])
    assert losses.squared_differences(student, teacher).tolist() == [5, 9]


@pytest.mark.parametrize(
    ("loss", "weight", "tolerance", "expected"),
    [(2.0, 1.0, 0.5, 1.5), (0.2, 2.0, 0.5, 0.0), (0.2, 5.0, 0.5, 0.5), (3.0, 0.0, 0.5, 0.0), (3.0, 2.0, 0.0, 6.0)],
)
def test_tolerance_by_hand(loss: float, weight: float, tolerance: float, expected: float) -> None:
    given_loss = torch.tensor(loss, requires_grad=True)
    found = losses.tolerated(given_loss, weight, tolerance)
    found.backward()
    assert float(found.detach()) == pytest.approx(expected)
    assert given_loss.grad is not None
    assert float(given_loss.grad) == (weight if expected > 0 else 0)


def test_the_total_by_hand() -> None:
    """2 x 3 - 0.5, 5 x 0.05 within tolerance, 1 x 4 - 0.5, and 0.7 x 2 without tolerance."""
    weighting = Weighting({"kl": 2, "cosine": 5, "mse": 1, "mlm": 0.7}, tolerance=0.5)
    terms = {"kl": 3.0, "cosine": 0.05, "mse": 4.0, "mlm": 2.0}
    found = weighting.total({name: torch.tensor(value) for name, value in terms.items()})
    assert float(found) == pytest.approx(5.5 + 0 + 3.5 + 1.4)


def _released(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], ordinary: Tensor, weighting: Weighting
) -> Tensor:
    """The released training script's distillation losses, as DistilBERT's with a mask and a tolerance.

    Args:
        student: Hidden states ``[rows, width, hidden]`` and logits ``[rows, width, pieces]``.
        teacher: Alike, of fewer pieces.
        ordinary: Attended positions that are not new, ``[rows, width]``.
        weighting: Of the losses.
    """
    (own_hidden, own_logits), (hidden, logits) = student, teacher
    own_logits = own_logits[..., : logits.shape[-1]]
    mask = ordinary.unsqueeze(-1).expand_as(logits)
    selected, wanted = (torch.masked_select(each, mask).view(-1, logits.shape[-1]) for each in (own_logits, logits))
    temperature = weighting.temperature
    kl = nn.KLDivLoss(reduction="batchmean")(
        functional.log_softmax(selected / temperature, dim=-1), functional.softmax(wanted / temperature, dim=-1)
    )
    mse = nn.MSELoss(reduction="sum")(selected, wanted) / selected.size(0)
    mask = ordinary.unsqueeze(-1).expand_as(hidden)
    vectors = [torch.masked_select(each, mask).view(-1, hidden.shape[-1]) for each in (own_hidden, hidden)]
    cosine = nn.CosineEmbeddingLoss(reduction="mean")(*vectors, torch.ones(len(vectors[0]), dtype=hidden.dtype))
    found = torch.zeros((), dtype=hidden.dtype)
    for name, value in {"kl": kl * temperature**2, "mse": mse, "cosine": cosine}.items():
        found = found + torch.clamp(weighting.weights[name] * value - weighting.tolerance, min=0)
    return found


def _ours(
    student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], ordinary: Tensor, weighting: Weighting, at_once: int
) -> Tensor:
    """The same through the module; logits stand for features, of which the student's are cut."""
    pieces = teacher[1].shape[-1]
    terms = losses.of_logits(
        lambda own: own[:, :pieces],
        lambda wanted: wanted,
        (student[1][ordinary], teacher[1][ordinary]),
        pieces,
        ("kl", "mse"),
        weighting.temperature,
        at_once,
    )
    terms["cosine"] = losses.mean(losses.cosine_distances(student[0][ordinary], teacher[0][ordinary]))
    return weighting.total(terms)


@pytest.mark.parametrize("at_once", [1 << 20, 40])
@pytest.mark.parametrize("tolerance", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_distillation_losses_are_the_released_ones(seed: int, tolerance: float, at_once: int) -> None:
    """Values and gradients, at once and in parts of two positions; no gradient reaches other positions."""
    hidden = [_random(3, 7, 6, seed=seed + part).requires_grad_() for part in (0, 10)]
    logits = [_random(3, 7, pieces, seed=seed + part).requires_grad_() for part, pieces in ((20, 25), (30, 19))]
    ordinary = _random(3, 7, seed=seed + 40) > 0
    weighting = Weighting({"kl": 2, "cosine": 0.7, "mse": 1, "mlm": 0}, tolerance, temperature=2.0)
    found = _ours((hidden[0], logits[0]), (hidden[1], logits[1]), ordinary, weighting, at_once)
    expected = _released((hidden[0], logits[0]), (hidden[1], logits[1]), ordinary, weighting)
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-9)
    own = torch.autograd.grad(found, (hidden[0], logits[0]))
    released = torch.autograd.grad(expected, (hidden[0], logits[0]))
    for ours, theirs in zip(own, released, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-12)
        assert not ours[~ordinary].any(), "exactly zero"
    assert own[1][ordinary][:, :19].any()
    assert not own[1][..., 19:].any(), "the teacher says nothing of new pieces"


def test_without_an_ordinary_position_nothing_is_distilled() -> None:
    own, hidden = _random(4, 9).requires_grad_(), _random(4, 6).requires_grad_()
    nothing = torch.zeros(4, dtype=torch.bool)
    weighting = Weighting(dict.fromkeys((*DISTILLED, "mlm"), 1.0))
    terms = losses.of_logits(
        lambda given: given, lambda given: given, (own[nothing], own.detach()[nothing]), 9, ("kl", "mse"), 2.0
    )
    terms["cosine"] = losses.mean(losses.cosine_distances(hidden[nothing], hidden.detach()[nothing]))
    terms["mlm"] = torch.tensor(2.0, dtype=torch.float64)
    total = weighting.total(terms)
    assert float(total.detach()) == 2
    for gradient in torch.autograd.grad(total, (own, hidden)):
        assert not gradient.any()


def test_losses_without_weight_are_not_computed() -> None:
    assert Weighting({"kl": 0, "cosine": 1, "mse": 0, "mlm": 2}).wanted == ("cosine", "mlm")

    def never(given: Tensor) -> Tensor:
        raise AssertionError("computed")

    assert losses.of_logits(never, never, (_random(2, 3), _random(2, 3)), 3, (), 2.0) == {}


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 60), st.integers(0, 99))
def test_parts_make_no_difference(positions: int, at_once: int, seed: int) -> None:
    features = _random(positions, 5, seed=seed), _random(positions, 7, seed=seed + 100)
    own, other = _random(5, 11, seed=seed + 1).requires_grad_(), _random(7, 11, seed=seed + 2)

    def found(limit: int) -> tuple[Tensor, Tensor]:
        terms = losses.of_logits(
            lambda given: given @ own, lambda given: given @ other, features, 11, ("kl", "mse"), 2.0, limit
        )
        total = terms["kl"] + terms["mse"]
        return total.detach(), torch.autograd.grad(total, own)[0]

    for whole, parted in zip(found(10**9), found(at_once), strict=True):
        assert torch.allclose(whole, parted, rtol=1e-10)


@pytest.mark.parametrize("loss", ["cosine", "kl", "mse"])
def test_gradients_are_numerically_right(loss: str) -> None:
    student, teacher = _random(3, 5).requires_grad_(), _random(3, 5, seed=9)

    def value(given: Tensor) -> Tensor:
        each = {
            "cosine": lambda: losses.cosine_distances(given, teacher),
            "kl": lambda: losses.softened_divergences(given, teacher, 2.0),
            "mse": lambda: losses.squared_differences(given, teacher),
        }
        return losses.tolerated(losses.mean(each[loss]()), 1.3, 0.01)

    assert torch.autograd.gradcheck(value, (student,))
    (gradient,) = torch.autograd.grad(value(student), student)
    assert gradient.any()


def test_low_precision_is_widened() -> None:
    student, teacher = _random(3, 4).bfloat16(), _random(3, 4, seed=3).bfloat16()
    for each in (
        losses.cosine_distances(student, teacher),
        losses.softened_divergences(student, teacher, 2.0),
        losses.squared_differences(student, teacher),
    ):
        assert each.dtype == torch.float32


def test_parts_need_no_gradients() -> None:
    """Evaluation goes through the same, with more positions at once."""
    features = _random(9, 5), _random(9, 7)
    with torch.inference_mode():
        own, other = _random(5, 11), _random(7, 11)
        found = [
            losses.of_logits(lambda given: given @ own, lambda given: given @ other, features, 11, ("kl",), 2.0, limit)
            for limit in (10**9, 20)
        ]
    assert float(found[0]["kl"]) == pytest.approx(float(found[1]["kl"]), rel=1e-10)
