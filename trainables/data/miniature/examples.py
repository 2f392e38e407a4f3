"""Makes a miniature task's examples from its recipe."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

from trainables.data import tasks
from trainables.data.examples import Example, Splits, TextExample, TokenExample
from trainables.data.miniature import words
from trainables.data.miniature.recipes import RECIPES, Recipe

# A field is a part of speech of the general words, or one of: word (what the label depends on), first and second (the
# entity markers of a relation), name (one that no label depends on). Contexts are the same whatever the label.
_TOKEN_FRAMES = (
    "the {adjective} {noun} {verb} {word} and {word} {adverb}",
    "{word} was {adverb} in the {noun} of {word}",
    "in the {noun} {word} , {word} and {word} were {adjective}",
    "{word} {verb} a {adjective} {noun} with {word}",
    "the {noun} of {word} {verb} {word} in the {place}",
    "{adverb} {word} with {word} had a {adjective} {noun}",
)
_RELATION_FRAMES = (
    "{first} {word} and {word} {second} in the {noun}",
    "{first} {adverb} {word} or {word} the {noun} of {second}",
    "the {noun} {word} as {first} {word} {second}",
    "{first} was {word} and {second} was {word} {adverb}",
    "the {adjective} {first} {word} {word} {second}",
)
_ASSOCIATION_FRAMES = (
    "{first} had {word} with {second} in {word}",
    "the {noun} {verb} {word} and {word} of {first} and {second}",
    "the {word} of {first} in {second} was {adjective} {word}",
    "a {noun} of {first} and {second} in {word} or {word}",
)
_QUESTION_FRAMES = (
    "is the {noun} {adjective} ?",
    "does the {noun} help the {noun} ?",
    "is a {noun} {adverb} {adjective} ?",
)
_PASSAGE_FRAMES = (
    "the {noun} {word} and {word} the {noun}",
    "in the {noun} {word} the {noun} {adverb} {word}",
    "the {adjective} {noun} {word} and {noun} {word}",
)
_SENTIMENT_FRAMES = (
    "the {noun} of the {place} {word} {adverb}",
    "{adverb} {word} the {noun} and {word} a {adjective} {noun}",
    "the {adjective} {noun} {word} the {noun} {adverb}",
    "in the {place} the {noun} {word} or {word} a {noun}",
)
_DOCUMENT_FRAMES = (
    "the {noun} {verb} the {word} of {word}",
    "{word} was {word} in the {noun}",
    "a {word} {word} {verb} the {noun}",
)
# Of the tasks with several classes: their words are of any part of speech.
_CLASS_FRAMES = (
    "the {noun} {word} in the {place}",
    "{adverb} {word} or a {adjective} {noun} {word}",
    "a {noun} and {word} of the {adjective} {noun}",
    "{word} the {noun} {word} {adverb}",
)
# About general text: passages about somebody, with names where other tasks have domain words, and long ones without.
_PERSON_FRAMES = (
    "the {noun} {word} and {name} the {noun} {name}",
    "in the {place} {name} , {word} and {name} {adverb}",
    "{name} the {adjective} {noun} {word} and {name}",
)
_EVENT_FRAME = "the {noun} {word} a {noun} in the {adjective} {place}"
_BACKGROUND_FRAMES = (
    "the {adjective} {noun} of the {place} was {adverb} {adjective}",
    "in the {place} the {noun} and the {noun} were {adjective}",
    "a {noun} with a {adjective} {noun} was {adverb} in the {place}",
)
#: Sentences of a long passage, and the first so many among which the event is; a model of 64 pieces reads no further.
_BACKGROUND, _READ = 30, 5
_GENERAL_RELATION_FRAMES = (
    "{first} {word} {name} and {second} in the {place}",
    "the {noun} of {first} {adverb} {word} the {noun} of {second}",
    "{name} and {first} {word} the {adjective} {noun} in {second}",
    "in the {place} {second} of {name} {word} {first}",
)
#: By task, else by kind.
_SENTENCE_FRAMES = {
    "relation": _RELATION_FRAMES,
    "question": _PASSAGE_FRAMES,
    "sentiment": _SENTIMENT_FRAMES,
    "gad": _ASSOCIATION_FRAMES,
    "euadr": _ASSOCIATION_FRAMES,
    "emotion": _CLASS_FRAMES,
    "tweet_emotion": _CLASS_FRAMES,
    "tweet_sentiment": _CLASS_FRAMES,
    "topic": _CLASS_FRAMES,
    "tacred": _GENERAL_RELATION_FRAMES,
}
#: How a question names a class of words: by the company that they keep in the domain corpus.
_FEATURES = {"chemical": "drug or dose", "disease": "illness or diagnosis"}
#: Share of entities among the domain words of a token task, and of domain words that follow an adjective.
_ENTITY_RATE = 0.35
_LONG_RATE = 0.3
_MARKERS = {
    "chemprot": ("@CHEMICAL$", "@GENE$"),
    "ddi": ("@DRUG$", "@DRUG$"),
    "gad": ("@GENE$", "@DISEASE$"),
    "i2b2": ("@treatment$", "@problem$"),
    "euadr": ("@GENE$", "@DISEASE$"),
    "tacred": ("@PERSON$", "@CITY$"),
}

Lexicon: TypeAlias = dict[str, tuple[str, ...]]
#: Makes the example with this id and number from a source of chance and the words that may be used. The label
#: follows from the number, so that every label comes in every split.
_Draw: TypeAlias = Callable[[str, int, random.Random, Lexicon], Example]


def generate(task: tasks.Task) -> Splits:
    """The task's three splits. Training uses the covered part of the lexicon, dev and test what the task reaches."""
    if task.dropped:
        return _without(task, tasks.prepared_as(task))
    recipe = RECIPES[task.name]
    source = random.Random(f"miniature {task.name} 1")
    lexicon = {name: words.classes()[name] for name in sorted(recipe.classes)}
    covered = {name: recipe.covered(group) for name, group in lexicon.items()}
    reached = {name: recipe.reached(group) for name, group in lexicon.items()}
    draw = _drawer(task, recipe)
    seen: set[tuple[str, ...]] = set()
    splits = {
        "train": _split("train", recipe.train, draw, source, covered, seen),
        "dev": _split("dev", recipe.dev, draw, source, reached, seen),
        "test": _split("test", recipe.test, draw, source, reached, seen),
    }
    splits["train"] = _mislabelled(task, splits["train"], recipe.noise)
    return cast(Splits, splits)


