"""What the tests of training share: tiny models, and a context that keeps its checkpoint in memory."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import ByteLevelBPETokenizer

from trainables.context import Context, Progress, Result, Run
from trainables.data import miniature
from trainables.expression import Stage
from trainables.stages import Pretrained

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


class MemoryContext:
    """A stage's surroundings in a test; checkpoints go through the serialisation that the engine uses.

    Args:
        folder: Of the stage.
        start: The folder of every input.
        due: Asked with the number of times that it was asked before.
        saved: A serialised checkpoint to start from.
    """

    device = "cpu"

    def __init__(
        self,
        folder: Path,
        start: Path,
        due: Callable[[int], bool] = lambda asked: False,
        saved: bytes | None = None,
        keep_model: bool = True,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.keep_model = keep_model
        self.saved = saved
        self._start = start
        self._due = due
        self._asked = 0

    def model_folder(self, stage: Stage) -> Path:
        return self._start

    def load_checkpoint(self) -> dict[str, Any] | None:
        if self.saved is None:
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(self.saved), weights_only=True)
        return state

    def checkpoint_due(self) -> bool:
        self._asked += 1
        return self._due(self._asked - 1)

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.saved = buffer.getvalue()


def finish(run: Run) -> tuple[list[Progress], Result]:
    """Runs a stage to its end."""
    seen: list[Progress] = []
    while True:
        try:
            seen.append(next(run))
        except StopIteration as end:
            return seen, end.value


def run_with_stops(
    implementation: Callable[[Any, Context], Run],
    stage: Stage,
    folder: Path,
    start: Path,
    stops: Iterator[int],
    due: Callable[[int], bool] = lambda asked: True,
) -> tuple[Result, int]:
    """Runs a stage that is thrown away after so many yields, each time continued from its last checkpoint.

    Returns:
        The result, and how often it was stopped.
    """
    saved: bytes | None = None
    stopped = 0
    while True:
        # A worker that is reused has other random numbers behind it.
        torch.manual_seed(1_000 + stopped)
        context = MemoryContext(folder, start, due, saved)
        run = implementation(stage, context)
        try:
            for _ in range(next(stops, 10**9)):
                next(run)
        except StopIteration as end:
            return end.value, stopped
        run.close()
        saved = context.saved
        stopped += 1


def bert(folder: Path, positions: int = 64, layers: int = 2) -> Path:
    """A tiny BERT with the miniature benchmark's most frequent words as vocabulary."""
    words = sorted({word for text in miniature.corpus("general")[:300] for word in text.lower().split()})
    characters = [chr(code) for code in range(33, 127)]
    pieces = dict.fromkeys([*SPECIAL, *characters, *("##" + character for character in characters), *words])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    transformers.BertTokenizerFast.from_pretrained(str(folder)).save_pretrained(str(folder))
    torch.manual_seed(7)
    config = transformers.BertConfig(
        vocab_size=len(pieces),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=positions,
    )
    transformers.BertForMaskedLM(config).save_pretrained(str(folder))
    return folder


def roberta(folder: Path, positions: int = 66) -> Path:
    """A tiny RoBERTa with a byte-level tokenizer: other special pieces, ``<s>`` is piece 0, one token type."""
    tokenizer = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(miniature.corpus("general")[:200], vocab_size=400, special_tokens=special)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_model(str(folder))
    wrapped = transformers.RobertaTokenizerFast(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=positions - 2
    )
    wrapped.save_pretrained(str(folder))
    torch.manual_seed(7)
    config = transformers.RobertaConfig(
        vocab_size=len(wrapped),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=positions,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
    transformers.RobertaForMaskedLM(config).save_pretrained(str(folder))
    return folder


def pretrained(folder: Path) -> Pretrained:
    """The expression of a tiny model."""
    return Pretrained(str(folder))
