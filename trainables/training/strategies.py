"""How a student is told what several teachers say: a registry of strategies.

A strategy turns the teachers' logits into one distribution over labels per unit (an example, or a word where words are
labelled). One more is a function with :func:`strategy` above it, and its name in
:data:`trainables.stages.multi_teacher.STRATEGIES`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Expertise:
    """How good teachers are, on a split that they were not trained on.

    Attributes:
        accuracy: Share of its units that each gets right ``[teachers]``.
        class_accuracy: The same of the units of each class ``[teachers, labels]``; 0 for a class without units, at
            which no teacher has shown anything: its expert is the most accurate one.
    """

    accuracy: Tensor
    class_accuracy: Tensor

    @classmethod
    def of(cls, logits: Tensor, gold: Tensor) -> Expertise:
        """Measures it.

        Args:
            logits: ``[teachers, units, labels]``.
            gold: Label indices ``[units]``.
        """
        right = (logits.argmax(dim=-1) == gold).double()
        labels = torch.nn.functional.one_hot(gold, logits.shape[-1]).double()
        return cls(right.sum(dim=1) / max(1, len(gold)), (right @ labels) / labels.sum(dim=0).clamp(min=1))

    @property
    def ranking(self) -> Tensor:
        """The teachers' numbers, the most accurate first; equals keep their order ``[teachers]``."""
        return torch.argsort(self.accuracy, descending=True, stable=True)

    @property
    def best(self) -> int:
        """The most accurate teacher."""
        return int(self.ranking[0])

    @property
    def experts(self) -> Tensor:
        """For each class the teacher that is best at it ``[labels]``; of equals the one that ranks higher.

        The thesis takes any of equals at random (section 4.5).
        """
        return self.ranking[self.class_accuracy[self.ranking].argmax(dim=0)]


@dataclasses.dataclass(frozen=True)
class Panel:
    """What is known of several teachers and the units that a student learns from.

    Attributes:
        logits: ``[teachers, units, labels]``, float32.
        gold: Label indices ``[units]``.
        expertise: How good each teacher is.
        temperature: Of their distributions.
    """

    logits: Tensor
    gold: Tensor
    expertise: Expertise
    temperature: float = 1.0

    def say(self, logits: Tensor) -> Tensor:
        """Probabilities of logits at the panel's temperature."""
        return (logits / self.temperature).softmax(dim=-1)

    def followed(self, teacher: Tensor) -> Tensor:
        """The distributions of one teacher per unit.

        Args:
            teacher: Its number ``[units]``.
        """
        return self.say(self.logits[teacher, torch.arange(len(teacher))])


#: Gives probabilities ``[units, labels]``; asked once per epoch, with a source of chance of that epoch.
Strategy: TypeAlias = Callable[[Panel, torch.Generator], Tensor]

_STRATEGIES: dict[str, Strategy] = {}


def strategy(name: str) -> Callable[[Strategy], Strategy]:
    """Registers a function under a name."""

    def register(function: Strategy) -> Strategy:
        if name in _STRATEGIES:
            raise ValueError(f"strategy {name!r} is registered twice")
        _STRATEGIES[name] = function
        return function

    return register


def get(name: str) -> Strategy:
    """A strategy by its name."""
    return _STRATEGIES[name]


def names() -> tuple[str, ...]:
    """All that are registered."""
    return tuple(_STRATEGIES)


@strategy("expertise")
def expertise(panel: Panel, chance: torch.Generator) -> Tensor:
    """The teacher whose hard prediction is a class that it is best at (Hossain 2022, section 4.7).

    Where several teachers do that the most accurate of all teachers is followed, as the thesis says; where none does,
    which it does not cover, that teacher too.
    """
    return panel.followed(chosen_by_expertise(panel.logits.argmax(dim=-1), panel.expertise))


def chosen_by_expertise(predicted: Tensor, known: Expertise) -> Tensor:
    """Which teacher is followed.

    Args:
        predicted: Each teacher's hard predictions ``[teachers, units]``.
        known: How good each teacher is.

    Returns:
        A teacher's number per unit ``[units]``.
    """
    teachers = torch.arange(len(predicted))[:, None]
    in_its_class = known.experts[predicted] == teachers
    return torch.where(in_its_class.sum(dim=0) == 1, in_its_class.int().argmax(dim=0), known.best)


@strategy("average_logits")
def average_logits(panel: Panel, chance: torch.Generator) -> Tensor:
    """The mean of all teachers' logits (section 4.8)."""
    return panel.say(panel.logits.mean(dim=0))


@strategy("random_teacher")
def random_teacher(panel: Panel, chance: torch.Generator) -> Tensor:
    """A teacher drawn anew for every unit in every epoch (section 4.9)."""
    teachers, units, _ = panel.logits.shape
    return panel.followed(torch.randint(teachers, (units,), generator=chance))


@strategy("ca_mkd")
def ca_mkd(panel: Panel, chance: torch.Generator) -> Tensor:
    """The mean of all teachers' distributions, weighted by their confidence in the gold label (Zhang et al. 2022).

    The weighted sum of the cross-entropies against each teacher is the cross-entropy against this mean.
    """
    weights = confidence_weights(panel.logits, panel.gold)
    return (weights[:, :, None] * panel.say(panel.logits)).sum(dim=0)


def confidence_weights(logits: Tensor, gold: Tensor) -> Tensor:
    """CA-MKD's weights of teachers, unit by unit: (1 - exp(CE_k) / sum_j exp(CE_j)) / (K - 1).

    Args:
        logits: ``[teachers, units, labels]`` of at least two teachers.
        gold: Label indices ``[units]``.

    Returns:
        ``[teachers, units]``; they sum to 1 over teachers.
    """
    wrong = -logits.log_softmax(dim=-1).gather(2, gold.expand(len(logits), -1)[:, :, None])[:, :, 0]
    return (1 - wrong.softmax(dim=0)) / (len(logits) - 1)


@strategy("best_teacher")
def best_teacher(panel: Panel, chance: torch.Generator) -> Tensor:
    """The most accurate teacher alone."""
    return panel.say(panel.logits[panel.expertise.best])
