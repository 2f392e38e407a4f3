"""Expansion of a model's word-piece vocabulary by the pieces of a domain."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainables.context import TOKENIZER, Context, Progress, Result, Run
from trainables.data import corpora
from trainables.data.expansion import Cutter, Expansion
from trainables.data.word_counts import WordCounts
from trainables.errors import UserError
from trainables.stages import WordPieceVocabulary
from trainables.training import tokenizers
from trainables.training.tokenizers import Tokenizer

#: Texts between two reports while the corpus is read.
_LOOK_EVERY = 10_000
_PARTS = 4

_log = logging.getLogger(__name__)


def run(stage: WordPieceVocabulary, context: Context) -> Run:
    """Writes ``tokenizer/``: the base's, with new pieces after its own (:mod:`trainables.data.expansion`).

    A corpus that has fewer useful pieces than asked for gives a smaller vocabulary, which facts and log say.

    Facts hold the sizes of both vocabularies, the new pieces and how many of them continue a word, and how many pieces
    the corpus has with either (``ratio`` is the new number over the old, ``unknown`` are pieces that stand for unknown
    words). All words of the texts used are counted, but for ``words_left_out`` of very large corpora.

    Raises:
        UserError: For a base that has no word-piece tokenizer, a size that is not above its own, and a corpus that
            cannot be read, is empty, or has no new pieces.
    """
    folder = context.tokenizer_folder(stage.base)
    tokenizer = tokenizers.load(folder)
    cutter = _cutter(tokenizer, stage.base.label())
    base = tokenizer.pieces
    wanted = stage.size - len(base)
    if wanted < 1:
        raise UserError(
            f"WordPieceVocabulary.size={stage.size} must be above the {len(base)} pieces of the base "
            f"({stage.base.label()}); give at least {len(base) + 1}"
        )
    sieve = corpora.Sieve(stage.min_words, stage.share, stage.seed)
    counts = WordCounts(tokenizer.backend)
    for number, text in enumerate(corpora.read(stage.corpus, stage.data, sieve)):
        counts.add(text)
        if number % _LOOK_EVERY == 0:
            if context.checkpoint_due():
                context.save_checkpoint({})  # empty: there is nothing to wait for, it is done again
            yield Progress(0, _PARTS, "words")
    words = counts.counts()
    yield Progress(1, _PARTS, "candidates")
    expansion = Expansion(words, base, cutter)
    candidates = expansion.candidates(wanted)
    yield Progress(2, _PARTS, "choice")
    new = expansion.best(candidates, wanted)
    if not new:
        raise UserError(
            f"corpus {stage.corpus!r} has 0 pieces that the base ({stage.base.label()}) lacks and that occur twice; an "
            "expansion needs at least 1. Give more text, or text of another domain"
        )
    if len(new) < wanted:
        _log.warning(
            "%s: corpus %r has %d useful new pieces of %d asked for", stage.label(), stage.corpus, len(new), wanted
        )
    yield Progress(3, _PARTS, "writing")
    before, after = expansion.length(), expansion.length(new)
    _write(tokenizer, folder, [*base, *new], context.folder / TOKENIZER)
    facts = {
        "base_size": len(base),
        "size": len(base) + len(new),
        "size_asked": stage.size,
        "new_pieces": len(new),
        "new_continuations": sum(piece.startswith(cutter.prefix) for piece in new),
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
    yield Progress(_PARTS, _PARTS, "writing")
    return Result({}, facts=facts)


def _cutter(tokenizer: Tokenizer, label: str) -> Cutter:
    form = _form(tokenizer)
    model = form["model"]
    if model.get("type") != "WordPiece" or form["pre_tokenizer"] is None:
        raise UserError(
            f"WordPieceVocabulary.base={label} has a tokenizer of type {model.get('type')}; it must be of type "
            "WordPiece and cut text to words first, like BERT's"
        )
    numbers = sorted(tokenizer.wrapped.get_vocab().values())
    if numbers != list(range(len(numbers))):
        raise UserError(
            f"WordPieceVocabulary.base={label} has {len(numbers)} pieces with numbers up to {numbers[-1]}; there must "
            "be no gap, so that new ones can follow (a piece that stands twice in vocab.txt makes one)"
        )
    return Cutter(model["unk_token"], model["continuing_subword_prefix"], model["max_input_chars_per_word"])


def _form(tokenizer: Tokenizer) -> dict[str, Any]:
    form: dict[str, Any] = json.loads(tokenizer.backend.to_str())
    return form


def _write(tokenizer: Tokenizer, folder: Path, pieces: Sequence[str], target: Path) -> None:
    """The base's tokenizer with another vocabulary, in both of the forms in which it may be read."""
    tokenizers.copy_alone(folder, target)
    form = _form(tokenizer)
    form["model"]["vocab"] = {piece: number for number, piece in enumerate(pieces)}
    (target / "tokenizer.json").write_text(json.dumps(form, ensure_ascii=False, indent=1), encoding="utf-8")
    (target / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
