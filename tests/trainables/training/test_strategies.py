"""Strategies against hand-worked examples, the thesis's own scenarios among them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainables.stages.multi_teacher import BY_EXPERTISE, STRATEGIES
from trainables.training import seeds, strategies
from trainables.training.strategies import Expertise, Panel, chosen_by_expertise

APPLE, ORANGE, GRASS = range(3)
#: Best at apples is teacher 0, at oranges teacher 1, at grass teacher 2; the most accurate one is teacher 2.
FRUIT = Expertise(
    torch.tensor([0.7, 0.6, 0.8]), torch.tensor([[0.9, 0.3, 0.8], [0.5, 0.7, 0.6], [0.8, 0.6, 0.9]]).double()
)


def chance() -> torch.Generator:
    return seeds.generator(0, "test")


def panel(logits: Tensor, gold: Tensor, known: Expertise = FRUIT, temperature: float = 1.0) -> Panel:
    return Panel(logits, gold, known, temperature)


def hard(*predicted: list[int]) -> Tensor:
    """Logits of teachers that predict these labels, each of them told apart by its confidence."""
    labels = torch.nn.functional.one_hot(torch.tensor(predicted), 3).float()
    return labels * torch.arange(1.0, len(predicted) + 1)[:, None, None]


def test_the_registry_holds_what_a_stage_may_name() -> None:
    assert strategies.names() == STRATEGIES
    with pytest.raises(ValueError, match="'expertise' is registered twice"):
        strategies.strategy("expertise")(strategies.average_logits)


# --- expertise -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("predicted", "followed"),
    [
        ((APPLE, APPLE, ORANGE), 0),  # section 4.7.1.1: only T1 predicts what it is best at
        ((APPLE, ORANGE, ORANGE), 2),  # section 4.7.1.2: T1 and T2 do, so the most accurate is followed
        ((APPLE, ORANGE, GRASS), 2),  # all three do
        ((ORANGE, APPLE, APPLE), 2),  # nobody does
        ((GRASS, GRASS, ORANGE), 2),  # nobody: grass is what T3 is best at
        ((ORANGE, ORANGE, ORANGE), 1),
        ((GRASS, APPLE, GRASS), 2),
    ],
)
def test_the_scenarios_of_the_thesis(predicted: tuple[int, int, int], followed: int) -> None:
    column = torch.tensor(predicted)[:, None]
    assert chosen_by_expertise(column, FRUIT).tolist() == [followed]
    logits = hard(*([label] for label in predicted))
    told = strategies.get("expertise")(panel(logits, torch.tensor([APPLE])), chance())
    assert torch.allclose(told, logits[followed].softmax(-1))


def test_several_units_are_decided_one_by_one() -> None:
    predicted = torch.tensor([[APPLE, APPLE, ORANGE], [APPLE, ORANGE, APPLE], [ORANGE, ORANGE, APPLE]])
    assert chosen_by_expertise(predicted, FRUIT).tolist() == [0, 2, 2]


def test_of_equally_good_teachers_the_more_accurate_is_the_expert_then_the_first() -> None:
    same = torch.tensor([[0.5, 0.5], [0.5, 0.5], [0.5, 0.4]]).double()
    assert Expertise(torch.tensor([0.5, 0.6, 0.7]), same).experts.tolist() == [2, 1]
    assert Expertise(torch.tensor([0.5, 0.5, 0.5]), same).experts.tolist() == [0, 0]
    assert Expertise(torch.tensor([0.4, 0.5, 0.5]), same).best == 1


def test_expertise_is_counted_per_class() -> None:
    gold = torch.tensor([APPLE, APPLE, APPLE, APPLE, ORANGE, ORANGE])
    logits = hard([0, 0, 0, 1, 1, 2], [0, 1, 1, 1, 1, 1])
    found = Expertise.of(logits, gold)
    assert found.accuracy.tolist() == [4 / 6, 3 / 6]
    assert found.class_accuracy.tolist() == [[3 / 4, 1 / 2, 0], [1 / 4, 1, 0]]
    assert found.experts.tolist() == [0, 1, 0]  # nobody has shown anything of grass: the more accurate one


@given(st.data())
def test_the_followed_teacher_is_the_rules(data: st.DataObject) -> None:
    """Against the rule spelt out with sets, as in the thesis."""
    teachers, labels = data.draw(st.integers(2, 4)), data.draw(st.integers(2, 4))
    scores = st.sampled_from([0.0, 0.25, 0.5, 1.0])
    accuracy = data.draw(st.lists(scores, min_size=teachers, max_size=teachers))
    table = data.draw(
        st.lists(st.lists(scores, min_size=labels, max_size=labels), min_size=teachers, max_size=teachers)
    )
    predicted = data.draw(st.lists(st.integers(0, labels - 1), min_size=teachers, max_size=teachers))
    ranking = sorted(range(teachers), key=lambda one: (-accuracy[one], one))
    best_at = {(max(ranking, key=lambda one: table[one][label]), label) for label in range(labels)}
    both = best_at & set(enumerate(predicted))
    expected = next(iter(both))[0] if len(both) == 1 else ranking[0]
    known = Expertise(torch.tensor(accuracy).double(), torch.tensor(table).double())
    assert chosen_by_expertise(torch.tensor(predicted)[:, None], known).tolist() == [expected]


@pytest.mark.parametrize("name", STRATEGIES)
def test_it_is_known_which_strategies_go_by_expertise(name: str) -> None:
    """Each is told, once that the first teacher is best at everything, once that the last one is."""
    logits, gold = hard([0, 1, 2, 0], [1, 2, 0, 0], [2, 0, 1, 0]), torch.tensor([0, 1, 2, 0])
    told = [
        strategies.get(name)(panel(logits, gold, Expertise(good, good[:, None].expand(-1, 3))), chance())
        for good in (torch.tensor([0.9, 0.5, 0.1]), torch.tensor([0.1, 0.5, 0.9]))
    ]
    assert torch.equal(*told) == (name not in BY_EXPERTISE)


# --- the others ------------------------------------------------------------------------------------------------


def test_logits_are_averaged_before_they_become_probabilities() -> None:
    logits = torch.tensor([[[4.0, 0.0]], [[0.0, 2.0]]])
    told = strategies.get("average_logits")(panel(logits, torch.tensor([0]), temperature=2.0), chance())
    assert told.tolist() == [pytest.approx([1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(0.5))])]


def test_the_best_teacher_alone() -> None:
    logits = hard([0, 1], [1, 2], [2, 0])
    told = strategies.get("best_teacher")(panel(logits, torch.tensor([0, 0])), chance())
    assert torch.equal(told, logits[2].softmax(-1))


def test_a_random_teacher_is_drawn_for_every_unit() -> None:
    units = 3_000
    logits = hard([0] * units, [1] * units, [2] * units)
    random_teacher = strategies.get("random_teacher")
    told = random_teacher(panel(logits, torch.zeros(units, dtype=torch.int64)), chance())
    counts = torch.bincount(told.argmax(dim=-1), minlength=3)
    assert counts.sum() == units
    assert all(abs(int(count) - 1_000) < 120 for count in counts)  # four standard deviations are 103
    assert torch.equal(told, random_teacher(panel(logits, torch.zeros(units, dtype=torch.int64)), chance()))


def test_confidence_weights_by_hand() -> None:
    """Two teachers with probability 1/2 and 1/4 of the gold label: exp(CE) is 2 and 4, so weights are 2/3 and 1/3."""
    logits = torch.tensor([[[0.5, 0.5]], [[0.25, 0.75]]]).log()
    weights = strategies.confidence_weights(logits, torch.tensor([0]))
    assert weights[:, 0].tolist() == pytest.approx([2 / 3, 1 / 3])
    told = strategies.get("ca_mkd")(panel(logits, torch.tensor([0])), chance())
    assert told[0].tolist() == pytest.approx([2 / 3 * 0.5 + 1 / 3 * 0.25, 2 / 3 * 0.5 + 1 / 3 * 0.75])


def test_confidence_weights_of_three_teachers_by_hand() -> None:
    logits = torch.tensor([[[0.5, 0.5]], [[0.25, 0.75]], [[0.125, 0.875]]]).log()  # exp(CE): 2, 4, 8 of 14
    weights = strategies.confidence_weights(logits, torch.tensor([0]))
    assert weights[:, 0].tolist() == pytest.approx([(1 - 2 / 14) / 2, (1 - 4 / 14) / 2, (1 - 8 / 14) / 2])


@given(st.integers(2, 5), st.integers(2, 4), st.floats(0.1, 60.0), st.integers(0, 2**16))
def test_confidence_weights_sum_to_one(teachers: int, labels: int, scale: float, seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(teachers, 7, labels, generator=chance)
    gold = torch.randint(labels, (7,), generator=chance)
    weights = strategies.confidence_weights(logits, gold)
    assert torch.allclose(weights.sum(dim=0), torch.ones(7))
    assert bool((weights >= 0).all())


@given(st.sampled_from(STRATEGIES), st.floats(0.5, 4.0), st.integers(0, 2**16))
def test_every_strategy_tells_distributions(name: str, temperature: float, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    logits, gold = torch.randn(3, 9, 4, generator=source), torch.randint(4, (9,), generator=source)
    one = panel(logits, gold, Expertise.of(logits, gold), temperature)
    told = strategies.get(name)(one, chance())
    assert told.shape == (9, 4)
    assert bool((told >= 0).all())
    assert torch.allclose(told.sum(dim=-1), torch.ones(9))
