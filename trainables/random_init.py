"""A BERT encoder with random weights and a word-piece vocabulary of its own: where pretraining from scratch starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from trainables.context import MODEL, Context, Progress, Result, Run
from trainables.data import corpora, vocabulary
from trainables.stages import RandomInit
from trainables.training import models, seeds


def run(stage: RandomInit, context: Context) -> Run:
    """Trains the vocabulary, draws the weights, and writes ``model/`` (``BertForMaskedLM``).

    Raises:
        UserError: For an empty corpus, or a vocabulary too small for its characters.
    """
    import transformers

    pieces = vocabulary.train(corpora.read(stage.vocabulary), stage.vocabulary_size)
    yield Progress(1, 2, "vocabulary")
    folder = context.folder / MODEL
    torch.manual_seed(seeds.derive(stage.seed, "weights"))
    model = transformers.BertForMaskedLM(
        transformers.BertConfig(
            vocab_size=len(pieces),
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
    _save_tokenizer(pieces, stage.positions, folder)
    models.save(model, folder, folder)
    yield Progress(2, 2, "weights")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Result({}, facts={"parameters": parameters, "vocabulary": len(pieces), "steps": 0, "tokens": 0})


def _save_tokenizer(pieces: list[str], positions: int, folder: Path) -> None:
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    tokenizer: Any = transformers.BertTokenizerFast.from_pretrained(str(folder), model_max_length=positions)
    tokenizer.save_pretrained(str(folder))
