"""Smaller language models that begin as parts of a larger one, and vocabularies that outgrow a model's.

A student is of its teacher's architecture. It takes chosen layers over, and everything that is not a layer: embeddings,
norms, the head of its pretraining task. With another width nothing fits, and it begins at random (Gao et al. 2024,
appendix D).
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from trainables.errors import UserError
from trainables.stages.vocabulary_expansion import MaskedLMDistillation, check_layers
from trainables.training import seeds
from trainables.training.tokenizers import Tokenizer

_INSIDE = "##"
#: The number of a layer in the name of one of its weights: of GPT-2, of T5's encoder and decoder, and of BERT's like.
_LAYERS = {"gpt2": re.compile(r"(?<=\.h\.)\d+(?=\.)"), "t5": re.compile(r"(?<=coder\.block\.)\d+(?=\.)")}
_LAYER = re.compile(r"(?<=\.layer\.)\d+(?=\.)")
#: What only T5's first layers have, for all of them.
_OF_FIRST_LAYER = "relative_attention_bias"
#: Settings that count layers.
_DEPTHS = ("num_hidden_layers", "num_decoder_layers")
#: Vocabularies that added words expand.
_WITH_ADDED_WORDS = ("BPE", "Unigram")


@dataclasses.dataclass(frozen=True)
class AddedPieces:
    """What a vocabulary has beyond a teacher's.

    Attributes:
        known: Number of the teacher's pieces, which come first and keep their numbers.
        parts: For each new piece, in the order of their numbers, what the teacher's tokenizer makes of it.
    """

    known: int
    parts: tuple[tuple[int, ...], ...]

    @property
    def size(self) -> int:
        """Pieces in all."""
        return self.known + len(self.parts)

    @classmethod
    def of(cls, base: Tokenizer, expanded: Tokenizer) -> AddedPieces:
        """Compares two tokenizers.

        Raises:
            UserError: For a tokenizer that is neither the base nor an expansion of it, with a piece that differs, and
                for new pieces that its kind of vocabulary cannot have.
        """
        old, new = (_numbered(tokenizer) for tokenizer in (base, expanded))
        for number, piece in enumerate(old):
            if number >= len(new) or new[number] != piece:
                other = repr(new[number]) if number < len(new) else "missing"
                raise UserError(
                    f"piece {number} is {piece!r} in the teacher's vocabulary and {other} in the corpus's; tokenize "
                    "the corpus with the teacher's tokenizer, or with a WordPieceVocabulary (AddedWords for GPT-2 and "
                    "T5) whose base is the teacher"
                )
        further = new[len(old) :]
        kind = type(base.backend.model).__name__
        if further and kind in _WITH_ADDED_WORDS:
            return cls(len(old), _spelt(further, base, expanded))
        if further and kind != "WordPiece":
            raise UserError(
                f"the teacher's vocabulary is of kind {kind}, and only WordPiece, BPE and Unigram ones can be "
                "expanded; give the corpus the teacher's own tokenizer"
            )
        pieces = {piece: number for number, piece in enumerate(old)}
        unknown = base.wrapped.unk_token_id
        return cls(len(old), tuple(parts_of(piece, pieces) or (unknown,) for piece in further))

    def extended(self, rows: Tensor, deviation: float | None, chance: torch.Generator) -> Tensor:
        """Rows of a matrix or bias, one per piece, with those of the new pieces.

        Args:
            rows: The teacher's ``[pieces, ...]``; those beyond the known ones, which fill a matrix up, are dropped.
            deviation: Of new rows at random; None for means of the rows of their parts.
            chance: On the CPU.
        """
        kept = rows[: self.known]
        shape = (len(self.parts), *rows.shape[1:])
        if not self.parts:
            return rows
        if deviation is not None:
            made = torch.randn(shape, generator=chance) * deviation
        else:
            made = torch.stack([kept[list(part)].mean(dim=0) for part in self.parts])
        return torch.cat([kept, made.to(kept)])


def parts_of(piece: str, vocabulary: Mapping[str, int]) -> tuple[int, ...]:
    """What WordPiece makes of a piece's text: longest match first, from where the piece stands in its word.

    A piece inside of a word (``##azole``) is made of pieces inside of words (``##az``, ``##ole``): the old tokenizer
    shows these in its place, while ``az`` begins other words.

    Args:
        piece: With ``##`` where it does not begin a word.
        vocabulary: The pieces that there are, and their numbers.

    Returns:
        Their numbers; none where the vocabulary cannot spell the piece.
    """
    found: list[int] = []
    rest, inside = piece.removeprefix(_INSIDE), piece.startswith(_INSIDE)
    while rest:
        for end in range(len(rest), 0, -1):
            number = vocabulary.get((_INSIDE if inside else "") + rest[:end])
            if number is not None:
                break
        else:
            return ()
        found.append(number)
        rest, inside = rest[end:], True
    return tuple(found)


def _spelt(words: Sequence[str], base: Tokenizer, expanded: Tokenizer) -> tuple[tuple[int, ...], ...]:
    """What a tokenizer makes of added words as they stand in running text, after a blank."""
    known = expanded.wrapped.get_added_vocab()
    for word in words:
        if word not in known:
            raise UserError(
                f"piece {word!r} of the corpus's vocabulary is new but no added token, so it changed how the teacher's "
                "other pieces are made; expand the vocabulary with AddedWords"
            )
    encodings = base.backend.encode_batch([f" {word}" for word in words], add_special_tokens=False)
    return tuple(tuple(encoding.ids) or (base.wrapped.unk_token_id,) for encoding in encodings)


def from_layers(
    teacher: Any,
    layers: Sequence[int],
    added: AddedPieces,
    new: str,
    seed: int,
    stage: str = MaskedLMDistillation.__name__,
) -> Any:
    """A student that begins with some of its teacher's layers; of T5, with these of its encoder and of its decoder.

    Args:
        teacher: A language model of transformers.
        layers: Which, counted from 0.
        added: What the student's vocabulary has beyond the teacher's.
        new: How embeddings and output biases of new pieces begin: ``mean`` or ``random``.
        seed: Of random ones.
        stage: Name of the stage that takes them, for the error.

    Returns:
        A model in training mode, float32, on the CPU.

    Raises:
        UserError: For a layer that the teacher lacks, with the number of those that it has.
    """
    config = teacher.config
    depths = {name: getattr(config, name) for name in _DEPTHS if getattr(config, name, None) is not None}
    check_layers(tuple(layers), min(depths.values()), stage)
    pieces = added.size if added.parts else config.vocab_size
    student = _made(teacher, {**dict.fromkeys(depths, len(layers)), "vocab_size": pieces}, seed)
    layer = _LAYERS.get(config.model_type, _LAYER)
    states = teacher.state_dict()
    vocabulary = _of_pieces(teacher)
    taken = {}
    for name, value in student.state_dict().items():
        # T5's first layer has the positions of all, whichever layer of the teacher it is.
        source = name if _OF_FIRST_LAYER in name else layer.sub(lambda match: str(layers[int(match[0])]), name)
        found = states[source]
        if source in vocabulary:
            deviation = None if new == "mean" else _deviation(teacher, value)
            found = added.extended(found, deviation, seeds.generator(seed, "new pieces"))
        taken[name] = found
    student.load_state_dict(taken)
    return student


def at_random(teacher: Any, layers: int, hidden_size: int, heads: int | None, added: AddedPieces, seed: int) -> Any:
    """A student of another width than its teacher's; its feed-forward layers keep their proportion to the width.

    Args:
        teacher: A masked-language model of transformers; gives the architecture.
        layers: How many.
        hidden_size: Width.
        heads: Attention heads per layer; None for as many as the teacher has.
        added: What the student's vocabulary has beyond the teacher's.
        seed: Of the weights.

    Returns:
        A model in training mode, float32, on the CPU.

    Raises:
        UserError: For heads that do not divide the width.
    """
    config = teacher.config
    own = config.num_attention_heads if heads is None else heads
    if hidden_size % own:
        whose = "heads" if heads is not None else "the teacher's number of heads"
        near = max(number for number in range(1, own + 1) if hidden_size % number == 0)
        raise UserError(
            f"MaskedLMDistillation.hidden_size={hidden_size} must be a multiple of {whose}, {own}; give heads={near}"
        )
    inner = "hidden_dim" if config.model_type == "distilbert" else "intermediate_size"
    settings = {
        "num_hidden_layers": layers,
        "hidden_size": hidden_size,
        "num_attention_heads": own,
        inner: max(1, round(getattr(config, inner) * hidden_size / config.hidden_size)),
        "vocab_size": added.size if added.parts else config.vocab_size,
    }
    return _made(teacher, settings, seed)


def projection(student: int, teacher: int, seed: int) -> nn.Linear:
    """W_h of appendix D: maps a student's hidden states to the teacher's width; without a bias, Xavier-uniform."""
    made = nn.Linear(student, teacher, bias=False)
    nn.init.xavier_uniform_(made.weight, generator=seeds.generator(seed, "projection"))
    return made


def _made(teacher: Any, settings: Mapping[str, int], seed: int) -> Any:
    """A model of the teacher's class with random weights."""
    config = copy.deepcopy(teacher.config)
    for name, value in settings.items():
        setattr(config, name, value)
    torch.manual_seed(seeds.derive(seed, "weights"))
    return type(teacher)(config).float().train()


def _of_pieces(model: Any) -> frozenset[str]:
    """Names of the weights that have a row per piece: the embeddings, and the output's matrix and biases."""
    pieces = {id(value) for value in model.get_input_embeddings().parameters()}
    pieces |= {id(value) for value in model.get_output_embeddings().parameters()}
    return frozenset(name for name, value in model.named_parameters(remove_duplicate=False) if id(value) in pieces)


def _deviation(teacher: Any, rows: Tensor) -> float:
    """Of new random rows: as transformers initialises embeddings; biases begin at 0."""
    config = teacher.config
    deviation = config.initializer_factor if config.model_type == "t5" else config.initializer_range
    return float(deviation) if rows.dim() > 1 else 0.0


def _numbered(tokenizer: Tokenizer) -> list[str]:
    """Pieces by number.

    Raises:
        UserError: For numbers with gaps, which no new piece can follow.
    """
    vocabulary = tokenizer.wrapped.get_vocab()
    found = tokenizer.pieces
    if len(found) != max(vocabulary.values()) + 1:
        raise UserError(
            f"the vocabulary has {len(found)} pieces and numbers up to {max(vocabulary.values())}; they must be "
            "numbered without gaps"
        )
    return found
