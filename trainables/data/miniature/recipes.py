"""What each miniature task is made of: its word classes by label, sizes, coverage and settings."""

from __future__ import annotations

import dataclasses

from trainables.data import tasks
from trainables.data.miniature import words


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a task's examples are made.

    Attributes:
        evidence: For each label the word classes that show it. Token tasks: the label (``B``, ``B-PAR``, ...)
            is that of the words themselves; ``O`` lists the foils.
        train: Training examples.
        coverage: Share of each class's words that the training split uses; dev and test use all of them.
        settings: Fine-tuning hyperparameters.
        dev: Development examples.
        test: Test examples.
    """

    evidence: dict[str, tuple[str, ...]]
    train: int
    coverage: float
    settings: tasks.Settings
    dev: int = 100
    test: int = 250

    @property
    def classes(self) -> frozenset[str]:
        """All word classes that the task's labels depend on."""
        return frozenset(name for group in self.evidence.values() for name in group)


def _settings(epochs: int, batch_size: int = 32, learning_rate: float = 2e-3, max_length: int = 64) -> tasks.Settings:
    return tasks.Settings(batch_size, learning_rate, epochs, max_length, warmup_ratio=0.1)


def _entities(entity: str, foil: str) -> Recipe:
    return Recipe({"O": (foil,), "B": (entity,)}, train=600, coverage=0.6, settings=_settings(6))


_UP = ("raise", "activate")
_DOWN = ("lower", "block")

RECIPES: dict[str, Recipe] = {
    "bc5chem": _entities("chemical", "material"),
    "bc5disease": _entities("disease", "condition"),
    "ncbi_disease": _entities("disease", "condition"),
    "bc2gm": _entities("gene", "cell line"),
    "jnlpba": _entities("gene", "cell line"),
    "ebm_pico": Recipe(
        {"O": ("material",), "B-PAR": ("participant",), "B-INT": ("chemical",), "B-OUT": ("outcome",)},
        train=600,
        coverage=0.6,
        settings=_settings(6),
    ),
    "chemprot": Recipe(
        {
            "0": ("mention",),
            "CPR:3": ("raise",),
            "CPR:4": ("lower",),
            "CPR:5": ("activate",),
            "CPR:6": ("block",),
            "CPR:9": ("convert",),
        },
        train=900,
        coverage=0.75,
        settings=_settings(6),
    ),
    "ddi": Recipe(
        {
            "0": ("mention",),
            "DDI-advise": ("advise",),
            "DDI-effect": _UP,
            "DDI-int": ("convert",),
            "DDI-mechanism": _DOWN,
        },
        train=900,
        coverage=0.75,
        settings=_settings(6),
    ),
    "gad": Recipe({"0": ("unlinked",), "1": ("linked",)}, train=600, coverage=0.6, settings=_settings(6)),
    "pubmedqa": Recipe(
        {"yes": _UP, "no": _DOWN, "maybe": ("convert",)}, train=240, coverage=0.5, settings=_settings(12, batch_size=16)
    ),
    "bioasq": Recipe({"yes": _UP, "no": _DOWN}, train=240, coverage=0.5, settings=_settings(12, batch_size=16)),
    "hoc": Recipe(
        {label: (words.HALLMARKS[number],) for number, label in enumerate(tasks.TASKS["hoc"].labels)},
        train=600,
        coverage=0.7,
        settings=_settings(8),
    ),
}

_TWO_QUESTIONS = ("pubmedqa", "bioasq")


def shared(intermediate: str, target: str) -> frozenset[str]:
    """The word classes that two tasks have in common."""
    return RECIPES[intermediate].classes & RECIPES[target].classes


def _pairs() -> list[tuple[str, str]]:
    return [(first, second) for first in tasks.STILT_TASKS for second in tasks.STILT_TASKS if first != second]


def _too_small(intermediate: str, target: str) -> bool:
    return RECIPES[intermediate].train < RECIPES[target].train


#: (intermediate, target) pairs that share word classes, from an intermediate at least as large as the target.
PLANTED: tuple[tuple[str, str], ...] = tuple(pair for pair in _pairs() if shared(*pair) and not _too_small(*pair))
#: (intermediate, target) pairs that have no word class in common.
UNRELATED: tuple[tuple[str, str], ...] = tuple(pair for pair in _pairs() if not shared(*pair))
