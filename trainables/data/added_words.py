"""Which whole words a domain adds to a vocabulary of byte pairs or of a unigram model.

A word is a stretch of letters and digits, at least one of them a letter, in the case in which it stands in the text. A
tokenizer that knows it as an added token takes it, and the blanks before it, out of the text first, so a word saves all
but one of the pieces that the old vocabulary makes of it, wherever it stands by itself. Those that save most over the
corpus are chosen. Words that occur less than five times come last: a model does not learn them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trainables.data.expansion import LEAST, OFTEN, Length
from trainables.data.word_counts import WordCounts

#: What may be one token, if a letter is in it: the tokenizers library ends words where these end, too.
_WORD = re.compile(r"\w+")
#: Stretches that are cut to pieces together.
_AT_ONCE = 1 << 14


def counts(normalizer: Any) -> WordCounts:
    """A counter of what stands between blanks, normalised as the tokenizer does it.

    Args:
        normalizer: Of the tokenizer, of the tokenizers library; None where it changes nothing.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers

    at_blanks: Any = Tokenizer(models.BPE())
    at_blanks.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if normalizer is not None:
        at_blanks.normalizer = normalizer
    return WordCounts(at_blanks)


def words(stretches: Mapping[str, int]) -> dict[str, int]:
    """How often each word occurs, in sorted order.

    Args:
        stretches: How often each text between blanks occurs.
    """
    found: Counter[str] = Counter()
    for stretch, count in stretches.items():
        for word in _WORD.findall(stretch):
            if any(character.isalpha() for character in word):
                found[word] += count
    return dict(sorted(found.items()))


def best(counted: Mapping[str, int], backend: Any, wanted: int) -> list[str]:
    """The words that save most pieces of a corpus, best first; fewer than wanted where it has no more of use.

    Those that are used often come first, and then the others; equal ones stand in the order of the alphabet.

    Args:
        counted: How often each word occurs.
        backend: The base's tokenizer, of the tokenizers library.
        wanted: How many.
    """
    candidates = [word for word, count in counted.items() if count >= LEAST]
    saved = {
        word: counted[word] * (len(ids) - 1)
        for word, ids in zip(candidates, in_context(candidates, backend), strict=True)
        if len(ids) > 1
    }
    order = sorted(saved, key=lambda word: (counted[word] < OFTEN, -saved[word], word))
    # A few are not read back as one token (letters that normalisation joins, say), so there is one look at each.
    known = backend.get_vocab_size()
    rule = expanded(backend, order[: 2 * wanted])
    read = zip(order, in_context(order[: 2 * wanted], rule), strict=False)
    return [word for word, ids in read if len(ids) == 1 and ids[0] >= known][:wanted]


def expanded(backend: Any, new: Sequence[str]) -> Any:
    """A tokenizer that knows further words as one token each, numbered after its own pieces.

    Args:
        backend: Of the tokenizers library; it is not changed.
        new: The words, in the order of their numbers.
    """
    from tokenizers import Tokenizer

    form = json.loads(backend.to_str())
    first = backend.get_vocab_size()
    flags = {"single_word": True, "lstrip": True, "rstrip": False, "normalized": True, "special": False}
    form["added_tokens"] += [{"id": first + place, "content": word, **flags} for place, word in enumerate(new)]
    return Tokenizer.from_str(json.dumps(form))


def length(stretches: Mapping[str, int], backend: Any, unknown: int | None) -> Length:
    """How long a corpus is in a tokenizer's pieces.

    Args:
        stretches: How often each text between blanks occurs; before each a blank is counted in.
        backend: The tokenizer.
        unknown: The piece that stands for what the vocabulary cannot spell.
    """
    pieces = lost = 0
    for count, ids in zip(stretches.values(), in_context(list(stretches), backend), strict=True):
        pieces += count * len(ids)
        lost += 0 if unknown is None else count * ids.count(unknown)
    return Length(pieces, lost)


def in_context(texts: Sequence[str], backend: Any) -> Iterator[list[int]]:
    """Numbers of the pieces of words or stretches as they stand in running text, after a blank."""
    for start in range(0, len(texts), _AT_ONCE):
        spaced = [f" {text}" for text in texts[start : start + _AT_ONCE]]
        for encoding in backend.encode_batch(spaced, add_special_tokens=False):
            yield encoding.ids
