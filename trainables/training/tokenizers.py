"""Tokenizers by content: loaded once per process, carried along unchanged from stage to stage."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from trainables.errors import UserError

#: Files that make up a tokenizer in ``save_pretrained`` layout.
_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)


#: What stands for "any" where a tokenizer's files give no length; transformers' own is 10**30.
_ANY_LENGTH = 10**9


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """A tokenizer and what identifies it.

    Attributes:
        content: Hash of its files.
        wrapped: The transformers tokenizer.
        prefix: Special pieces before a single text (``[CLS]``).
        suffix: Special pieces after it (``[SEP]``).
        pair_overhead: Number of special pieces around a pair of texts.
    """

    content: str
    wrapped: Any
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pair_overhead: int

    @property
    def backend(self) -> Any:
        """The tokenizer of the tokenizers library, neither truncating nor padding."""
        backend = self.wrapped.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        return backend

    @property
    def longest(self) -> int | None:
        """Pieces that its model takes at most, where it says so."""
        said = int(self.wrapped.model_max_length)
        return said if said < _ANY_LENGTH else None

    @property
    def pieces(self) -> list[str]:
        """All pieces in the order of their numbers."""
        numbers: dict[str, int] = self.wrapped.get_vocab()
        return sorted(numbers, key=numbers.__getitem__)

    @property
    def frame(self) -> Frame:
        """How it puts two texts together."""
        probe = self.backend.encode("a", "a")
        texts = [[place for place, text in enumerate(probe.sequence_ids) if text == which] for which in (0, 1)]
        (first, *_, end), (second, *_, last) = [(places[0], places[-1] + 1) for places in texts]

        def cut(start: int, stop: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
            return tuple(probe.ids[start:stop]), tuple(probe.type_ids[start:stop])

        kinds = probe.type_ids
        return Frame(cut(0, first), cut(end, second), cut(last, len(kinds)), kinds[first], kinds[second])

    @property
    def pad(self) -> int:
        """The piece that fills rows up; always masked.

        A tokenizer without one, such as GPT-2's, gives the piece that ends a text: classifiers of such models look for
        the last piece that is another one.
        """
        pad, end = self.wrapped.pad_token_id, self.wrapped.eos_token_id
        return int(pad if pad is not None else end if end is not None else 0)

    @property
    def separator(self) -> tuple[int, ...]:
        """Pieces between the texts of a corpus: those after a text or, where it adds none, the piece that ends one."""
        end = self.wrapped.eos_token_id
        return self.suffix or (() if end is None else (int(end),))

    @property
    def types(self) -> bool:
        """Whether it tells the two texts of a pair apart by token types."""
        return "token_type_ids" in self.wrapped.model_input_names


@dataclasses.dataclass(frozen=True)
class Frame:
    """Special pieces around and between two texts, and the types of all pieces.

    Attributes:
        before: Pieces before the first text, and their types.
        between: Those between both.
        after: Those after the second.
        first: Type of the first text's pieces.
        second: Type of the second's.
    """

    before: tuple[tuple[int, ...], tuple[int, ...]]
    between: tuple[tuple[int, ...], tuple[int, ...]]
    after: tuple[tuple[int, ...], tuple[int, ...]]
    first: int
    second: int


def files(folder: Path) -> list[Path]:
    """The files of the tokenizer in a model folder."""
    return [folder / name for name in _FILES if (folder / name).is_file()]


def copy(source: Path, target: Path) -> None:
    """Carries a tokenizer along byte for byte, so that its content hash stays the same along a chain of stages."""
    if source.resolve() == target.resolve():
        return
    target.mkdir(parents=True, exist_ok=True)
    for path in files(source):
        shutil.copyfile(path, target / path.name)


def copy_alone(source: Path, target: Path) -> None:
    """Carries a model folder's tokenizer to a folder without a model, where it must say itself of which class it is."""
    copy(source, target)
    settings = target / "tokenizer_config.json"
    if not settings.is_file() or "tokenizer_class" not in json.loads(settings.read_text("utf-8")):
        load(source).wrapped.save_pretrained(str(target))


