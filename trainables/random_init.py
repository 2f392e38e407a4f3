"""A model with random weights and a vocabulary of its own: where pretraining from scratch starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from trainables.context import MODEL, Context, Progress, Result, Run
from trainables.data import corpora, subwords, vocabulary
from trainables.stages import RandomInit
from trainables.training import models, seeds


def run(stage: RandomInit, context: Context) -> Run:
    """Trains the vocabulary, draws the weights, and writes ``model/`` with the head of the pretraining task.

    Raises:
        UserError: For an empty corpus, or a vocabulary too small for its characters.
    """
    save_tokenizer, make_model = _ARCHITECTURES[stage.architecture]
    folder = context.folder / MODEL
    folder.mkdir(parents=True, exist_ok=True)
    pieces = save_tokenizer(stage, folder)
    yield Progress(1, 2, "vocabulary")
    torch.manual_seed(seeds.derive(stage.seed, "weights"))
    model = make_model(stage, pieces)
    models.save(model, folder, folder)
    yield Progress(2, 2, "weights")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Result({}, facts={"parameters": parameters, "vocabulary": pieces, "steps": 0, "tokens": 0})


def _word_pieces(stage: RandomInit, folder: Path) -> int:
    """Writes BERT's tokenizer; the number of its pieces."""
    import transformers

    pieces = vocabulary.train(corpora.read(stage.vocabulary), stage.vocabulary_size)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    tokenizer: Any = transformers.BertTokenizerFast.from_pretrained(str(folder), model_max_length=stage.positions)
    tokenizer.save_pretrained(str(folder))
    return len(pieces)


def _byte_pairs(stage: RandomInit, folder: Path) -> int:
    """Writes GPT-2's tokenizer; the number of its pieces."""
    import transformers

    numbers, merges = subwords.byte_pairs(corpora.read(stage.vocabulary), stage.vocabulary_size)
    tokenizer: Any = transformers.GPT2Tokenizer(vocab=numbers, merges=merges, model_max_length=stage.positions)
    tokenizer.save_pretrained(str(folder))
    return len(numbers)


def _unigram(stage: RandomInit, folder: Path) -> int:
    """Writes T5's tokenizer; the number of its pieces."""
    import transformers

    pieces = subwords.unigram(corpora.read(stage.vocabulary), stage.vocabulary_size)
    tokenizer: Any = transformers.T5Tokenizer(
        vocab=pieces, extra_ids=subwords.SENTINELS, model_max_length=stage.positions
    )
    tokenizer.save_pretrained(str(folder))
    return len(pieces)


def _bert(stage: RandomInit, pieces: int) -> Any:
    import transformers

    return transformers.BertForMaskedLM(
        transformers.BertConfig(
            vocab_size=pieces,
            hidden_size=stage.hidden_size,
            num_hidden_layers=stage.layers,
            num_attention_heads=stage.heads,
            intermediate_size=stage.intermediate_size,
            max_position_embeddings=stage.positions,
            hidden_dropout_prob=stage.dropout,
            attention_probs_dropout_prob=stage.dropout,
            initializer_range=stage.initializer_range,
        )
    )


def _gpt2(stage: RandomInit, pieces: int) -> Any:
    import transformers

    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=pieces,
            n_positions=stage.positions,
            n_embd=stage.hidden_size,
            n_layer=stage.layers,
            n_head=stage.heads,
            n_inner=stage.intermediate_size,
            resid_pdrop=stage.dropout,
            embd_pdrop=stage.dropout,
            attn_pdrop=stage.dropout,
            initializer_range=stage.initializer_range,
            bos_token_id=0,  # subwords.END_OF_TEXT
            eos_token_id=0,
        )
    )


def _t5(stage: RandomInit, pieces: int) -> Any:
    import transformers

    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=pieces,
            d_model=stage.hidden_size,
            d_kv=stage.hidden_size // stage.heads,
            d_ff=stage.intermediate_size,
            num_layers=stage.layers,
            num_heads=stage.heads,
            dropout_rate=stage.dropout,
            decoder_start_token_id=0,  # subwords.PAD
        )
    )


#: How each writes its tokenizer (and how many pieces that has), and what is made of it.
_ARCHITECTURES: Mapping[str, tuple[Callable[[RandomInit, Path], int], Callable[[RandomInit, int], Any]]] = (
    MappingProxyType({"bert": (_word_pieces, _bert), "gpt2": (_byte_pairs, _gpt2), "t5": (_unigram, _t5)})
)
