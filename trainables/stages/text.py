"""Stages about unlabelled text: a vocabulary that is expanded by it, and the text in pieces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from trainables.data import corpora
from trainables.errors import UserError
from trainables.expression import LOCATED, Stage
from trainables.stages import rules


def short(corpus: str) -> str:
    """A corpus's name, of a file or folder its last part."""
    return corpus.rstrip("/").rsplit("/", 1)[-1]


@dataclass(frozen=True)
class _ExpandedVocabulary(Stage):
    """A model's vocabulary with more pieces of a domain, of whatever kind."""

    corpus: str = field(metadata=LOCATED)
    base: Stage
    size: int
    data: str | None = field(default=None, metadata=LOCATED)
    min_words: int = 0
    share: float = 1.0
    seed: int = 0

    makes_model: ClassVar[bool] = False
    uses_device: ClassVar[bool] = False

    def check(self) -> None:
        """Refuses values out of range and a base without a tokenizer."""
        rules.at_least(self, 1, "size")
        _check_text(self)
        rules.starts_from_model(self, self.base, "base")

    def fingerprints(self) -> dict[str, str]:
        """Hash of the corpus."""
        return {"corpus": corpora.fingerprint(self.corpus, self.data)}

    @property
    def starts_from(self) -> tuple[Stage, ...]:
        """The base: its tokenizer lies with its weights."""
        return (self.base,)

    def label(self) -> str:
        """Its size."""
        return f"vocabulary of {self.size:,}"


@dataclass(frozen=True)
class WordPieceVocabulary(_ExpandedVocabulary):
    """A word-piece vocabulary expanded by a domain's pieces (Gao et al. 2024, section 3.1; Yao et al. 2021).

    For models of BERT's kind. The base's pieces keep their numbers; the corpus's most useful new ones follow, up to
    ``size`` in all. The entry holds an ordinary tokenizer folder.

    Attributes:
        corpus: Text of the domain; see :mod:`trainables.data.corpora`.
        base: The model whose vocabulary is expanded.
        size: Pieces in all; more than the base has.
        data: Source of the task's text where ``corpus`` is ``task:NAME``.
        min_words: Shorter texts are left out (the paper: 128).
        share: Share of the corpus's texts, drawn at random.
        seed: Of that draw.
    """

    implementation: ClassVar[str] = "trainables.vocabulary:run"


@dataclass(frozen=True)
class AddedWords(_ExpandedVocabulary):
    """A vocabulary of byte pairs or of a unigram model, expanded by whole words of a domain (Gao et al. 2024, app. E).

    For GPT-2 and T5, whose pieces come from merges and from probabilities that new ones cannot join without changing
    what the old ones make of other words. The new words are the tokenizers library's added tokens: they are taken out
    of the text before the old pieces are made of the rest. Attributes are those of :class:`WordPieceVocabulary`.
    """

    implementation: ClassVar[str] = "trainables.added_words:run"


#: Whatever says which pieces a student has and its teacher lacks.
ExpandedVocabulary: TypeAlias = WordPieceVocabulary | AddedWords


@dataclass(frozen=True)
class TokenizedCorpus(Stage):
    """A corpus in pieces, packed to sequences of the same length: shared by all that train on it with one tokenizer.

    Attributes:
        corpus: The text; see :mod:`trainables.data.corpora`.
        tokenizer: A model, or one of :data:`ExpandedVocabulary`.
        max_length: Pieces per sequence, special ones included; fewer where the tokenizer says that its model takes
            fewer.
        data: Source of the task's text where ``corpus`` is ``task:NAME``.
        min_words: Shorter texts are left out (the paper: 128).
        share: Share of the corpus's texts, drawn at random; a smaller share is part of a larger one.
        seed: Of that draw.
    """

    corpus: str = field(metadata=LOCATED)
    tokenizer: Stage
    max_length: int = 512
    data: str | None = field(default=None, metadata=LOCATED)
    min_words: int = 0
    share: float = 1.0
    seed: int = 0

    implementation: ClassVar[str] = "trainables.tokenized_corpus:run"
    makes_model: ClassVar[bool] = False
    uses_device: ClassVar[bool] = False

    def check(self) -> None:
        """Refuses values out of range and what has no tokenizer."""
        rules.at_least(self, rules.SHORTEST, "max_length")
        _check_text(self)
        if not isinstance(self.tokenizer, ExpandedVocabulary):
            rules.starts_from_model(self, self.tokenizer, "tokenizer")

    def fingerprints(self) -> dict[str, str]:
        """Hash of the corpus."""
        return {"corpus": corpora.fingerprint(self.corpus, self.data)}

    @property
    def name(self) -> str:
        """The corpus's, and how much of it."""
        part = "" if self.share == 1 else f" {self.share:.0%}"
        return f"{short(self.corpus)}{part}"

    def label(self) -> str:
        """What is tokenized."""
        return f"pieces of {self.name}"


def _check_text(stage: Any) -> None:
    rules.at_least(stage, 0, "min_words")
    rules.positive(stage, "share")
    rules.share(stage, "share")
    if not stage.corpus:
        raise UserError(f"{type(stage).__name__}.corpus is empty; give a text file, a folder, or mini:domain")
