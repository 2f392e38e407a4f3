"""VE-KD: a smaller masked-language model learns its teacher's language and a domain's words at once (Gao et al. 2024).

Teacher and student read the same masked text. Where a piece is new, both see [MASK]: the student learns it from the
text alone. Everywhere else it learns from the teacher, too. Without new pieces and tolerance this is DistilBERT.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.context import MODEL, PIECES, Context, Result, Run
from trainables.errors import UserError
from trainables.stages import MaskedLMDistillation
from trainables.training import (
    devices,
    heads,
    losses,
    models,
    packed_corpus,
    seeds,
    students,
    tokenizers,
    vocabulary_expansion_losses,
)
from trainables.training.batches import Batch
from trainables.training.corpus_objective import CorpusObjective, check_length, said
from trainables.training.loop import Training
from trainables.training.masking import Masking
from trainables.training.optimizer import Recipe
from trainables.training.students import AddedPieces
from trainables.training.vocabulary_expansion_losses import DISTILLED, Weighting

#: AdamW's, as in the released code.
BETAS, EPSILON = (0.9, 0.98), 1e-6


@dataclasses.dataclass(frozen=True)
class Sources:
    """Local copies of a stage's inputs.

    Attributes:
        teacher: Folder of its weights and tokenizer.
        tokenizer: Folder of the corpus's tokenizer.
        pieces: File of the corpus's rows.
        init: Folder of the student's first weights, where they are not the teacher's.
    """

    teacher: Path
    tokenizer: Path
    pieces: Path
    init: Path | None = None

    @classmethod
    def of(cls, stage: MaskedLMDistillation, context: Context) -> Sources:
        """Fetches them."""
        return cls(
            context.model_folder(stage.teacher),
            context.tokenizer_folder(stage.corpus),
            context.input_file(stage.corpus, PIECES),
            None if stage.init is None else context.model_folder(stage.init),
        )


class Distillation(CorpusObjective):
    """A student, its teacher and a corpus; an :class:`~trainables.training.loop.Objective`.

    Args:
        stage: Gives the settings.
        sources: Of teacher, corpus and student.
        device: Where to train.

    Attributes:
        student: The masked-language model that comes of it.
        added: What the corpus's vocabulary has beyond the teacher's.
        model: What is trained: the student and, between widths, the projection of its hidden states.
        packed: The corpus.

    Raises:
        UserError: For a teacher without a head or of an architecture that cannot be distilled, for layers that it
            lacks, for an ``init`` or a corpus of another vocabulary, and for sequences that are too long.
    """

    def __init__(self, stage: MaskedLMDistillation, sources: Sources, device: str) -> None:
        self._stage = stage
        self._device = device
        self._weighting = Weighting(
            {"kl": stage.kl_weight, "cosine": stage.cosine_weight, "mse": stage.mse_weight, "mlm": stage.mlm_weight},
            stage.tolerance,
            stage.temperature,
        )
        tokenizer = tokenizers.load(sources.tokenizer)
        if tokenizer.wrapped.mask_token_id is None:
            raise UserError(
                f"the tokenizer of {stage.corpus.name} has no mask token; give one of a masked-language model"
            )
        says_logits = any(self._weighting.weights[name] for name in ("kl", "mse"))
        self._teacher: Any = models.masked_lm(sources.teacher, stage.seed, whole=says_logits)
        heads.check(self._teacher, f"the teacher in {str(sources.teacher)!r}")
        base = tokenizers.load(sources.teacher)
        models.check_tokenizer(self._teacher, base, sources.teacher)
        self.added = AddedPieces.of(base, tokenizer)
        self.student: Any = _student(stage, self._teacher, self.added, sources)
        width, wanted = (model.config.hidden_size for model in (self.student, self._teacher))
        self._projection = None if width == wanted else students.projection(width, wanted, stage.seed)
        trained = {"student": self.student} | ({} if self._projection is None else {"projection": self._projection})
        self.model: nn.Module = nn.ModuleDict(trained).to(device)
        self._teacher.to(device).eval().requires_grad_(False)
        new = bool(self.added.parts)
        # Columns of the teacher's matrix beyond its tokenizer's pieces stand for none of the student's new ones.
        self._pieces = self.added.known if new else int(self._teacher.config.vocab_size)
        known = self.added.known if new else None
        self._masking = Masking.of(tokenizer, stage.mask_rate, known, stage.replacement == "mask")
        super().__init__(stage, packed_corpus.load(sources.pieces), known)
        self.settings["tolerance"] = stage.tolerance
        check_length(self.packed.limit, self._teacher, self.student)

    def loss(self, batch: Batch, epoch: int) -> Tensor:
        """The final loss of section 3.3; the masks depend on seed, epoch and the batch's first row."""
        chance = seeds.generator(self._stage.seed, "mask", epoch, int(batch.rows[0]))
        return self._weighting.total(self._passed(batch, chance).terms)

    @torch.inference_mode()
    def held_out_sums(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of ordinary positions, and those of masked pieces; masked alike always."""
        with devices.autocast(self._device):
            passed = self._passed(batch, seeds.generator(0, "held out", int(batch.rows[0])), score=True)
        found = {name: torch.stack([value * passed.ordinary, passed.ordinary]) for name, value in passed.terms.items()}
        found.pop("mlm", None)
        found |= said(passed.each, passed.right, passed.new if self.added.parts else None)
        return {name: sums.double() for name, sums in found.items()}

    def _passed(self, batch: Batch, chance: torch.Generator, score: bool = False) -> _Passed:
        """Runs both models over a batch.

        Args:
            batch: Rows of the corpus.
            chance: Of the masks.
            score: Whether the masked pieces' own losses and accuracies are wanted.
        """
        inputs = self.packed.inputs(batch, self._device)
        pieces, there = inputs["input_ids"], inputs["attention_mask"].bool()
        inputs["input_ids"], chosen = self._masking.apply(pieces, there, chance)
        new = self._masking.new(pieces)
        hidden: Tensor = self.student.base_model(**inputs).last_hidden_state
        terms = self._distilled(inputs, hidden, there & ~new)
        each = right = torch.zeros(0, device=pieces.device)
        if score or self._stage.mlm_weight:
            targets = pieces[chosen]
            logits = heads.logits(self.student, heads.features(self.student, hidden[chosen]))
            terms["mlm"] = losses.cross_entropy(logits, targets)
            if score:
                each = functional.cross_entropy(logits.float(), targets, reduction="none")
                right = logits.argmax(dim=-1) == targets
        return _Passed(terms, (there & ~new).sum(), new[chosen], each, right)

    def _distilled(self, inputs: dict[str, Tensor], hidden: Tensor, ordinary: Tensor) -> dict[str, Tensor]:
        """The distillation losses that count, of the ordinary positions."""
        names = tuple(name for name in DISTILLED if self._weighting.weights[name])
        if not names:
            return {}
        with torch.no_grad():
            wanted: Tensor = self._teacher.base_model(**inputs).last_hidden_state[ordinary]
        own = hidden[ordinary]
        of_logits = tuple(name for name in names if name != "cosine")
        terms = {}
        if of_logits:
            with torch.no_grad():
                told = heads.features(self._teacher, wanted)
            terms = vocabulary_expansion_losses.of_logits(
                lambda features: heads.logits(self.student, features, self._pieces),
                lambda features: heads.logits(self._teacher, features, self._pieces),
                (heads.features(self.student, own), told),
                self._pieces,
                of_logits,
                self._stage.temperature,
            )
        if "cosine" in names:
            compared = own if self._projection is None else self._projection(own)
            terms["cosine"] = vocabulary_expansion_losses.mean(
                vocabulary_expansion_losses.cosine_distances(compared, wanted)
            )
        return terms


@dataclasses.dataclass(frozen=True)
class _Passed:
    """What came of a batch.

    Attributes:
        terms: Losses by name.
        ordinary: Number of ordinary positions, a scalar.
        new: Which of the masked positions hold new pieces ``[masked]``.
        each: Their losses ``[masked]``, where asked for.
        right: Whether they were predicted, alike.
    """

    terms: dict[str, Tensor]
    ordinary: Tensor
    new: Tensor
    each: Tensor
    right: Tensor


def _student(stage: MaskedLMDistillation, teacher: Any, added: AddedPieces, sources: Sources) -> Any:
    """The student as it begins."""
    if sources.init is not None:
        return _given(stage, sources.init, tokenizers.load(sources.tokenizer))
    own = int(teacher.config.hidden_size)
    if stage.hidden_size is None or stage.hidden_size == own:
        there = teacher.config.num_attention_heads
        if stage.heads not in (None, there):
            raise UserError(
                f"MaskedLMDistillation.heads={stage.heads} with layers of the teacher must be its number, {there}; "
                f"leave heads out, or give another hidden_size than the teacher's {own}"
            )
        return students.from_layers(teacher, stage.layers, added, stage.new_embeddings, stage.seed)
    return students.at_random(teacher, len(stage.layers), stage.hidden_size, stage.heads, added, stage.seed)


def _given(stage: MaskedLMDistillation, folder: Path, tokenizer: tokenizers.Tokenizer) -> Any:
    """The model that a student begins as, where one is given."""
    student = models.masked_lm(folder, stage.seed)
    heads.check(student, f"the model in {str(folder)!r}")
    own = tokenizers.load(folder)
    if own.wrapped.get_vocab() != tokenizer.wrapped.get_vocab():
        raise UserError(
            f"MaskedLMDistillation.init has another vocabulary ({len(own.wrapped)} pieces) than its corpus "
            f"({len(tokenizer.wrapped)}); give it a corpus of init's tokenizer"
        )
    models.check_tokenizer(student, own, folder)
    return student


def run(stage: MaskedLMDistillation, context: Context) -> Run:
    """Distils and writes ``model/`` with the corpus's tokenizer; the last epoch is kept, a projection is not.

    Raises:
        UserError: For a teacher, corpus or first weights that cannot be used; see :class:`Distillation`.
        StageError: Where the loss is not finite.
        OutOfDeviceMemory: Where the device's memory does not suffice.
    """
    sources = Sources.of(stage, context)
    objective = Distillation(stage, sources, context.device)
    recipe = Recipe(
        epochs=stage.epochs,
        learning_rate=stage.learning_rate,
        warmup_ratio=stage.warmup_ratio,
        weight_decay=stage.weight_decay,
        clip_norm=stage.clip_norm,
        seed=stage.seed,
        betas=BETAS,
        epsilon=EPSILON,
        micro_batch_size=stage.micro_batch_size,
    )
    training = Training(objective, recipe, context)
    yield from training.run()
    # Also a step after the last epoch at which an interruption can be noticed, before the epoch is judged.
    new_share = yield from training.guarded(objective.new_share())
    if context.keep_model:
        models.save(objective.student, sources.tokenizer, context.folder / MODEL)
    metrics = {name: value for name, value in training.history[-1].items() if name.startswith("dev/")}
    student = objective.student
    facts = {
        **training.facts(),
        "parameters": sum(parameter.numel() for parameter in student.parameters()),
        "layers": student.config.num_hidden_layers,
        "hidden_size": student.config.hidden_size,
        "vocabulary": objective.added.size,
        "new_pieces": len(objective.added.parts),
        "new_share": new_share,
        "max_length": objective.packed.limit,
        "examples": objective.sequences,
    }
    return Result(metrics, training.history, facts)
