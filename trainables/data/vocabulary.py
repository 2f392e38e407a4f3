"""Training of word-piece vocabularies, such that the same text gives the same pieces in every process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from trainables.errors import UserError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CONTINUATION = "##"
#: Characters that get pieces of their own, most frequent first; a word with another one becomes [UNK].
_ALPHABET = 1_000


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
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

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
    given = [*SPECIAL, *first, *(_CONTINUATION + character for character in inside)]
    if len(given) > size:
        raise UserError(
            f"vocabulary_size={size} does not hold the corpus's characters; it must be at least {len(given)}"
        )
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=given,
        initial_alphabet=first,
        limit_alphabet=len(first),
        continuing_subword_prefix=_CONTINUATION,
        show_progress=False,
    )
    # Words in sorted order, so that not even the order of the texts matters.
    tokenizer.train_from_iterator(_repeated(words), trainer)
    numbers: dict[str, int] = tokenizer.get_vocab()
    return sorted(numbers, key=numbers.__getitem__)


def _alphabet(words: Counter[str]) -> tuple[list[str], list[str]]:
    """All characters kept, and those of them that occur inside of words; each sorted."""
    everywhere: Counter[str] = Counter()
    inside: set[str] = set()
    for word, count in words.items():
        for character in word:
            everywhere[character] += count
        inside.update(word[1:])
    kept = sorted(everywhere, key=lambda character: (-everywhere[character], character))[:_ALPHABET]
    return sorted(kept), sorted(inside.intersection(kept))


def _repeated(words: Counter[str]) -> Iterable[str]:
    for word in sorted(words):
        for _ in range(words[word]):
            yield word
