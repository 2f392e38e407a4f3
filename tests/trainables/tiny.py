"""What the tests of training share: tiny models, and a context that keeps its checkpoint in memory."""

from __future__ import annotations

import dataclasses
import importlib
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import ByteLevelBPETokenizer, SentencePieceUnigramTokenizer
from tokenizers.processors import TemplateProcessing

from trainables.context import MODEL, TOKENIZER, Alone, Context, Progress, Result, Run, World
from trainables.data import miniature
from trainables.expression import Stage
from trainables.stages import Pretrained, RandomInit

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@dataclasses.dataclass(frozen=True)
class Finished:
    """A stage that was run: the folder that it wrote to, and what it found."""

    folder: Path
    result: Result


class MemoryContext:
    """A stage's surroundings in a test; checkpoints go through the serialisation that the engine uses.

    Args:
        folder: Of the stage.
        start: The weights of every input that is not among the finished ones.
        due: Asked with the number of times that it was asked before.
        saved: A serialised checkpoint to start from.
        inputs: Finished stages.
        world: The processes that train it.

    Attributes:
        loaded: The inputs whose weights were asked for.
    """

    device = "cpu"

    def __init__(
        self,
        folder: Path,
        start: Path,
        due: Callable[[int], bool] = lambda asked: False,
        saved: bytes | None = None,
        keep_model: bool = True,
        inputs: Mapping[Stage, Finished] | None = None,
        world: World | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.loaded: list[Stage] = []
        self._inputs = inputs or {}
        self.folder = folder
        self.keep_model = keep_model
        self.world = world or Alone()
        self.saved = saved
        self._start = start
        self._due = due
        self._asked = 0

    def model_folder(self, stage: Stage) -> Path:
        self.loaded.append(stage)
        return self._inputs[stage].folder / MODEL if stage in self._inputs else self._start

    def tokenizer_folder(self, stage: Stage) -> Path:
        return self.model_folder(stage) if stage.makes_model else self._inputs[stage].folder / TOKENIZER

    def input_file(self, stage: Stage, name: str) -> Path:
        return self._inputs[stage].folder / name

    def input_result(self, stage: Stage) -> dict[str, Any]:
        return dataclasses.asdict(self._inputs[stage].result)

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


def finished(stage: Stage, folder: Path, start: Path, inputs: Mapping[Stage, Finished] | None = None) -> Finished:
    """Runs a stage of any kind."""
    module, _, name = stage.implementation.partition(":")
    implementation = getattr(importlib.import_module(module), name)
    _, result = finish(implementation(stage, MemoryContext(folder, start, inputs=inputs)))
    return Finished(folder, result)


def run_with_stops(
    implementation: Callable[[Any, Context], Run],
    stage: Stage,
    folder: Path,
    start: Path,
    stops: Iterator[int],
    due: Callable[[int], bool] = lambda asked: True,
    inputs: Mapping[Stage, Finished] | None = None,
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
        context = MemoryContext(folder, start, due, saved, inputs=inputs)
        run = implementation(stage, context)
        try:
            for _ in range(next(stops, 10**9)):
                next(run)
        except StopIteration as end:
            return end.value, stopped
        run.close()
        saved = context.saved
        stopped += 1


def _word_pieces(folder: Path, tokenizer: Any) -> int:
    """Writes a tokenizer of the miniature benchmark's most frequent words; the number of its pieces."""
    words = sorted({word for text in miniature.corpus("general")[:300] for word in text.lower().split()})
    characters = [chr(code) for code in range(33, 127)]
    pieces = dict.fromkeys([*SPECIAL, *characters, *("##" + character for character in characters), *words])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    tokenizer.from_pretrained(str(folder)).save_pretrained(str(folder))
    return len(pieces)


def bert(folder: Path, positions: int = 64, layers: int = 2, hidden_size: int = 32) -> Path:
    """A tiny BERT with the miniature benchmark's most frequent words as vocabulary."""
    pieces = _word_pieces(folder, transformers.BertTokenizerFast)
    torch.manual_seed(7)
    config = transformers.BertConfig(
        vocab_size=pieces,
        hidden_size=hidden_size,
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


def distilbert(folder: Path) -> Path:
    """A tiny DistilBERT: no pooler, no token types, other names for its sizes."""
    pieces = _word_pieces(folder, transformers.DistilBertTokenizerFast)
    torch.manual_seed(7)
    config = transformers.DistilBertConfig(
        vocab_size=pieces, dim=32, n_layers=2, n_heads=2, hidden_dim=64, max_position_embeddings=64
    )
    transformers.DistilBertForMaskedLM(config).save_pretrained(str(folder))
    return folder


def albert(folder: Path, hidden_size: int = 32) -> Path:
    """A tiny ALBERT: factorised embeddings, one layer used twice, a sentence-piece tokenizer with its own pieces."""
    tokenizer = SentencePieceUnigramTokenizer()
    special = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        miniature.corpus("general")[:200],
        vocab_size=300,
        special_tokens=special,
        unk_token="<unk>",
        show_progress=False,
    )
    folder.mkdir(parents=True, exist_ok=True)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), mask_token="[MASK]", **names
    )
    wrapped.save_pretrained(str(folder))
    torch.manual_seed(7)
    config = transformers.AlbertConfig(
        vocab_size=len(wrapped),
        embedding_size=16,
        hidden_size=hidden_size,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.1,
    )
    transformers.AlbertForMaskedLM(config).save_pretrained(str(folder))
    return folder


def gpt2(folder: Path, positions: int = 64, layers: int = 2) -> Path:
    """A tiny GPT-2 with byte pairs of the miniature benchmark: no special pieces around a text, none to pad with."""
    return _random(folder, positions, layers, "gpt2")


def t5(folder: Path, positions: int = 64, layers: int = 2) -> Path:
    """A tiny T5 with a unigram model of the miniature benchmark: ``</s>`` ends a text, sentinels mark its blanks."""
    return _random(folder, positions, layers, "t5")


def _random(folder: Path, positions: int, layers: int, architecture: str) -> Path:
    sizes = {"vocabulary_size": 500, "hidden_size": 32, "heads": 2, "intermediate_size": 64, "positions": positions}
    stage = RandomInit("mini:general", layers=layers, architecture=architecture, **sizes)  # type: ignore[arg-type]
    finished(stage, folder / "made", folder)
    for path in (folder / "made" / MODEL).iterdir():
        path.rename(folder / path.name)
    return folder


def pretrained(folder: Path) -> Pretrained:
    """The expression of a tiny model."""
    return Pretrained(str(folder))