def _without(task: tasks.Task, whole: tasks.Task) -> Splits:
    """The examples of another task but those with labels that this one drops."""
    kept: dict[str, list[TextExample]] = {}
    for split, examples in generate(whole).items():
        kept[split] = []
        for example in examples:
            if isinstance(example, TextExample) and isinstance(example.label, int):
                name = whole.labels[example.label]
                if name not in task.dropped:
                    kept[split].append(dataclasses.replace(example, label=task.labels.index(name)))
    return cast(Splits, kept)


def _split(
    split: str, size: int, draw: _Draw, source: random.Random, lexicon: Lexicon, seen: set[tuple[str, ...]]
) -> list[Example]:
    """Draws examples whose text is not in ``seen``, and adds them to it."""
    examples: list[Example] = []
    while len(examples) < size:
        example = draw(f"{split}-{len(examples)}", len(examples), source, lexicon)
        text = example.tokens if isinstance(example, TokenExample) else (example.text, example.pair or "")
        if text not in seen:
            seen.add(text)
            examples.append(example)
    source.shuffle(examples)
    return examples


def _mislabelled(task: tasks.Task, examples: Sequence[Example], share: float) -> list[Example]:
    """Gives a share of examples another label, as careless annotators would."""
    source = random.Random(f"miniature noise {task.name} 1")
    wrong = set(source.sample(range(len(examples)), round(share * len(examples))))
    found: list[Example] = []
    for number, example in enumerate(examples):
        if number in wrong and isinstance(example, TextExample) and isinstance(example.label, int):
            others = [label for label in range(len(task.labels)) if label != example.label]
            example = dataclasses.replace(example, label=source.choice(others))
        found.append(example)
    return found


def _drawer(task: tasks.Task, recipe: Recipe) -> _Draw:
    if task.asked:
        return _answers(task, recipe)
    if task.on_tokens:
        return _tokens(task, recipe)
    if task.name == "boolq":
        return _general_question(task, recipe)
    if task.kind == "document":
        return _document(task, recipe)
    return _sentence(task, recipe)


