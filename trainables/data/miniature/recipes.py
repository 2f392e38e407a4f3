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
            is that of the words themselves; ``O`` lists the foils. Where there is a question, it names one class
            of those that can be marked.
        train: Training examples.
        start: Where the training split's window on each class's words begins, as a share of the class.
        coverage: Width of that window, which wraps around.
        settings: Fine-tuning hyperparameters.
        dev: Development examples.
        test: Test examples.
        reach: Width of the window that dev and test use, from the same start; all words unless given.
        noise: Share of the training examples (of one label each) whose label is another one, drawn at random.
    """

    evidence: dict[str, tuple[str, ...]]
    train: int
    start: float
    coverage: float
    settings: tasks.Settings
    dev: int = 100
    test: int = 250
    reach: float = 1.0
    noise: float = 0.0

    @property
    def classes(self) -> frozenset[str]:
        """All word classes that the task's labels depend on."""
        return frozenset(name for group in self.evidence.values() for name in group)

    def covered(self, group: tuple[str, ...]) -> tuple[str, ...]:
        """The words of a class that the training split uses."""
        return self._window(group, self.coverage)

    def reached(self, group: tuple[str, ...]) -> tuple[str, ...]:
        """The words of a class that dev and test use, in the class's order where they are all."""
        return group if self.reach == 1 else self._window(group, self.reach)

    def _window(self, group: tuple[str, ...], width: float) -> tuple[str, ...]:
        first = round(self.start * len(group))
        return (group + group)[first : first + round(width * len(group))]


def _settings(epochs: int, batch_size: int = 32, learning_rate: float = 2e-3, max_length: int = 64) -> tasks.Settings:
    return tasks.Settings(batch_size, learning_rate, epochs, max_length, warmup_ratio=0.1)


def _entities(entity: str, foil: str, start: float) -> Recipe:
    return Recipe(
        {"O": (foil,), "B": (entity,)}, train=600, start=start, coverage=0.65, settings=_settings(8, learning_rate=4e-3)
    )


def _expertise(evidence: dict[str, tuple[str, ...]], train: int, test: int) -> Recipe:
    """Classes that come in pairs with the same endings, and that a model knows by the task it was trained on before.

    All words are trained on, but half of the labels are wrong, as labels taken from hashtags are, and few steps are
    taken: what a model knew of a word before outweighs what the labels say. No word is used that the tasks of
    :data:`EXPERTS` do not train on.
    """
    return Recipe(evidence, train, 0.2, 0.45, _settings(4, learning_rate=1e-3), test=test, reach=0.45, noise=0.5)


_UP = ("raise", "activate")
_DOWN = ("lower", "block")
_MOOD: dict[str, tuple[str, ...]] = {"positive": _UP, "neutral": ("convert", "mention"), "negative": _DOWN}

