"""The invented language: general words, and the lexicon of domain words with their latent classes.

Domain words are two syllables and an ending. The endings look like those of biomedical English (``-itis``,
``-azole``) but tell nothing of the class: every class has a foil with the same endings (``disease`` and
``condition``), so what a word means must be learned word by word, and that is what tasks can share.
"""

from __future__ import annotations

import functools
import random
from types import MappingProxyType

from trainables.data import tasks

_ONSETS = (
    "b",
    "br",
    "c",
    "cl",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gl",
    "k",
    "l",
    "m",
    "n",
    "p",
    "pl",
    "r",
    "s",
    "t",
    "v",
    "z",
)
_VOWELS = ("a", "e", "i", "o", "u")
_CODAS = ("", "", "l", "m", "n", "r", "x")

_CHEMICAL = ("ine", "ol", "ide", "azole", "amab")
_DISEASE = ("itis", "osis", "oma", "emia", "pathy")
_GENE = ("1", "2", "3", "4", "5")
_VERB = ("ated", "ized", "ified")
_NOUN = ("ance", "ency", "ship")

HALLMARKS = tuple(f"hallmark {number}" for number in range(len(tasks.TASKS["hoc"].labels)))

#: Word classes: how many words and which endings.
_CLASSES: dict[str, tuple[int, tuple[str, ...]]] = {
    "chemical": (40, _CHEMICAL),
    "material": (40, _CHEMICAL),
    "disease": (40, _DISEASE),
    "condition": (40, _DISEASE),
    "gene": (40, _GENE),
    "cell line": (40, _GENE),
    "raise": (12, _VERB),
    "lower": (12, _VERB),
    "activate": (12, _VERB),
    "block": (12, _VERB),
    "convert": (12, _VERB),
    "mention": (12, _VERB),
    "advise": (12, _VERB),
    "linked": (30, _NOUN),
    "unlinked": (30, _NOUN),
    "participant": (24, ("ers", "ants")),
    "outcome": (24, ("ness", "ity")),
    **dict.fromkeys(HALLMARKS, (8, ("ion", "al", "ive"))),
}

#: Names in each of the two classes of names.
_OF_NAMES = 60


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


#: General words by part of speech: both corpora and all tasks use them, and no label depends on them.
GENERAL: dict[str, tuple[str, ...]] = {
    "noun": _listed(
        "study group case report result test level work year model role part number form line time area side "
        "class team sample record method value point"
    ),
    "verb": _listed("showed found had gave made kept used saw met held took left read sent built moved named tested"),
    "adjective": _listed(
        "new old large small early late high low common rare first second clear major minor normal strong weak"
    ),
    "adverb": _listed("often also again still only later here there mostly always never partly"),
    "number": _listed("11 12 23 24 31 35 42 45 53 54"),
    "place": _listed("city river house school market garden forest island street harbour village station"),
}


def syllable(source: random.Random) -> str:
    """One syllable of the invented language."""
    return source.choice(_ONSETS) + source.choice(_VOWELS) + source.choice(_CODAS)


@functools.cache
def lexicon() -> MappingProxyType[str, tuple[str, ...]]:
    """The domain words of every class; no word is in two classes."""
    source = random.Random("miniature lexicon 1")
    taken: set[str] = set()
    classes = {}
    for name, (size, endings) in _CLASSES.items():
        words: list[str] = []
        while len(words) < size:
            word = syllable(source) + syllable(source) + endings[len(words) % len(endings)]
            if word not in taken:
                taken.add(word)
                words.append(word)
        classes[name] = tuple(words)
    return MappingProxyType(classes)


@functools.cache
def classes() -> MappingProxyType[str, tuple[str, ...]]:
    """All words that labels depend on, by class: the lexicon, and classes of general words.

    ``local`` and ``foreign`` are names, ``joining`` and ``parting`` verbs. They mean something in the tasks about
    general text alone; whoever else uses these words chooses among all of them.
    """
    verbs, half = GENERAL["verb"], len(GENERAL["verb"]) // 2
    general = {
        "local": names()[0 : 2 * _OF_NAMES : 2],
        "foreign": names()[1 : 2 * _OF_NAMES : 2],
        "joining": verbs[:half],
        "parting": verbs[half:],
    }
    return MappingProxyType({**lexicon(), **general})


def others() -> tuple[str, ...]:
    """The names that no label depends on."""
    return names()[2 * _OF_NAMES :]


@functools.cache
def names() -> tuple[str, ...]:
    """Names of people and towns, which only general text mentions.

    They are plain syllables, so that a vocabulary trained on general text has the pieces to spell domain words with.
    """
    source = random.Random("miniature names 1")
    return tuple(sorted({syllable(source) + syllable(source) for _ in range(600)}))
