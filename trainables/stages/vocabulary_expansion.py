"""Distillation of a masked-language model on a corpus, with or without new pieces (VE-KD; DistilBERT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainables.data import pretrained
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.stages import rules
from trainables.stages.pretraining import Pretrained, RandomInit
from trainables.stages.text import ExpandedVocabulary, TokenizedCorpus

#: How new pieces' embeddings begin: as the mean of what the old vocabulary makes of them, or at random.
NEW_EMBEDDINGS = ("mean", "random")
#: What stands for a chosen ordinary piece: BERT's 80/10/10 (the paper), or always the mask (its released code).
REPLACEMENTS = ("bert", "mask")


@dataclass(frozen=True)
class MaskedLMDistillation(Stage):
    """A smaller masked-language model taught by a larger one on a corpus (Gao et al. 2024, "VE-KD").

    Which pieces are new the corpus's tokenizer says: with a :class:`WordPieceVocabulary` these are always masked, and
    the student learns them from the text alone; on all other positions it learns from the teacher, too. Without new
    pieces and tolerance this is DistilBERT (Sanh et al. 2019) on the corpus.

    Attributes:
        teacher: A masked-language model.
        corpus: The text in pieces, of the teacher's tokenizer or one that expands it.
        init: The student's first weights; None takes the teacher's ``layers``.
        layers: Those of the teacher that the student begins with, counted from 0; how many there are is its depth.
            Not looked at with ``init``.
        hidden_size: The student's width; None is the teacher's. Of another width it begins at random, its feed-forward
            layers in proportion, and learns a projection of its hidden states (appendix D). Not given with ``init``.
        heads: The student's attention heads, of another width than its teacher; None keeps the teacher's number.
        new_embeddings: ``mean`` or ``random``.
        replacement: ``bert`` or ``mask``.
        mask_rate: Share of ordinary pieces to predict.
        tolerance: Epsilon of section 3.3; subtracted from each weighted distillation loss, which stays at or above 0.
        temperature: Of the teacher's and student's distributions.
        kl_weight: Of the Kullback-Leibler divergence.
        cosine_weight: Of one less the cosine of the last hidden states.
        mse_weight: Of the squared difference of the logits.
        mlm_weight: Alpha, of the masked-language-modelling loss.
        epochs: Passes over the corpus.
        batch_size: Sequences per step, over all processes.
        micro_batch_size: Sequences that go through the model together; the tolerance is applied to each such batch.
        learning_rate: Peak of the linear schedule.
        warmup_ratio: Warm-up as a share of all steps.
        weight_decay: Of AdamW.
        clip_norm: Largest gradient norm.
        seed: Of masking, order, new weights and dropout.
    """

    teacher: Stage
    corpus: TokenizedCorpus
    init: Stage | None = None
    layers: tuple[int, ...] = (0, 2, 4, 7, 9, 11)
    hidden_size: int | None = None
    heads: int | None = None
    new_embeddings: str = "mean"
    replacement: str = "bert"
    mask_rate: float = 0.15
    tolerance: float = 0.0
    temperature: float = 2.0
    kl_weight: float = 2.0
    cosine_weight: float = 5.0
    mse_weight: float = 1.0
    mlm_weight: float = 1.0
    epochs: int = 5
    batch_size: int = 240
    micro_batch_size: int = 30
    learning_rate: float = 5e-4
    warmup_ratio: float = 0.1
    weight_decay: float = 0.0
    clip_norm: float = 5.0
    seed: int = 0

    implementation: ClassVar[str] = "trainables.vekd:run"
    prunable: ClassVar[bool] = True

    def check(self) -> None:
        """Refuses values out of range, unknown choices, and inputs of the wrong kind."""
        rules.at_least(self, 1, "epochs", "batch_size", "micro_batch_size", "hidden_size", "heads")
        rules.positive(self, "learning_rate", "clip_norm", "mask_rate", "temperature")
        rules.share(self, "mask_rate", "warmup_ratio")
        weights = ("kl_weight", "cosine_weight", "mse_weight", "mlm_weight")
        rules.at_least(self, 0, "tolerance", "weight_decay", *weights)
        rules.one_of(self, "new_embeddings", NEW_EMBEDDINGS)
        rules.one_of(self, "replacement", REPLACEMENTS)
        rules.starts_from_model(self, self.teacher, "teacher")
        if not any(getattr(self, name) for name in weights):
            raise UserError(f"MaskedLMDistillation: {', '.join(weights)} are all 0, so nothing is learned; raise one")
        if not self.layers or min(self.layers) < 0 or len(set(self.layers)) < len(self.layers):
            raise UserError(
                f"MaskedLMDistillation.layers={list(self.layers)} must be different layers of the teacher, from 0 on"
            )
        if self.init is not None:
            rules.starts_from_model(self, self.init)
            for name in ("hidden_size", "heads"):
                if getattr(self, name) is not None:
                    raise UserError(
                        f"MaskedLMDistillation.{name}={getattr(self, name)} is init's already; leave one of them out"
                    )
        elif self.hidden_size is None:
            if self.heads is not None:
                raise UserError(
                    f"MaskedLMDistillation.heads={self.heads} needs a hidden_size: layers taken from the teacher keep "
                    "its heads; leave heads out, or give a width"
                )
            there = depth(self.teacher)
            if there is not None:
                check_layers(self.layers, there)

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
        masked = f"masked {self.mask_rate:g} ({self.replacement})"
        return f"{self.epochs} epochs on {self.corpus.key}, {masked}"

    def label(self) -> str:
        """What is distilled on what."""
        what = f"VE-KD of {self.corpus.tokenizer.size:,}" if self.expands else "DistilBERT"  # type: ignore[attr-defined]
        return f"{what} on {self.corpus.name} from {self.teacher.label()}"


def depth(stage: Stage | None) -> int | None:
    """How many layers a model has; None where only its weights tell."""
    if isinstance(stage, Pretrained):
        return pretrained.layers(stage.name)
    if isinstance(stage, RandomInit):
        return stage.layers
    start, layers = getattr(stage, "init", None), getattr(stage, "layers", None)
    if start is None and isinstance(layers, tuple):  # of a teacher, that a student begins with
        return len(layers)
    return None if start is None else depth(start)


def check_layers(layers: tuple[int, ...], there: int, stage: str = MaskedLMDistillation.__name__) -> None:
    """Refuses layers that a teacher lacks.

    Args:
        layers: Which are taken, counted from 0.
        there: How many it has.
        stage: Name of the stage that takes them.
    """
    lacking = [str(layer) for layer in layers if layer >= there]
    if lacking:
        raise UserError(
            f"{stage}.layers={list(layers)} must be layers of the teacher, which has {there} "
            f"(0 to {there - 1}); leave out {', '.join(lacking)}"
        )
