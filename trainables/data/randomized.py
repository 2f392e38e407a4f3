"""Random text in the form of a task (BoolQ-Random and its like): what a transfer set is without any meaning.

As in the transfer-data paper, after Krishna et al. (2020): passages are drawn word by word from the unigram
distribution of all passages of the training split, questions word by word from the words of their new passage, with a
starter word put first. The paper names some starters ("is", "what", "how") and no shares: here they are the first words
of the training questions, as frequent as they are there. Passages and questions are as long as the originals, which
they stand for one by one, train, dev and test alike.

Of a pair of texts the second is the passage and the first the question; a single text is a passage. Markers of entities
are words like any other.

Labels stay what they were, so that the examples have the form that a task wants. They mean nothing: distillation from a
teacher's outputs never reads them, and whoever trains or scores on them finds out how well nothing can be learned.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate

from trainables.data.examples import SPLITS, Splits, TextExample
from trainables.data.tasks import Task
from trainables.errors import UserError

#: Part of the fingerprint; raised when the same seed and source give other texts.
VERSION = 1


@dataclasses.dataclass(frozen=True)
class _Words:
    """Words and how often each comes."""

    words: Sequence[str]
    cumulated: Sequence[int]

    @classmethod
    def of(cls, words: Iterable[str]) -> _Words:
        # In a fixed order, so that the draw does not depend on that of the examples.
        counted = sorted(Counter(words).items())
        return cls([word for word, _ in counted], list(accumulate(number for _, number in counted)))

    def draw(self, chance: random.Random, number: int) -> list[str]:
        return chance.choices(self.words, cum_weights=self.cumulated, k=number) if number else []


def check(task: Task) -> None:
    """Refuses a task whose words are labelled.

    Raises:
        UserError: For such a task.
    """
    if task.on_tokens:
        raise UserError(f"task {task.name!r} labels words; random text is for tasks that label texts or pairs of texts")


def splits(original: Splits, task: Task, seed: int) -> Splits:
    """A task's examples with random words; ids and labels stay.

    Args:
        original: The task's examples.
        task: That labels texts or pairs of texts.
        seed: Of the draw, which also depends on each example's split and id.

    Raises:
        UserError: For a task whose words are labelled, and where the training split has no words.
    """
    check(task)
    training = [example for example in original["train"] if isinstance(example, TextExample)]
    passages = _Words.of(word for example in training for word in _passage(example).split())
    starters = _Words.of(example.text.split()[0] for example in training if example.pair is not None)
    if not passages.words:
        raise UserError(f"task {task.name!r} has no words in its training split to draw random text from")
    found: Splits = {}
    for split in SPLITS:
        found[split] = [
            _random(example, passages, starters, random.Random(f"random {seed} {task.corpus} {split} {example.id}"))
            for example in original[split]
            if isinstance(example, TextExample)
        ]
    return found


def _passage(example: TextExample) -> str:
    return example.text if example.pair is None else example.pair


def _random(example: TextExample, passages: _Words, starters: _Words, chance: random.Random) -> TextExample:
    passage = passages.draw(chance, len(_passage(example).split()))
    if example.pair is None:
        return dataclasses.replace(example, text=" ".join(passage))
    asked = len(example.text.split()) - 1
    question = [*starters.draw(chance, 1), *(chance.choices(passage, k=asked) if passage else [])]
    return dataclasses.replace(example, text=" ".join(question), pair=" ".join(passage))
