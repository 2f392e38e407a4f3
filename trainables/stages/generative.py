"""Language modelling with generative models, and their distillation on a corpus (VE-KD's appendix E)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainables.errors import UserError
from trainables.expression import Stage
from trainables.stages import rules
from trainables.stages.text import ExpandedVocabulary, TokenizedCorpus
from trainables.stages.vocabulary_expansion import NEW_EMBEDDINGS, check_layers, depth


@dataclass(frozen=True)
class GenerativeLanguageModel(Stage):
    """Pretraining or domain adaptation of a generative model by its own task.

    A decoder (GPT-2) says the next word; an encoder with a decoder (T5) fills in the blanks of a text.

    Attributes:
        corpus: The text in pieces, of the model's tokenizer.
        init: The model to start from: GPT-2 or T5.
        epochs: Passes over the corpus.
        batch_size: Sequences per step, over all processes.
        micro_batch_size: Sequences that go through the model together.
        learning_rate: Peak of the linear schedule.
        warmup_ratio: Warm-up as a share of all steps.
        weight_decay: Of AdamW; none on biases and norms.
        clip_norm: Largest gradient norm.
        seed: Of blanks, order and dropout.
    """

    corpus: TokenizedCorpus
    init: Stage
    epochs: int = 1
    batch_size: int = 32
    micro_batch_size: int = 32
    learning_rate: float = 1e-4
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    seed: int = 0

    implementation: ClassVar[str] = "trainables.generative:run"

    def check(self) -> None:
        """Refuses values out of range and an input without weights."""
        rules.at_least(self, 1, "epochs", "batch_size", "micro_batch_size")
        rules.positive(self, "learning_rate", "clip_norm")
        rules.share(self, "warmup_ratio")
        rules.at_least(self, 0, "weight_decay")
        rules.starts_from_model(self, self.init)

    @property
    def data_parallel(self) -> bool:
        """Always: a step is made of micro-batches."""
        return True

    def label(self) -> str:
        """What is modelled."""
        return f"LM {self.corpus.name}"


@dataclass(frozen=True)
class GenerativeLMDistillation(Stage):
    """A smaller generative model taught by a larger one on a corpus (Gao et al. 2024, appendix E).

    The student is GPT-2 or T5 as its teacher is, and begins with some of its layers. With :class:`AddedWords` as the
    corpus's tokenizer the new words, and as many general pieces, are hidden from both, and the teacher is heard at
    general pieces alone; the student learns all of them from the text. Without, it is distillation as DistilBERT's.

    Attributes:
        teacher: GPT-2 or T5.
        corpus: The text in pieces, of the teacher's tokenizer or one that expands it.
        layers: Those of the teacher that the student begins with, counted from 0, of T5 both in the encoder and in the
            decoder.
        new_embeddings: How new words' embeddings begin: ``mean`` of their old pieces', or ``random``.
        tolerance: Subtracted from each weighted distillation loss, which stays at or above 0.
        temperature: Of the teacher's and student's distributions.
        kl_weight: Of the Kullback-Leibler divergence.
        cosine_weight: Of one less the cosine of the last hidden states (of T5, the decoder's).
        mse_weight: Of the squared difference of the logits.
        lm_weight: Alpha, of the language-modelling loss.
        epochs: Passes over the corpus.
        batch_size: Sequences per step, over all processes.
        micro_batch_size: Sequences that go through the model together; the tolerance is applied to each such batch.
        learning_rate: Peak of the linear schedule.
        warmup_ratio: Warm-up as a share of all steps.
        weight_decay: Of AdamW.
        clip_norm: Largest gradient norm.
        seed: Of hidden pieces, order, new weights and dropout.
    """

    teacher: Stage
    corpus: TokenizedCorpus
    layers: tuple[int, ...] = (0, 2, 4, 7, 9, 11)
    new_embeddings: str = "mean"
    tolerance: float = 0.0
    temperature: float = 2.0
    kl_weight: float = 2.0
    cosine_weight: float = 5.0
    mse_weight: float = 1.0
    lm_weight: float = 1.0
    epochs: int = 5
    batch_size: int = 240
    micro_batch_size: int = 30
    learning_rate: float = 5e-4
    warmup_ratio: float = 0.1
    weight_decay: float = 0.0
    clip_norm: float = 5.0
    seed: int = 0

    implementation: ClassVar[str] = "trainables.generative:distil"
    prunable: ClassVar[bool] = True

    def check(self) -> None:
        """Refuses values out of range, unknown choices, and inputs of the wrong kind."""
        rules.at_least(self, 1, "epochs", "batch_size", "micro_batch_size")
        rules.positive(self, "learning_rate", "clip_norm", "temperature")
        rules.share(self, "warmup_ratio")
        weights = ("kl_weight", "cosine_weight", "mse_weight", "lm_weight")
        rules.at_least(self, 0, "tolerance", "weight_decay", *weights)
        rules.one_of(self, "new_embeddings", NEW_EMBEDDINGS)
        rules.starts_from_model(self, self.teacher, "teacher")
        if not any(getattr(self, name) for name in weights):
            raise UserError(
                f"GenerativeLMDistillation: {', '.join(weights)} are all 0, so nothing is learned; raise one"
            )
        if not self.layers or min(self.layers) < 0 or len(set(self.layers)) < len(self.layers):
            raise UserError(
                f"GenerativeLMDistillation.layers={list(self.layers)} must be different layers of the teacher, from 0 "
                "on"
            )
        there = depth(self.teacher)
        if there is not None:
            check_layers(self.layers, there, type(self).__name__)

    @property
    def data_parallel(self) -> bool:
        """Always: a step is made of micro-batches."""
        return True

    @property
    def expands(self) -> bool:
        """Whether the corpus's tokenizer has pieces that the teacher lacks."""
        return isinstance(self.corpus.tokenizer, ExpandedVocabulary)

    @property
    def schedule(self) -> str:
        """What its held-out loss depends on besides how well it learns: other pieces have other losses."""
        return f"{self.epochs} epochs on {self.corpus.key}"

    def label(self) -> str:
        """What is distilled on what."""
        what = f"VE-KD of {self.corpus.tokenizer.size:,}" if self.expands else "distillation"  # type: ignore[attr-defined]
        return f"{what} on {self.corpus.name} from {self.teacher.label()}"