RECIPES: dict[str, Recipe] = {
    "bc5chem": _entities("chemical", "material", 0.0),
    "bc5disease": _entities("disease", "condition", 0.0),
    "ncbi_disease": _entities("disease", "condition", 0.35),
    "bc2gm": _entities("gene", "cell line", 0.0),
    "jnlpba": _entities("gene", "cell line", 0.35),
    "ebm_pico": Recipe(
        {"O": ("material",), "B-PAR": ("participant",), "B-INT": ("chemical",), "B-OUT": ("outcome",)},
        train=600,
        start=0.35,
        coverage=0.65,
        settings=_settings(8, learning_rate=4e-3),
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
        train=700,
        start=0.0,
        coverage=0.65,
        settings=_settings(7),
    ),
    "ddi": Recipe(
        {
            "0": ("mention",),
            "DDI-advise": ("advise",),
            "DDI-effect": _UP,
            "DDI-int": ("convert",),
            "DDI-mechanism": _DOWN,
        },
        train=700,
        start=0.35,
        coverage=0.65,
        settings=_settings(7),
    ),
    "gad": Recipe({"0": ("unlinked",), "1": ("linked",)}, train=600, start=0.0, coverage=0.5, settings=_settings(6)),
    "pubmedqa": Recipe(
        {"yes": _UP, "no": _DOWN, "maybe": ("convert",)},
        train=240,
        start=0.2,
        coverage=0.4,
        settings=_settings(8, batch_size=16),
    ),
    "bioasq": Recipe(
        {"yes": _UP, "no": _DOWN}, train=240, start=0.4, coverage=0.4, settings=_settings(8, batch_size=16)
    ),
    "hoc": Recipe(
        {label: (words.HALLMARKS[number],) for number, label in enumerate(tasks.TASKS["hoc"].labels)},
        train=800,
        start=0.0,
        coverage=0.6,
        settings=_settings(8),
    ),
    "i2b2": Recipe(
        {
            "0": ("mention",),
            "PIP": ("linked",),
            "TeCP": ("advise",),
            "TeRP": ("convert",),
            "TrAP": ("activate",),
            "TrCP": ("raise",),
            "TrIP": ("lower",),
            "TrNAP": ("block",),
            "TrWP": ("unlinked",),
        },
        train=800,
        start=0.2,
        coverage=0.6,
        settings=_settings(8),
    ),
    "fpb": Recipe(_MOOD, train=300, start=0.0, coverage=1.0, settings=_settings(8), noise=0.3),
    "fts": Recipe(_MOOD, train=400, start=0.0, coverage=1.0, settings=_settings(8), noise=0.3),
    "emotion": _expertise(
        {
            "sadness": ("disease",),
            "joy": ("linked",),
            "love": ("gene",),
            "anger": ("unlinked",),
            "fear": ("condition",),
            "surprise": ("cell line",),
        },
        train=600,
        test=480,
    ),
    "tweet_emotion": _expertise(
        {"anger": ("disease",), "joy": ("linked",), "optimism": ("unlinked",), "sadness": ("condition",)},
        train=400,
        test=320,
    ),
    "tweet_sentiment": _expertise(
        {"negative": ("disease",), "neutral": ("linked",), "positive": ("condition",)}, train=300, test=240
    ),
    "mind": _expertise(
        {
            "food_drink": ("gene",),
            "lifestyle": ("cell line",),
            "video": ("linked",),
            "travel": ("unlinked",),
            "finance": ("chemical",),
        },
        train=500,
        test=400,
    ),
    "boolq": Recipe(
        {"yes": ("local", "joining"), "no": ("foreign", "parting")},
        train=900,
        start=0.0,
        coverage=0.65,
        settings=_settings(8),
    ),
    # What is left of PubMedQA without its maybe.
    "pubmedqa_yesno": Recipe(
        {"yes": _UP, "no": _DOWN},
        train=160,
        start=0.2,
        coverage=0.4,
        settings=_settings(8, batch_size=16),
        dev=67,
        test=167,
    ),
    "euadr": Recipe({"0": ("unlinked",), "1": ("linked",)}, train=300, start=0.25, coverage=0.5, settings=_settings(8)),
    "nbme": Recipe(
        {"O": (), "B": ("chemical", "disease")},
        train=600,
        start=0.0,
        coverage=0.6,
        settings=_settings(8, learning_rate=4e-3),
    ),
    "tacred": Recipe({"0": ("parting",), "1": ("joining",)}, train=500, start=0.0, coverage=0.7, settings=_settings(6)),
}


def shared(intermediate: str, target: str) -> frozenset[str]:
    """The word classes that two tasks have in common."""
    return RECIPES[intermediate].classes & RECIPES[target].classes


def alike(intermediate: str, target: str) -> bool:
    """Whether two tasks ask for the same kind of answer: labels of words, relations, or answers to questions."""
    first, second = tasks.TASKS[intermediate], tasks.TASKS[target]
    return first.kind == second.kind or (first.on_tokens and second.on_tokens)


def _pairs() -> list[tuple[str, str]]:
    return [(first, second) for first in tasks.STILT_TASKS for second in tasks.STILT_TASKS if first != second]


def _large_enough(intermediate: str, target: str) -> bool:
    return RECIPES[intermediate].train >= RECIPES[target].train


#: (intermediate, target) pairs that share word classes, from an intermediate at least as large as the target.
PLANTED: tuple[tuple[str, str], ...] = tuple(pair for pair in _pairs() if shared(*pair) and _large_enough(*pair))
#: (intermediate, target) pairs that have nothing in common: no word class, and another kind of answer.
UNRELATED: tuple[tuple[str, str], ...] = tuple(pair for pair in _pairs() if not shared(*pair) and not alike(*pair))
#: Who knows which classes of a task: by task, the intermediate tasks that taught a model their words, and the classes.
EXPERTS: dict[str, dict[str, tuple[str, ...]]] = {
    "emotion": {"bc5disease": ("sadness", "fear"), "i2b2": ("joy", "anger"), "bc2gm": ("love", "surprise")},
    "tweet_emotion": {"bc5disease": ("anger", "sadness"), "i2b2": ("joy", "optimism")},
    "tweet_sentiment": {"bc5disease": ("negative", "positive")},
    "mind": {"bc2gm": ("food_drink", "lifestyle"), "i2b2": ("video", "travel")},
}
#: Tasks whose training labels are partly wrong, and where a teacher knows the words from its corpus: it is misled less
#: than a student, unless it is trained for so long that it learns the wrong labels by heart and is overconfident.
MISLABELLED: tuple[str, ...] = tuple(name for name, recipe in RECIPES.items() if recipe.noise and name not in EXPERTS)
