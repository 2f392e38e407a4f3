"""How often each word of a corpus occurs, in bounded memory."""

from __future__ import annotations

from collections import Counter
from typing import Any

from trainables.data import stretches

#: Different words at most: about 80 MB. Above it the rarest are forgotten.
_MOST_WORDS = 1 << 19
#: Different stretches between blanks that are gathered before the tokenizer sees each of them once.
_MOST_STRETCHES = 1 << 18


class WordCounts:
    """Words as a tokenizer sees them before it makes pieces: normalised (lower-cased, say), and cut at punctuation.

    Where there are too many different words the rarest are left out, and the next time those that are a little less
    rare (lossy counting; Manku and Motwani 2002). What is left is then counted too low by the least count at most.

    Args:
        backend: The tokenizer, of the tokenizers library; it must cut text to words.

    Attributes:
        left_out: Occurrences of words that were left out.
    """

    def __init__(self, backend: Any) -> None:
        self.left_out = 0
        self._words: Counter[str] = Counter()
        self._stretches: Counter[str] = Counter()
        self._least = 0
        self._normalizer = backend.normalizer
        self._pre_tokenizer = backend.pre_tokenizer
        self._alone = stretches.stand_alone(backend)

    def add(self, text: str) -> None:
        """Takes a text in."""
        if self._alone:
            self._stretches.update(text.split(stretches.BLANK))
        else:
            self._stretches[text] += 1
        if len(self._stretches) >= _MOST_STRETCHES:
            self._count()

    def counts(self) -> dict[str, int]:
        """Every word's count so far, in sorted order."""
        self._count()
        return dict(sorted(self._words.items()))

    def _count(self) -> None:
        for stretch, count in self._stretches.items():
            normal = self._normalizer.normalize_str(stretch) if self._normalizer else stretch
            for word, _ in self._pre_tokenizer.pre_tokenize_str(normal):
                self._words[word] += count
        self._stretches.clear()
        while len(self._words) > _MOST_WORDS:
            self._least += 1
            rare = [word for word, count in self._words.items() if count <= self._least]
            self.left_out += sum(self._words.pop(word) for word in rare)
