"""A corpus in word pieces, made once for all that train on it with one tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trainables.context import PIECES, TOKENIZER, Context, Progress, Result, Run
from trainables.data import corpora
from trainables.stages import TokenizedCorpus
from trainables.training import packed_corpus, tokenizers

#: Texts between two reports while the corpus is read through.
_LOOK_EVERY = 10_000


def run(stage: TokenizedCorpus, context: Context) -> Run:
    """Writes ``pieces.arrow`` (:mod:`trainables.training.packed_corpus`) and ``tokenizer/``, a copy of the tokenizer.

    The corpus is read twice: first to count its texts and to find what is wrong with it, which takes a small part of
    the time that the tokenizer then needs. Interrupted, it is done again.

    Facts hold the texts that were used and those there were, word pieces, the share of them that is unknown to the
    vocabulary, sequences, and the sequences' length: that asked for, or what the tokenizer says its model takes.

    Raises:
        UserError: For a corpus that cannot be read, has no text, or does not fill two sequences.
    """
    folder = context.tokenizer_folder(stage.tokenizer)
    tokenizer = tokenizers.load(folder)
    max_length = min(stage.max_length, tokenizer.longest or stage.max_length)
    counting = _sieve(stage)
    for number, _ in enumerate(corpora.read(stage.corpus, stage.data, counting)):
        if number % _LOOK_EVERY == 0:
            yield from _looked(Progress(0, 1, "read"), context)
    using = _sieve(stage)
    texts = corpora.read(stage.corpus, stage.data, using)
    piece = tokenizer.wrapped.unk_token_id
    unknown = _Unknown(None if piece in tokenizer.separator else piece)  # GPT-2's stands between texts; it spells all
    blocks = unknown.counted(packed_corpus.rows(texts, tokenizer, max_length))
    written = packed_corpus.Written(0, 0)
    for so_far in packed_corpus.write(context.folder / PIECES, blocks, tokenizer, max_length):
        written = so_far
        yield from _looked(Progress(using.kept, counting.kept, "tokenize"), context)
    tokenizers.copy_alone(folder, context.folder / TOKENIZER)
    facts = {
        "texts": using.kept,
        "texts_in_all": using.seen,
        "steps": written.rows,
        "tokens": written.pieces,
        "unknown_share": unknown.count / written.pieces,
        "sequences": written.rows,
        "max_length": max_length,
        "max_length_asked": stage.max_length,
        "vocabulary": len(tokenizer.wrapped),
    }
    return Result({}, facts=facts)


class _Unknown:
    """Counts the pieces that stand for words which the vocabulary does not have."""

    def __init__(self, piece: int | None) -> None:
        self.count = 0
        self._piece = piece

    def counted(self, blocks: Iterable[packed_corpus.Block]) -> Iterator[packed_corpus.Block]:
        for block in blocks:
            if self._piece is not None:
                self.count += int((block == self._piece).sum())
            yield block


def _sieve(stage: TokenizedCorpus) -> corpora.Sieve:
    return corpora.Sieve(stage.min_words, stage.share, stage.seed)


def _looked(progress: Progress, context: Context) -> Iterator[Progress]:
    """The empty checkpoint only tells whoever interrupts that there is nothing to wait for."""
    if context.checkpoint_due():
        context.save_checkpoint({})
    yield progress