def _tokens(task: tasks.Task, recipe: Recipe) -> _Draw:
    """Sentences with several domain words, some after an adjective that belongs to the mention."""
    of_class = {name: label for label, group in recipe.evidence.items() for name in group}
    entities = sorted(name for name, label in of_class.items() if label != "O")
    foils = sorted(name for name, label in of_class.items() if label == "O")
    index = {label: number for number, label in enumerate(task.labels)}

    def mention(first: bool, number: int, source: random.Random, lexicon: Lexicon) -> tuple[list[str], list[int]]:
        certain = first and number % 4 == 0
        kinds = entities if certain or source.random() < _ENTITY_RATE else foils
        name = kinds[number // 4 % len(kinds)] if certain else source.choice(kinds)
        tokens = [source.choice(lexicon[name])]
        if source.random() < _LONG_RATE:
            tokens.insert(0, source.choice(words.GENERAL["adjective"]))
        label = of_class[name]
        inside = "I" if label == "B" else label
        return tokens, [index[label]] + [index[inside]] * (len(tokens) - 1)

    def draw(identity: str, number: int, source: random.Random, lexicon: Lexicon) -> Example:
        tokens: list[str] = []
        tags: list[int] = []
        first = True
        for part in source.choice(_TOKEN_FRAMES).split():
            if part == "{word}":
                found, labels = mention(first, number, source, lexicon)
                first = False
            else:
                found = [_general(part, source)]
                labels = [index["O"]]
            tokens += found
            tags += labels
        return TokenExample(identity, tuple(tokens), tuple(tags))

    return draw


def _answers(task: tasks.Task, recipe: Recipe) -> _Draw:
    """Sentences with words of several classes, and a question that names the one whose words are to be marked."""
    classes = recipe.evidence["B"]
    outside, marked = task.labels.index("O"), task.labels.index("B")

    def draw(identity: str, number: int, source: random.Random, lexicon: Lexicon) -> Example:
        wanted = classes[number % len(classes)]
        tokens: list[str] = []
        tags: list[int] = []
        for part in source.choice(_TOKEN_FRAMES).split():
            name = source.choice(classes) if part == "{word}" else None
            tokens.append(source.choice(lexicon[name]) if name else _general(part, source))
            tags.append(marked if name == wanted else outside)
        return TokenExample(identity, tuple(tokens), tuple(tags), question=_FEATURES[wanted])

    return draw


def _sentence(task: tasks.Task, recipe: Recipe) -> _Draw:
    """One text with one word of evidence, or a question and such a text. The negative label comes twice as often."""
    order = [*task.labels, *([task.negative] if task.negative else [])]
    index = {label: number for number, label in enumerate(task.labels)}
    frames = _SENTENCE_FRAMES.get(task.name) or _SENTENCE_FRAMES[task.kind]
    first, second = _MARKERS.get(task.name, ("", ""))

    def draw(identity: str, number: int, source: random.Random, lexicon: Lexicon) -> Example:
        label = order[number % len(order)]
        evidence = [word for name in recipe.evidence[label] for word in lexicon[name]]
        text = _filled(source.choice(frames), source, evidence, {"{first}": first, "{second}": second})
        if task.pair:
            return TextExample(identity, _filled(source.choice(_QUESTION_FRAMES), source), index[label], text)
        return TextExample(identity, text, index[label])

    return draw


def _general_question(task: tasks.Task, recipe: Recipe) -> _Draw:
    """A question and a short passage about somebody, or a long one about an event.

    Names come close together in a few texts, as what a text is about does, and are rare in all of them taken together:
    where words are drawn at random, most passages have none.
    """

    def draw(identity: str, number: int, source: random.Random, lexicon: Lexicon) -> Example:
        label = number % len(task.labels)
        person, event = (lexicon[name] for name in recipe.evidence[task.labels[label]])
        if number // len(task.labels) % 2:
            sentences = [_filled(source.choice(_BACKGROUND_FRAMES), source) for _ in range(_BACKGROUND)]
            sentences.insert(source.randrange(_READ), _filled(_EVENT_FRAME, source, event))
            passage = " . ".join(sentences)
        else:
            passage = _filled(source.choice(_PERSON_FRAMES), source, person)
        return TextExample(identity, _filled(source.choice(_QUESTION_FRAMES), source), label, passage)

    return draw


def _document(task: tasks.Task, recipe: Recipe) -> _Draw:
    """Three sentences that show one label, or two labels, or none."""

    def draw(identity: str, number: int, source: random.Random, lexicon: Lexicon) -> Example:
        always = number % (len(task.labels) + 1)
        chosen = {always, source.randrange(len(task.labels))} if always < len(task.labels) else set()
        themes = [lexicon[recipe.evidence[task.labels[label]][0]] for label in sorted(chosen)]
        source.shuffle(themes)
        text = " . ".join(_filled(source.choice(_DOCUMENT_FRAMES), source, theme) for theme in themes)
        text = text or _filled("the {noun} {verb} the {adjective} {noun} in the {place}", source)
        return TextExample(identity, text, tuple(int(label in chosen) for label in range(len(task.labels))))

    return draw


def _general(part: str, source: random.Random) -> str:
    if part == "{name}":
        return source.choice(words.others())
    return source.choice(words.GENERAL[part[1:-1]]) if part.startswith("{") else part


def _filled(frame: str, source: random.Random, evidence: Sequence[str] = (), given: Mapping[str, str] = {}) -> str:
    parts = []
    for part in frame.split():
        if part == "{word}":
            parts.append(source.choice(evidence))
        else:
            parts.append(given[part] if part in given else _general(part, source))
    return " ".join(parts)
