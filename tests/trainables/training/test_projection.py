from __future__ import annotations

import math

import torch

from trainables.training import projection


def test_it_is_xavier_uniform_with_the_released_bias_and_depends_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = projection.layer(200, 300, seed=4)
    torch.manual_seed(2)
    other = projection.layer(200, 300, seed=4)
    assert torch.equal(one.weight, other.weight)
    assert not torch.equal(one.weight, projection.layer(200, 300, seed=5).weight)
    assert torch.equal(one.bias, torch.full((300,), 0.01))
    bound = math.sqrt(6 / 500)
    assert float(one.weight.detach().abs().max()) <= bound
    # A uniform distribution's spread is its bound over the root of 3; of 60,000 draws it is within a percent or so.
    assert abs(float(one.weight.detach().std()) / (bound / math.sqrt(3)) - 1) < 0.02


def test_activations_are_the_signs_of_what_is_projected() -> None:
    vectors = torch.randn(9_000, 6, generator=torch.Generator().manual_seed(0))
    vectors[0] = 0.0
    layer = projection.layer(6, 10, seed=0)
    found = projection.activations(vectors, layer)
    with torch.no_grad():
        assert torch.equal(found, vectors @ layer.weight.T + layer.bias > 0)
    assert found.dtype == torch.bool
    assert found[0].all()  # of nothing but the bias
    assert torch.equal(projection.activations(vectors, None), vectors > 0)
    assert not projection.activations(vectors, None)[0].any()  # eq. 3: 0 is not active