def load(folder: Path, on_words: bool = False) -> Tokenizer:
    """The tokenizer of a model folder, from the process's cache where its content was seen before.

    Args:
        folder: In ``save_pretrained`` layout, of a model or of a tokenizer alone.
        on_words: Whether it will be given split words; byte-level ones then put a space before each.

    Raises:
        UserError: For a tokenizer that cannot be loaded, or only as slow Python code.
    """
    digest = hashlib.sha256(str(on_words).encode())
    # The architecture decides which class reads a bare vocab.txt.
    kind = [] if _stands_alone(folder) else [folder / "config.json"]
    for path in [*files(folder), *kind]:
        content = path.read_bytes() if path.name != "config.json" else _model_type(path)
        digest.update(path.name.encode() + hashlib.sha256(content).digest())
    return _load(_Place(digest.hexdigest(), folder), on_words)


@dataclasses.dataclass(frozen=True)
class _Place:
    """A folder that the cache knows by its content only."""

    content: str
    folder: Path = dataclasses.field(compare=False)


def check_same(one: Tokenizer, of_one: str, other: Tokenizer, of_other: str) -> None:
    """Refuses two tokenizers whose pieces are not the same in the same order.

    Args:
        one: The first.
        of_one: What it is of, for the error.
        other: The second.
        of_other: What that is of.

    Raises:
        UserError: Naming both, and their sizes or the first piece that differs.
    """
    if one.pieces == other.pieces:
        return
    sizes = len(one.pieces), len(other.pieces)
    place = next((i for i, pair in enumerate(zip(one.pieces, other.pieces, strict=False)) if pair[0] != pair[1]), None)
    how = (
        f"{sizes[0]:,} pieces, the other {sizes[1]:,}"
        if place is None
        else (f"{one.pieces[place]!r} as piece {place}, the other {other.pieces[place]!r}")
    )
    raise UserError(
        f"the tokenizer of {of_one} is another one than that of {of_other}: it has {how}. Give a corpus that was "
        "tokenized with the model's own tokenizer"
    )


def _stands_alone(folder: Path) -> bool:
    """Whether a folder without a model names its own class, as what ``save_pretrained`` of a tokenizer writes does."""
    return (folder / "tokenizer_config.json").is_file() and not (folder / "config.json").is_file()


def _model_type(config: Path) -> bytes:
    try:
        return str(json.loads(config.read_text("utf-8")).get("model_type")).encode()
    except (OSError, ValueError) as error:
        raise UserError(f"model folder {str(config.parent)!r} has no readable config.json: {error}") from error


@functools.lru_cache(maxsize=16)
def _load(place: _Place, on_words: bool) -> Tokenizer:
    # Rust threads gain little on sentences, and warn when the process forks.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import transformers

    try:
        wrapped = transformers.AutoTokenizer.from_pretrained(str(place.folder))
        if on_words and getattr(wrapped, "add_prefix_space", None) is False:
            wrapped = transformers.AutoTokenizer.from_pretrained(str(place.folder), add_prefix_space=True)
    except Exception as error:  # the library raises many kinds, from KeyError to Rust panics
        raise UserError(f"the tokenizer in {str(place.folder)!r} could not be loaded: {error}") from error
    if not wrapped.is_fast:
        raise UserError(f"the tokenizer in {str(place.folder)!r} is a slow one; convert it to a tokenizer.json")
    backend = wrapped.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    if wrapped.eos_token_id is not None and backend.num_special_tokens_to_add(True) == 0:
        _separate_pairs(backend, wrapped.eos_token, wrapped.eos_token_id)
    probe = backend.encode("a")
    inside = [index for index, sequence in enumerate(probe.sequence_ids) if sequence is not None]
    if not inside:
        raise UserError(f"the tokenizer in {str(place.folder)!r} drops the text 'a'; give one for English text")
    return Tokenizer(
        content=place.content,
        wrapped=wrapped,
        prefix=tuple(probe.ids[: inside[0]]),
        suffix=tuple(probe.ids[inside[-1] + 1 :]),
        pair_overhead=backend.num_special_tokens_to_add(True),
    )


def _separate_pairs(backend: Any, end: str, number: int) -> None:
    """Puts the piece that ends a text between those of a pair, which GPT-2's tokenizer would run into each other."""
    from tokenizers.processors import TemplateProcessing

    backend.post_processor = TemplateProcessing(single="$A", pair=f"$A {end} $B", special_tokens=[(end, number)])
