"""Training of word-piece vocabularies, such that the same text gives the same pieces in every process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trainables.errors import UserError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUATION = "##"
#: Characters that get pieces of their own, most frequent first; a word with another one becomes [UNK].
_ALPHABET = 1_000
#: Words that are handed to the trainer in one line.
_LINE = 1_000


def train(texts: Iterable[str], size: int) -> list[str]:
    """Trains a lower-cased word-piece vocabulary.

    The trainer of the tokenizers library numbers pieces inside of words (``##x``) in the order of a randomly seeded
    hash table, and breaks ties by these numbers, so two processes get two vocabularies. Here every character's pieces
    are given to it beforehand, in order, which leaves nothing to chance.

    Args:
        texts: The corpus.
        size: Pieces at most, special ones included.

    Returns:
        The pieces in the order of their numbers.

    Raises:
        UserError: For a corpus without words, or a size that does not hold its characters.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))
    if not words:
        raise UserError("the vocabulary's corpus has no words; give one with text")
    first, inside = _alphabet(words)
    least = len(SPECIAL) + len(first) + len(inside)
    if least > size:
        raise UserError(f"vocabulary_size={size} does not hold the corpus's characters; it must be at least {least}")
    # Words in sorted order, so that not even the order of the texts matters.
    return _trained(tokenizer, _repeated(words), (first, inside), size)


def of_words(words: Mapping[str, int], size: int, least: int) -> list[str]:
    """Trains a word-piece vocabulary on words as they are, with as few surprises as :func:`train`.

    Args:
        words: How often each occurs. None holds white space.
        size: Pieces at most, beside special ones and characters.
        least: Occurrences below which nothing is joined to a piece.

    Returns:
        The pieces in the order of their numbers: special ones, characters, and what was joined, most frequent first.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    alphabet = _alphabet(words)
    size += len(SPECIAL) + sum(map(len, alphabet))
    return _trained(tokenizer, _in_lines(words), alphabet, size, least)


def _trained(
    tokenizer: Any, texts: Iterable[str], alphabet: tuple[list[str], list[str]], size: int, least: int = 0
) -> list[str]:
    from tokenizers import trainers

    first, inside = alphabet
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=least,
        special_tokens=[*SPECIAL, *first, *(CONTINUATION + character for character in inside)],
        initial_alphabet=first,
        limit_alphabet=len(first),
        continuing_subword_prefix=CONTINUATION,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    numbers: dict[str, int] = tokenizer.get_vocab()
    return sorted(numbers, key=numbers.__getitem__)


def _alphabet(words: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """All characters kept, and those of them that occur inside of words; each sorted."""
    everywhere: Counter[str] = Counter()
    inside: set[str] = set()
    for word, count in words.items():
        for character in word:
            everywhere[character] += count
        inside.update(word[1:])
    kept = sorted(everywhere, key=lambda character: (-everywhere[character], character))[:_ALPHABET]
    return sorted(kept), sorted(inside.intersection(kept))


def _repeated(words: Mapping[str, int]) -> Iterator[str]:
    for word in sorted(words):
        for _ in range(words[word]):
            yield word


def _in_lines(words: Mapping[str, int]) -> Iterator[str]:
    """The same with many words to a line: counted in the library, not in Python."""
    for word in sorted(words):
        for start in range(0, words[word], _LINE):
            yield " ".join([word] * min(_LINE, words[word] - start))
