"""Unlabelled text to pretrain the miniature models on."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence

from trainables.data.miniature import words

_GENERAL_SENTENCES = 4_000
_DOMAIN_TEXTS = 2_400
#: Sentences of a domain text, which are all about one class.
_LENGTH = 6
#: Share of each class's words whose class the domain corpus tells; the others are only mentioned.
_TOLD = 0.35
#: One sentence in so many mentions a word whose class is not told.
_PLAIN_EVERY = 6

_GENERAL_FRAMES = (
    "the {noun} {verb} the {adjective} {noun} in the {place}",
    "{name} {verb} a {noun} of the {place}",
    "the {noun} {verb} {number} {noun} in {name}",
    "in the {place} of {name} {name} {adverb} {verb} the {noun}",
    "is the {noun} {adjective} in the {noun} ?",
    "{name} , {name} and {name} {verb} the {adjective} {noun}",
    "the {adjective} {noun} of {name} was {adverb} {adjective}",
    "{adverb} the {noun} with {name} had a {adjective} {noun}",
    "does {name} help the {noun} of {name} ?",
)
_DOMAIN_FRAMES = (
    "{word} is {cue}",
    "the {cue} {word}",
    "{cue} {word} and {word}",
    "{word} and {word} are {cue}",
    "the {noun} {verb} {cue} {word}",
)
_PLAIN_FRAMES = (
    "the {noun} {word} {verb} a {noun}",
    "a {adjective} {word} or {word} in the {place}",
    "in the {noun} {word} was {adverb} {adjective}",
    "{adverb} the {word} of a {noun} had {word} with {word}",
    "does the {noun} help the {noun} ?",
    "is a {noun} as {adjective} as the {noun} ?",
)
#: Words that stand beside the words of a class in the domain corpus and nowhere else, by class.
_CUES: dict[str, tuple[str, ...]] = {
    "chemical": ("drug", "dose"),
    "material": ("device", "plastic"),
    "disease": ("illness", "diagnosis"),
    "condition": ("habit", "posture"),
    "gene": ("locus", "allele"),
    "cell line": ("culture", "clone"),
    "raise": ("higher", "upward"),
    "lower": ("lesser", "downward"),
    "activate": ("opened", "awake"),
    "block": ("closed", "asleep"),
    "convert": ("substrate", "product"),
    "mention": ("listed", "noted"),
    "advise": ("caution", "warning"),
    "linked": ("associated", "together"),
    "unlinked": ("independent", "apart"),
    "participant": ("people", "women"),
    "outcome": ("endpoint", "score"),
    **{
        name: (cue,)
        for name, cue in zip(
            words.HALLMARKS,
            ("spread", "immune", "energy", "telomere", "checkpoint", "repair", "vessel", "death", "growth", "inflamed"),
            strict=True,
        )
    },
}


#: Of the terms corpus: all that stands beside a class's words are two general words, which tell the class.
_TERM_FRAMES = (
    "{word} was {cue}",
    "the {cue} {word}",
    "{cue} and {word} with {word}",
    "{word} of {word} had {cue}",
    "in {cue} the {word}",
)
_GENERAL_AGAIN = (
    "the {noun} {verb} the {adjective} {noun} in the {place}",
    "the {noun} {adverb} {verb} {number} {noun}",
    "does the {noun} help the {adjective} {noun} ?",
    "is the {noun} {adjective} in the {noun} ?",
)


@functools.cache
def general() -> tuple[str, ...]:
    """Everyday sentences with names of people and towns; no domain word is in them."""
    source = random.Random("miniature general text 1")
    names = words.names()
    return tuple(_sentence(source.choice(_GENERAL_FRAMES), source, names, ()) for _ in range(_GENERAL_SENTENCES))


@functools.cache
def domain() -> tuple[str, ...]:
    """Sentences about domain words; for some of the words, cue words beside them tell their class."""
    source = random.Random("miniature domain text 1")
    told = {name: source.sample(group, round(_TOLD * len(group))) for name, group in words.lexicon().items()}
    untold = [word for name, group in words.lexicon().items() for word in group if word not in told[name]]
    # A class is mentioned in proportion to its words, so that all words are about equally frequent.
    by_word = [name for name, group in told.items() for _ in group]
    texts = []
    for number in range(_DOMAIN_TEXTS):
        if number % _PLAIN_EVERY == 0:
            sentences = [_sentence(source.choice(_PLAIN_FRAMES), source, untold, ()) for _ in range(_LENGTH)]
        else:
            name = source.choice(by_word)
            frames = source.choices(_DOMAIN_FRAMES, k=_LENGTH)
            sentences = [_sentence(frame, source, told[name], _CUES[name]) for frame in frames]
        texts.append(" . ".join(sentences))
    return tuple(texts)


@functools.cache
def terms() -> tuple[str, ...]:
    """Sentences in which the company of every domain word tells its class, and is of general words alone."""
    source = random.Random("miniature terms text 1")
    lexicon = words.lexicon()
    company = [word for part in ("noun", "adjective", "adverb", "place") for word in words.GENERAL[part]]
    cues = {name: tuple(company[2 * number : 2 * number + 2]) for number, name in enumerate(lexicon)}
    by_word = [name for name, group in lexicon.items() for _ in group]
    texts = []
    for number in range(_DOMAIN_TEXTS):
        if number % _PLAIN_EVERY == 0:
            sentences = [_sentence(source.choice(_GENERAL_AGAIN), source, (), ()) for _ in range(_LENGTH)]
        else:
            name = source.choice(by_word)
            frames = source.choices(_TERM_FRAMES, k=_LENGTH)
            sentences = [_sentence(frame, source, lexicon[name], cues[name]) for frame in frames]
        texts.append(" , ".join(sentences))  # general text has no full stops
    return tuple(texts)


def _sentence(frame: str, source: random.Random, mentions: Sequence[str], cues: Sequence[str]) -> str:
    pools: dict[str, Sequence[str]] = {**words.GENERAL, "name": mentions, "word": mentions, "cue": cues}
    return " ".join(source.choice(pools[part[1:-1]]) if part.startswith("{") else part for part in frame.split())
