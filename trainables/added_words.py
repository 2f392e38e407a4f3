"""Expansion of a vocabulary of byte pairs or of a unigram model by whole words of a domain."""

from __future__ import annotations

import logging
from pathlib import Path

from trainables.context import TOKENIZER, Context, Progress, Result, Run
from trainables.data import added_words, corpora
from trainables.errors import UserError
from trainables.stages import AddedWords
from trainables.training import tokenizers
from trainables.training.tokenizers import Tokenizer

#: Texts between two reports while the corpus is read.
_LOOK_EVERY = 10_000
_PARTS = 4
#: Kinds of vocabulary that grow by whole words; word pieces have a stage of their own.
_KINDS = ("BPE", "Unigram")

_log = logging.getLogger(__name__)


def run(stage: AddedWords, context: Context) -> Run:
    """Writes ``tokenizer/``: the base's, with new words after its own pieces (:mod:`trainables.data.added_words`).

    A corpus that has fewer useful words than asked for gives a smaller vocabulary, which facts and log say.

    Facts hold the sizes of both vocabularies, the new pieces, and how many pieces the corpus has with either
    (``ratio`` is the new number over the old, ``unknown`` are pieces that stand for what cannot be spelt). All that
    stands between blanks is counted, but for ``words_left_out`` of very large corpora.

    Raises:
        UserError: For a base whose tokenizer is of another kind, a size that is not above its own, and a corpus that
            cannot be read, is empty, or has no new words.
    """
    folder = context.tokenizer_folder(stage.base)
    tokenizer = tokenizers.load(folder)
    base = _checked(stage, tokenizer)
    wanted = stage.size - base
    sieve = corpora.Sieve(stage.min_words, stage.share, stage.seed)
    counts = added_words.counts(tokenizer.backend.normalizer)
    for number, text in enumerate(corpora.read(stage.corpus, stage.data, sieve)):
        for stretch in text.split():
            counts.add(stretch)
        if number % _LOOK_EVERY == 0:
            if context.checkpoint_due():
                context.save_checkpoint({})  # empty: there is nothing to wait for, it is done again
            yield Progress(0, _PARTS, "words")
    stretches = counts.counts()
    yield Progress(1, _PARTS, "choice")
    words = added_words.words(stretches)
    new = added_words.best(words, tokenizer.backend, wanted)
    if not new:
        raise UserError(
            f"corpus {stage.corpus!r} has 0 words that the base ({stage.base.label()}) lacks and that occur twice; an "
            "expansion needs at least 1. Give more text, or text of another domain"
        )
    if len(new) < wanted:
        _log.warning(
            "%s: corpus %r has %d useful new words of %d asked for", stage.label(), stage.corpus, len(new), wanted
        )
    yield Progress(2, _PARTS, "writing")
    rule = added_words.expanded(tokenizer.backend, new)
    _write(folder, rule.to_str(pretty=True), context.folder / TOKENIZER)
    yield Progress(3, _PARTS, "length")
    unknown = tokenizer.wrapped.unk_token_id
    before, after = (added_words.length(stretches, each, unknown) for each in (tokenizer.backend, rule))
    facts = {
        "base_size": base,
        "size": base + len(new),
        "size_asked": stage.size,
        "new_pieces": len(new),
        "pieces_before": before.pieces,
        "pieces_after": after.pieces,
        "ratio": after.pieces / before.pieces,
        "unknown_before": before.unknown,
        "unknown_after": after.unknown,
        "texts": sieve.kept,
        "texts_in_all": sieve.seen,
        "words": sum(words.values()),
        "words_different": len(words),
        "words_left_out": counts.left_out,
        "steps": _PARTS,
        "tokens": before.pieces,
    }
    yield Progress(_PARTS, _PARTS, "length")
    return Result({}, facts=facts)


def _checked(stage: AddedWords, tokenizer: Tokenizer) -> int:
    """The number of the base's pieces, if words can be added to them."""
    kind, label = type(tokenizer.backend.model).__name__, stage.base.label()
    if kind not in _KINDS:
        raise UserError(
            f"AddedWords.base={label} has a tokenizer of type {kind}; it must be of type {' or '.join(_KINDS)}, like "
            "GPT-2's and T5's. Give a WordPieceVocabulary for one of type WordPiece"
        )
    numbers = sorted(tokenizer.wrapped.get_vocab().values())
    if numbers != list(range(len(numbers))):
        raise UserError(
            f"AddedWords.base={label} has {len(numbers)} pieces with numbers up to {numbers[-1]}; there must be no "
            "gap, so that new ones can follow"
        )
    if stage.size <= len(numbers):
        raise UserError(
            f"AddedWords.size={stage.size} must be above the {len(numbers)} pieces of the base ({label}); give at "
            f"least {len(numbers) + 1}"
        )
    return len(numbers)


def _write(folder: Path, form: str, target: Path) -> None:
    """The base's tokenizer with added words, in the one form that has room for them."""
    tokenizers.copy_alone(folder, target)
    for path in tokenizers.files(target):
        if path.suffix in (".txt", ".model") or path.name in ("vocab.json", "added_tokens.json"):
            path.unlink()
    (target / "tokenizer.json").write_text(form, encoding="utf-8")
