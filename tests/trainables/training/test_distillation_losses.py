"""The losses of DoKTra against hand-computed values, the released code's formulas, and numeric gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from trainables.training import losses


def _random(*shape: int, seed: int = 0, scale: float = 1.5) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def test_entropy_by_hand() -> None:
    """Eq. 1 of (1/4, 3/4) and of (1/2, 1/2)."""
    logits = torch.tensor([[0.0, math.log(3)], [5.0, 5.0]])
    of_first = math.log(4) / 4 + 3 / 4 * math.log(4 / 3)
    assert float(losses.entropy(logits)) == pytest.approx((of_first + math.log(2)) / 2, rel=1e-6)


def test_entropy_counts_labelled_positions_only() -> None:
    logits = torch.tensor([[[0.0, 0.0], [9.0, 0.0]], [[0.0, 0.0], [3.0, 1.0]]])
    targets = torch.tensor([[1, losses.IGNORED], [0, losses.IGNORED]])
    assert float(losses.entropy(logits, targets)) == pytest.approx(math.log(2), rel=1e-6)
    nothing = losses.entropy(logits.requires_grad_(), torch.full((2, 2), losses.IGNORED))
    nothing.backward()
    assert float(nothing.detach()) == 0.0


def test_certain_predictions_have_no_entropy() -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    for found in (losses.entropy(logits), losses.binary_entropy(logits[:, :2])):
        found.backward()
        assert float(found.detach()) == 0.0
        assert logits.grad is not None
        assert torch.isfinite(logits.grad).all()


def test_binary_entropy_is_that_of_independent_bernoulli_outputs() -> None:
    logits = _random(7, 10, scale=4.0)
    expected = torch.distributions.Bernoulli(logits=logits).entropy()
    assert float(losses.binary_entropy(logits)) == pytest.approx(float(expected.mean()), rel=1e-9)


def test_the_joint_distribution_weighs_penalty_and_cross_entropy_alike() -> None:
    """Eq. 2 over all combinations of labels, at once, is the loss times the number of labels."""
    logits, penalty = _random(1, 3), 0.7
    gold = torch.tensor([[1, 0, 1]])
    yes = logits[0].sigmoid()
    outcomes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
    joint = (outcomes * yes + (1 - outcomes) * (1 - yes)).prod(dim=1)
    own = joint[(outcomes == gold).all(dim=1)]
    eq2 = -own.log() - penalty * -(joint * joint.log()).sum()
    found = losses.classification(logits, gold, multi_label=True, penalty=penalty)
    assert float(found) * 3 == pytest.approx(float(eq2), rel=1e-6)


@pytest.mark.parametrize("penalty", [0.0, 0.3, 0.7])
def test_the_penalised_loss_is_the_released_one(penalty: float) -> None:
    """Cross-entropy, and less so much entropy, means over the batch, as the released training scripts have it."""
    logits, gold = _random(9, 5).float(), torch.arange(9) % 5
    probabilities, logarithms = nn.Softmax(dim=-1)(logits), nn.LogSoftmax(dim=-1)(logits)
    released = torch.mean(nn.CrossEntropyLoss()(logits, gold) - penalty * -(probabilities * logarithms).sum(dim=-1))
    found = losses.classification(logits, gold, multi_label=False, penalty=penalty)
    assert float(found) == pytest.approx(float(released), rel=1e-6)


def test_without_a_penalty_nothing_is_added() -> None:
    logits, gold = _random(9, 5).float(), torch.arange(9) % 5
    assert torch.equal(losses.classification(logits, gold, False), losses.cross_entropy(logits, gold))
    several = (_random(9, 5, seed=1) > 0).long()
    assert torch.equal(losses.classification(logits, several, True), losses.binary_cross_entropy(logits, several))


def test_boundary_loss_by_hand() -> None:
    """Eq. 5 at margin 1, unit by unit: beyond, short of, on the wrong side of, and on either margin."""
    active = torch.tensor([[True, True, True, True, True], [False, False, False, False, False]])
    student = torch.tensor([[2.0, 0.5, -1.0, 1.0, 0.0], [-2.0, -0.5, 1.0, -1.0, 0.0]])
    each = 0 + 0.5**2 + 2.0**2 + 0 + 1.0
    assert float(losses.boundary_loss(student, active, 1.0)) == pytest.approx(each)
    assert float(losses.boundary_loss(student[:1], active[:1], 0.0)) == pytest.approx(1.0)


def _released_boundary(source: Tensor, target: Tensor, margin: float, batch_size: int) -> Tensor:
    """The released formula, on the teacher's vectors: two branches of squares under masks, over 1000 and the batch."""
    falling = (source + margin).pow(2) * torch.logical_and(source > -margin, target <= 0).to(source.dtype)
    rising = (source - margin).pow(2) * torch.logical_and(source <= margin, target > 0).to(source.dtype)
    return (falling + rising).abs().sum() / 1000 / batch_size


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("seed", range(3))
def test_boundary_loss_is_the_released_one_times_1000(margin: float, seed: int) -> None:
    student, teacher = _random(11, 48, seed=seed), _random(11, 48, seed=seed + 50)
    for column, edge in enumerate((margin, -margin, 0.0)):
        student[:, column] = edge  # exactly on the edges, against teachers of either side and of 0
        teacher[:4, column] = 0.0
    expected = 1000 * _released_boundary(student, teacher, margin, 11)
    assert float(losses.boundary_loss(student, teacher > 0, margin)) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("margin", [0.5, 1.0])
