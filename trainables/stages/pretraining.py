"""Stages that make encoders: pretrained weights, random ones, masked-language modelling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from trainables.data import corpora, pretrained
from trainables.errors import UserError
from trainables.expression import LOCATED, Stage
from trainables.stages import rules
from trainables.stages.text import TokenizedCorpus, short

#: What can begin with random weights.
ARCHITECTURES = ("bert", "gpt2", "t5")


@dataclass(frozen=True)
class Pretrained(Stage):
    """Weights that lie elsewhere: a hub id with its revision, or a local folder.

    Attributes:
        name: Hub id, or path of a folder in ``save_pretrained`` layout.
        revision: Commit, branch or tag on the hub; resolved to a commit for the key.
    """

    name: str = field(metadata=LOCATED)
    revision: str | None = field(default=None, metadata=LOCATED)

    stored: ClassVar[bool] = False

    def fingerprints(self) -> dict[str, str]:
        """Content hash of a local folder's files, or the hub commit."""
        return {"weights": pretrained.fingerprint(self.name, self.revision)}

    def to_json(self) -> dict[str, Any]:
        """As every stage, with the hub revision as the commit that the key was made of.

        So a worker loads the very weights that the driver planned with, even if the branch moves meanwhile.
        """
        form = super().to_json()
        if not pretrained.is_folder(self.name):
            form["revision"] = pretrained.commit(self.name, self.revision)
        return form

    def label(self) -> str:
        """The model's name, of a folder its last part."""
        return self.name.rstrip("/").rsplit("/", 1)[-1]


@dataclass(frozen=True)
class RandomInit(Stage):
    """A model with random weights and a vocabulary trained on a corpus: a BERT encoder unless another is asked for.

    Attributes:
        vocabulary: Corpus of the vocabulary; see :mod:`trainables.data.corpora`.
        vocabulary_size: Pieces at most, special tokens included: word pieces of BERT, byte pairs of GPT-2, a unigram
            model of T5.
        hidden_size: Width.
        layers: Transformer layers; T5 has as many in its encoder and again in its decoder.
        heads: Attention heads per layer; they divide the width.
        intermediate_size: Width of the feed-forward layers.
        positions: Longest input in word pieces. T5's positions are relative; its tokenizer says this length.
        dropout: Of hidden states and attention weights, wherever the model is trained.
        initializer_range: Standard deviation of the weights, and of every head made later; BERT's 0.02 suits its
            width of 768, narrower models want more (like one over the root of the width). T5's weights have
            deviations of its own, that of its embeddings is 1; of T5 it is not looked at.
        seed: Of the weights.
        architecture: ``bert``, ``gpt2`` or ``t5``.
    """

    vocabulary: str = field(metadata=LOCATED)
    vocabulary_size: int = 30_522
    hidden_size: int = 768
    layers: int = 12
    heads: int = 12
    intermediate_size: int = 3_072
    positions: int = 512
    dropout: float = 0.1
    initializer_range: float = 0.02
    seed: int = 0
    architecture: str = "bert"

    implementation: ClassVar[str] = "trainables.random_init:run"

    def check(self) -> None:
        """Refuses sizes below 1, heads that do not divide the width, and an unknown architecture."""
        rules.at_least(self, 1, "vocabulary_size", "hidden_size", "layers", "heads", "intermediate_size", "positions")
        if self.hidden_size % self.heads:
            raise UserError(f"RandomInit.heads={self.heads} must divide hidden_size={self.hidden_size}")
        rules.share(self, "dropout")
        rules.positive(self, "initializer_range")
        rules.one_of(self, "architecture", ARCHITECTURES)

    def fingerprints(self) -> dict[str, str]:
        """Hash of the vocabulary's corpus."""
        return {"vocabulary": corpora.fingerprint(self.vocabulary)}

    def label(self) -> str:
        """The architecture in short."""
        kind = "" if self.architecture == ARCHITECTURES[0] else f" {self.architecture}"
        return f"random{kind} {self.layers}x{self.hidden_size}"


@dataclass(frozen=True)
class MaskedLanguageModel(Stage):
    """Pretraining or domain adaptation: masked-language modelling as in BERT (15%, 80/10/10).

    Attributes:
        corpus: Unlabelled text; see :mod:`trainables.data.corpora`. A :class:`TokenizedCorpus` is read from its file,
            however large, and has its own ``max_length``.
        init: The model to start from.
        data: Source of the task's text where ``corpus`` is ``task:NAME``.
        epochs: Passes over the corpus. None where ``steps`` are given.
        batch_size: Sequences per step, over all processes.
        micro_batch_size: Sequences that go through the model together; the step's gradient is summed over them, and
            several processes can share them. None takes the whole batch at once.
        learning_rate: Peak of the linear schedule.
        max_length: Word pieces per sequence.
        mask_rate: Share of tokens to predict.
        warmup_ratio: Warm-up as a share of all steps.
        weight_decay: Of AdamW; none on biases and norms.
        clip_norm: Largest gradient norm.
        seed: Of masking, order and dropout.
        steps: Steps of training, whatever the size of the corpus; instead of ``epochs``.
    """

    corpus: str | TokenizedCorpus = field(metadata=LOCATED)
    init: Stage
    data: str | None = field(default=None, metadata=LOCATED)
    epochs: int | None = 1
    batch_size: int = 32
    micro_batch_size: int | None = None
    learning_rate: float = 1e-4
    max_length: int = 128
    mask_rate: float = 0.15
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    seed: int = 0
    steps: int | None = None

    implementation: ClassVar[str] = "trainables.masked_lm:run"

    def __post_init__(self) -> None:
        """Takes the one epoch back where steps are counted."""
        if self.steps is None and self.epochs is None:
            raise UserError("MaskedLanguageModel has neither epochs nor steps; give one of both")
        if self.steps is not None:
            if self.epochs not in (None, 1):
                raise UserError(f"MaskedLanguageModel: epochs={self.epochs} and steps={self.steps}; give one of both")
            object.__setattr__(self, "epochs", None)
        super().__post_init__()

    def check(self) -> None:
        """Refuses values out of range and an input without weights."""
        rules.at_least(self, 1, "epochs", "steps", "batch_size", "micro_batch_size")
        rules.at_least(self, rules.SHORTEST, "max_length")
        rules.positive(self, "learning_rate", "clip_norm", "mask_rate")
        rules.share(self, "mask_rate", "warmup_ratio")
        rules.at_least(self, 0, "weight_decay")
        rules.starts_from_model(self, self.init)

    def fingerprints(self) -> dict[str, str]:
        """Hash of the corpus."""
        return {} if isinstance(self.corpus, Stage) else {"corpus": corpora.fingerprint(self.corpus, self.data)}

    @property
    def data_parallel(self) -> bool:
        """Where there are micro-batches to share."""
        return self.micro_batch_size is not None

    def label(self) -> str:
        """What is modelled, of a file or folder its last part."""
        return f"MLM {self.corpus.name if isinstance(self.corpus, Stage) else short(self.corpus)}"
