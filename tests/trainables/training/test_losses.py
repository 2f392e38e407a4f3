from __future__ import annotations

import math

import torch

from trainables.training import losses


def test_cross_entropy_is_the_mean_over_what_is_labelled() -> None:
    logits = torch.tensor([[[0.0, 0.0], [3.0, 0.0]], [[0.0, 1.0], [9.0, 9.0]]])
    targets = torch.tensor([[0, losses.IGNORED], [1, losses.IGNORED]], dtype=torch.int16)
    expected = (math.log(2) + math.log(1 + math.exp(-1))) / 2
    assert math.isclose(float(losses.cross_entropy(logits, targets)), expected, rel_tol=1e-6)


def test_a_batch_without_labels_has_no_loss() -> None:
    logits = torch.zeros(1, 2, 3, requires_grad=True)
    loss = losses.cross_entropy(logits, torch.full((1, 2), losses.IGNORED))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_binary_cross_entropy_by_hand() -> None:
    loss = losses.binary_cross_entropy(torch.tensor([[0.0, 2.0]]), torch.tensor([[1, 0]]))
    assert math.isclose(float(loss), (math.log(2) + math.log(1 + math.exp(2))) / 2, rel_tol=1e-6)


def test_low_precision_logits_are_summed_in_float32() -> None:
    logits = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).bfloat16()
    assert losses.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).dtype == torch.float32
