from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.training import optimizer
from trainables.training.optimizer import Recipe


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(0, 70), st.floats(1e-6, 1.0))
def test_the_schedule_is_transformers(total: int, warmup: int, peak: float) -> None:
    recipe = Recipe(epochs=1, learning_rate=peak, warmup_steps=warmup)
    reference = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    schedule = transformers.get_linear_schedule_with_warmup(reference, warmup, total)
    for step in range(total):
        assert recipe.rate(step, total) == pytest.approx(schedule.get_last_lr()[0], rel=1e-12, abs=0.0)
        reference.step()
        schedule.step()


def test_steps_of_warmup_come_before_their_ratio() -> None:
    assert Recipe(1, 1.0, warmup_steps=7, warmup_ratio=0.5).warmup(100) == 7
    assert Recipe(1, 1.0, warmup_ratio=0.1).warmup(101) == 11
    assert Recipe(1, 1.0).rate(0, 10) == 1.0


@pytest.mark.parametrize("model", ["bert", "roberta"])
def test_biases_and_norms_do_not_decay(model: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(model)
    loaded = transformers.AutoModelForMaskedLM.from_pretrained(str(folder))
    decayed, plain = optimizer.parameter_groups(loaded, 0.01)
    by_id = {id(parameter): name for name, parameter in loaded.named_parameters()}

    def names(group: dict[str, object]) -> set[str]:
        parameters = group["params"]
        assert isinstance(parameters, list)
        return {by_id[id(parameter)] for parameter in parameters}

    expected_plain = {name for name in by_id.values() if name.endswith("bias") or "norm" in name.lower()}
    assert names(plain) == expected_plain
    assert names(decayed) == set(by_id.values()) - expected_plain
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.01, 0.0)


def test_decay_shrinks_weights_without_gradient() -> None:
    model = torch.nn.Linear(2, 2)
    torch.nn.init.ones_(model.weight)
    torch.nn.init.ones_(model.bias)
    adamw = optimizer.adamw(model, Recipe(1, 0.1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    adamw.step()
    assert torch.allclose(model.weight, torch.tensor(1 - 0.1 * 0.5))
    assert torch.equal(model.bias, torch.ones(2))
