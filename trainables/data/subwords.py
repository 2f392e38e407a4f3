"""Training of byte-pair and unigram vocabularies, such that the same text gives the same pieces in every process.

The tokenizers library's trainer of byte pairs numbers characters in their order and breaks ties by these numbers, so it
leaves nothing to chance (unlike that of word pieces, see :mod:`trainables.data.vocabulary`). Its trainer of unigram
models does: it goes through the words in the order of a randomly seeded hash table, and sums probabilities in that
order. So a unigram model's pieces are trained as pairs, too, and their probabilities are how often each then occurs.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from trainables.errors import UserError

#: What GPT-2 ends a text with, and its unknown piece; the tokenizer has no other special one.
END_OF_TEXT = "<|endoftext|>"
#: T5's special pieces, by number, and how many blanks it tells apart.
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
SENTINELS = 100
#: What stands for the blank before a word in a unigram model's pieces.
BLANK = "\u2581"
#: Characters that get pieces of their own in a unigram model, most frequent first.
_ALPHABET = 1_000


def byte_pairs(texts: Iterable[str], size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Trains a vocabulary of GPT-2's kind: all bytes, and pairs that are joined.

    Args:
        texts: The corpus.
        size: Pieces at most, :data:`END_OF_TEXT` (number 0) included.

    Returns:
        The pieces' numbers, and the pairs in the order in which they are joined.

    Raises:
        UserError: For a corpus without words, or a size that does not hold the bytes.
    """
    from tokenizers import pre_tokenizers

    bytes_ = sorted(pre_tokenizers.ByteLevel.alphabet())
    _check_size(size, 1 + len(bytes_), "all bytes")
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = Counter(word for text in texts for word, _ in cut.pre_tokenize_str(text))
    return _joined(words, size, [END_OF_TEXT], bytes_)


def unigram(texts: Iterable[str], size: int) -> list[tuple[str, float]]:
    """Trains a vocabulary of T5's kind.

    Args:
        texts: The corpus.
        size: Pieces at most, special ones and :data:`SENTINELS` included.

    Returns:
        The pieces in the order of their numbers, and the logarithms of their probabilities: special ones, characters
        and what was joined, then sentinels, whose last is number 0 as in T5.

    Raises:
        UserError: For a corpus without words, or a size that does not hold its characters.
    """
    words = Counter(BLANK + word for text in texts for word in text.split())
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            characters[character] += count
    kept = sorted(characters, key=lambda character: (-characters[character], character))[:_ALPHABET]
    special = [PAD, END, UNKNOWN]
    _check_size(size, len(special) + len(kept) + SENTINELS, "the corpus's characters and the sentinels")
    spelt = Counter({word: count for word, count in words.items() if set(word) <= set(kept)})
    numbers, merges = _joined(spelt, size - SENTINELS, special, sorted(kept))
    uses = _uses(spelt, numbers, merges)
    total = sum(uses.values()) + len(numbers)
    pieces = sorted(numbers, key=numbers.__getitem__)
    scored = [(piece, 0.0 if piece in special else math.log((uses[piece] + 1) / total)) for piece in pieces]
    return [*scored, *((f"<extra_id_{number}>", 0.0) for number in reversed(range(SENTINELS)))]


def _joined(
    words: Counter[str], size: int, special: Sequence[str], alphabet: Sequence[str]
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Pieces by joining the most frequent pair again and again."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    if not words:
        raise UserError("the vocabulary's corpus has no words; give one with text")
    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\n", "removed")
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=list(alphabet),
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_repeated(words), trainer)
    form = json.loads(tokenizer.to_str())["model"]
    return form["vocab"], [(first, second) for first, second in form["merges"]]


def _repeated(words: Counter[str]) -> Iterator[str]:
    """Every word as often as it occurs, in sorted order. What cuts words leaves no line breaks inside of one."""
    for word in sorted(words):
        for _ in range(words[word]):
            yield word


def _uses(words: Counter[str], numbers: dict[str, int], merges: list[tuple[str, str]]) -> Counter[str]:
    """How often each piece occurs when pairs are joined in their order."""
    from tokenizers import Tokenizer, models

    rule: Any = Tokenizer(models.BPE(vocab=numbers, merges=merges))
    found: Counter[str] = Counter()
    for word, count in sorted(words.items()):
        for piece in rule.encode(word).tokens:
            found[piece] += count
    return found


def _check_size(size: int, least: int, what: str) -> None:
    if size < least:
        raise UserError(f"vocabulary_size={size} does not hold {what}; it must be at least {least}")
