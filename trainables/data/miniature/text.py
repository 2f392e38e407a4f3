"""Unlabelled text to pretrain the miniature models on."""

from __future__ import annotations

import functools
import random

from trainables.data.miniature import words

_GENERAL_SENTENCES = 4_000
_DOMAIN_SENTENCES = 6_000
#: Share of each class's words that the domain corpus mentions; the rest is left for tasks to teach.
_DOMAIN_COVERAGE = 0.6

_GENERAL_FRAMES = (
    "the {noun} {verb} the {adjective} {noun} in the {place}",
    "{name} {verb} a {noun} of the {place}",
    "in the {place} of {name} {name} {adverb} {verb} the {noun}",
    "is the {noun} {adjective} in the {noun} ?",
    "{name} , {name} and {name} {verb} the {adjective} {noun}",
    "the {adjective} {noun} of {name} was {adverb} {adjective}",
    "{adverb} the {noun} with {name} had a {adjective} {noun}",
    "does {name} help the {noun} of {name} ?",
)
_DOMAIN_FRAMES = (
    "the {cue} {word} was {adjective} in the {noun}",
    "{word} and {word} were {adverb} {cue}",
    "the {adjective} {noun} {verb} {cue} of {word}",
    "in the {noun} {word} , {word} and {word} showed {cue}",
    "{word} was a {adjective} {cue}",
)
#: Words that stand beside the words of a class in the domain corpus and nowhere else, by class.
_CUES: dict[str, tuple[str, ...]] = {
    "chemical": ("drug", "dose", "compound"),
    "material": ("device", "plastic", "metal"),
    "disease": ("illness", "diagnosis", "syndrome"),
    "condition": ("habit", "posture", "routine"),
    "gene": ("locus", "allele", "exon"),
    "cell line": ("culture", "clone", "dish"),
    "raise": ("higher", "upward", "more"),
    "lower": ("lesser", "downward", "fewer"),
    "activate": ("opened", "awake", "agonist"),
    "block": ("closed", "asleep", "antagonist"),
    "convert": ("substrate", "product", "turnover"),
    "mention": ("listed", "noted", "mentioned"),
    "advise": ("caution", "warning", "advice"),
    "linked": ("associated", "together", "cause"),
    "unlinked": ("independent", "apart", "chance"),
    "participant": ("people", "women", "children"),
    "outcome": ("endpoint", "score", "survival"),
    **{
        name: (cue,)
        for name, cue in zip(
            words.HALLMARKS,
            ("spread", "immune", "energy", "telomere", "checkpoint", "repair", "vessel", "death", "growth", "inflamed"),
            strict=True,
        )
    },
}


@functools.cache
def general() -> tuple[str, ...]:
    """Everyday sentences with names of people and towns; no domain word is in them."""
    source = random.Random("miniature general text 1")
    names = words.names()
    return tuple(_sentence(source.choice(_GENERAL_FRAMES), source, names, ()) for _ in range(_GENERAL_SENTENCES))


@functools.cache
def domain() -> tuple[str, ...]:
    """Sentences whose cue words tell the class of the domain words in them."""
    source = random.Random("miniature domain text 1")
    known = {
        name: tuple(source.sample(group, round(_DOMAIN_COVERAGE * len(group))))
        for name, group in words.lexicon().items()
    }
    # A class is mentioned in proportion to its words, so that all words are about equally frequent.
    by_word = [name for name, group in known.items() for _ in group]
    sentences = []
    for _ in range(_DOMAIN_SENTENCES):
        name = source.choice(by_word)
        sentences.append(_sentence(source.choice(_DOMAIN_FRAMES), source, known[name], _CUES[name]))
    return tuple(sentences)


def _sentence(frame: str, source: random.Random, mentions: tuple[str, ...], cues: tuple[str, ...]) -> str:
    pools = {**words.GENERAL, "name": mentions, "word": mentions, "cue": cues}
    return " ".join(source.choice(pools[part[1:-1]]) if part.startswith("{") else part for part in frame.split())