def test_boundary_gradients_are_the_released_ones_and_numerically_right(margin: float) -> None:
    student, teacher = _random(4, 6).requires_grad_(), _random(4, 6, seed=9)
    assert torch.autograd.gradcheck(lambda vectors: losses.boundary_loss(vectors, teacher > 0, margin), (student,))
    (own,) = torch.autograd.grad(losses.boundary_loss(student, teacher > 0, margin), student)
    (released,) = torch.autograd.grad(1000 * _released_boundary(student, teacher, margin, 4), student)
    assert torch.allclose(own, released, rtol=1e-12)
    assert own.any()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 1000), st.floats(0.1, 3))
def test_no_boundary_loss_means_no_difference(rows: int, units: int, seed: int, margin: float) -> None:
    """And every unit on the wrong side costs at least the squared margin, so eq. 5 bounds eq. 4."""
    teacher, student = _random(rows, units, seed=seed), _random(rows, units, seed=seed + 1)
    different = losses.activation_difference(student, teacher > 0).double().mean()
    assert float(losses.boundary_loss(student, teacher > 0, margin)) >= margin**2 * float(different) - 1e-9
    settled = torch.where(teacher > 0, margin, -margin)
    assert float(losses.boundary_loss(settled, teacher > 0, margin)) == 0.0
    assert not losses.activation_difference(settled, teacher > 0).any()


def test_activation_difference_by_hand() -> None:
    """Eq. 4 counts units; a student's 0 is not active (eq. 3)."""
    active = torch.tensor([[True, False, True, False], [True, True, True, False]])
    student = torch.tensor([[0.1, 0.1, -0.1, -0.1], [0.0, 3.0, 0.0, 1e-9]])
    assert losses.activation_difference(student, active).tolist() == [2, 3]


def test_divergence_by_hand() -> None:
    """The teacher says (1/4, 3/4), the student (1/2, 1/2); and once both the same."""
    teacher = torch.tensor([[0.0, math.log(3)], [2.0, -1.0]])
    student = torch.tensor([[1.0, 1.0], [2.0, -1.0]])
    of_first = 1 / 4 * math.log((1 / 4) / (1 / 2)) + 3 / 4 * math.log((3 / 4) / (1 / 2))
    assert float(losses.divergence(student, teacher)) == pytest.approx(of_first / 2, rel=1e-5)


def test_divergence_is_the_batch_mean_against_probabilities() -> None:
    student, teacher = _random(6, 4), _random(6, 4, seed=3)
    expected = nn.KLDivLoss(reduction="batchmean")(student.log_softmax(-1), teacher.softmax(-1))
    assert float(losses.divergence(student, teacher)) == pytest.approx(float(expected), rel=1e-9)


def test_binary_divergence_is_summed_over_labels() -> None:
    student, teacher = _random(6, 10), _random(6, 10, seed=3)
    bernoulli = torch.distributions.Bernoulli
    expected = torch.distributions.kl_divergence(bernoulli(logits=teacher), bernoulli(logits=student)).sum(-1).mean()
    assert float(losses.binary_divergence(student, teacher)) == pytest.approx(float(expected), rel=1e-9)


def test_gradients_are_numerically_right() -> None:
    logits, teacher = _random(3, 4).requires_grad_(), _random(3, 4, seed=3)
    for loss in (
        losses.entropy,
        losses.binary_entropy,
        lambda values: losses.entropy(values, torch.tensor([0, losses.IGNORED, 1])),
        lambda values: losses.divergence(values, teacher),
        lambda values: losses.binary_divergence(values, teacher),
    ):
        assert torch.autograd.gradcheck(loss, (logits,))


def test_low_precision_is_widened() -> None:
    logits, teacher = _random(3, 4).bfloat16(), _random(3, 4, seed=3).bfloat16()
    for found in (
        losses.entropy(logits),
        losses.binary_entropy(logits),
        losses.boundary_loss(logits, teacher > 0, 1.0),
        losses.divergence(logits, teacher),
        losses.binary_divergence(logits, teacher),
    ):
        assert found.dtype == torch.float32
