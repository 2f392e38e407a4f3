"""Generative models on a corpus: their own pretraining task, and distillation as VE-KD does it (appendix E).

GPT-2 says the next word, T5 fills in blanks; :mod:`trainables.training.pretraining_tasks` says what is hidden and
where a teacher is heard. The losses are those of the masked-language models.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainables.context import MODEL, PIECES, Context, Result, Run
from trainables.stages import GenerativeLanguageModel, GenerativeLMDistillation
from trainables.training import (
    devices,
    heads,
    models,
    packed_corpus,
    seeds,
    students,
    tokenizers,
    vocabulary_expansion_losses,
)
from trainables.training.batches import Batch
from trainables.training.corpus_objective import CorpusObjective, CorpusStage, check_length, said
from trainables.training.loop import Training
from trainables.training.losses import IGNORED
from trainables.training.optimizer import Recipe
from trainables.training.pretraining_tasks import Exercise, FillInTheBlank, NextWord, Task
from trainables.training.students import AddedPieces
from trainables.training.tokenizers import Tokenizer
from trainables.training.vocabulary_expansion_losses import DISTILLED, Weighting
from trainables.vekd import BETAS, EPSILON

#: Nothing but the language-modelling loss.
_ALONE = Weighting({"kl": 0.0, "cosine": 0.0, "mse": 0.0, "mlm": 1.0})


class Modelling(CorpusObjective):
    """A generative model on a corpus, with or without a teacher; an :class:`~trainables.training.loop.Objective`.

    Args:
        stage: Gives corpus name, batch size and seed.
        student: The model that is trained.
        teacher: Who is heard at general pieces; None for nobody.
        weighting: Of the losses.
        tokenizer: Of the corpus.
        added: What it has beyond the teacher's.
        pieces: File of the corpus's rows.
        device: Where to train.

    Attributes:
        model: What is trained: the student.
        student: The same.
        added: What the corpus's vocabulary has beyond the teacher's.

    Raises:
        UserError: For sequences that are too long, and a tokenizer that the model's task cannot be set with.
    """

    def __init__(
        self,
        stage: CorpusStage,
        student: Any,
        teacher: Any,
        weighting: Weighting,
        tokenizer: Tokenizer,
        added: AddedPieces,
        pieces: Path,
        device: str,
    ) -> None:
        super().__init__(stage, packed_corpus.load(pieces), added.known if added.parts else None)
        self.model: nn.Module = student.to(device)
        self.added = added
        self._seed = stage.seed
        self.student = student
        self._teacher = teacher
        self._weighting = weighting
        self._device = device
        self._task = _task(student, tokenizer, added)
        # Columns of the teacher's matrix beyond its tokenizer's pieces stand for none of the student's new ones.
        self._pieces = added.known if added.parts else int(student.config.vocab_size)
        check_length(self.packed.limit, student)
        if teacher is not None:
            check_length(self.packed.limit, teacher)
            teacher.to(device).eval().requires_grad_(False)

    def loss(self, batch: Batch, epoch: int) -> Tensor:
        """The weighted losses; what is hidden depends on seed, epoch and the batch's first row."""
        chance = seeds.generator(self._seed, "mask", epoch, int(batch.rows[0]))
        return self._weighting.total(self._passed(batch, chance).terms)

    @torch.inference_mode()
    def held_out_sums(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of the positions at which the teacher is heard, and of all pieces to be said; hidden alike always."""
        with devices.autocast(self._device):
            passed = self._passed(batch, seeds.generator(0, "held out", int(batch.rows[0])), score=True)
        found = {
            name: torch.stack([passed.terms[name] * passed.taught, passed.taught])
            for name in passed.terms.keys() & set(DISTILLED)
        }
        found |= said(passed.each, passed.right, passed.new if self.added.parts else None)
        return {name: sums.double() for name, sums in sorted(found.items())}

    def _passed(self, batch: Batch, chance: torch.Generator, score: bool = False) -> _Passed:
        """Runs both models over a batch.

        Args:
            batch: Rows of the corpus.
            chance: Of what is hidden.
            score: Whether the losses of each piece are wanted.
        """
        inputs = self.packed.inputs(batch, self._device)
        exercise = self._task.exercise(inputs["input_ids"], inputs["attention_mask"].bool(), chance)
        hidden = states(self.student, exercise.text, exercise.answer)
        terms = self._distilled(exercise, hidden)
        wanted = exercise.targets != IGNORED
        targets = exercise.targets[wanted]
        each = right = torch.zeros(0, device=targets.device)
        if score or self._weighting.weights["mlm"]:
            each, right = vocabulary_expansion_losses.of_pieces(
                lambda features: heads.logits(self.student, features),
                heads.features(self.student, hidden[wanted]),
                targets,
                int(self.student.config.vocab_size),
            )
            terms["mlm"] = vocabulary_expansion_losses.mean(each)
        new = targets >= self.added.known if self.added.parts else torch.zeros_like(targets, dtype=torch.bool)
        return _Passed(terms, exercise.taught.sum(), new, each, right)

    def _distilled(self, exercise: Exercise, hidden: Tensor) -> dict[str, Tensor]:
        """The distillation losses that count, where the teacher is heard."""
        names = tuple(name for name in DISTILLED if self._weighting.weights[name])
        if not names:
            return {}
        with torch.no_grad():
            told = states(self._teacher, exercise.text, exercise.teachers_answer)[exercise.teaching]
        own = hidden[exercise.taught]
        terms = vocabulary_expansion_losses.of_logits(
            lambda features: heads.logits(self.student, features, self._pieces),
            lambda features: heads.logits(self._teacher, features, self._pieces),
            (heads.features(self.student, own), heads.features(self._teacher, told)),
            self._pieces,
            tuple(name for name in names if name != "cosine"),
            self._weighting.temperature,
        )
        if "cosine" in names:
            terms["cosine"] = vocabulary_expansion_losses.mean(vocabulary_expansion_losses.cosine_distances(own, told))
        return terms


@dataclasses.dataclass(frozen=True)
class _Passed:
    """What came of a batch.

    Attributes:
        terms: Losses by name.
        taught: Number of positions at which the teacher is heard, a scalar.
        new: Which of the pieces to be said are new ``[pieces]``.
        each: Their losses ``[pieces]``, where computed.
        right: Whether they were said, alike.
    """

    terms: dict[str, Tensor]
    taught: Tensor
    new: Tensor
    each: Tensor
    right: Tensor


def states(model: Any, text: dict[str, Tensor], answer: Tensor | None) -> Tensor:
    """A generative model's last hidden states ``[rows, width, ...]``, of one with a decoder apart that decoder's.

    Args:
        model: GPT-2 or T5 with its head, which does not run.
        text: ``input_ids`` and ``attention_mask``.
        answer: What the decoder apart reads, where there is one.
    """
    if answer is None:
        found: Tensor = model.base_model(**text, use_cache=False).last_hidden_state
        return found
    encoded = model.encoder(**text).last_hidden_state
    said_so_far: Tensor = model.decoder(
        input_ids=answer,
        encoder_hidden_states=encoded,
        encoder_attention_mask=text["attention_mask"],
        use_cache=False,
    ).last_hidden_state
    return said_so_far


def _task(model: Any, tokenizer: Tokenizer, added: AddedPieces) -> Task:
    """The pretraining task of an architecture."""
    if model.config.model_type == "gpt2":
        return NextWord(tokenizer, added)
    return FillInTheBlank(tokenizer, added, int(model.config.decoder_start_token_id))


def run(stage: GenerativeLanguageModel, context: Context) -> Run:
    """Trains and writes ``model/``; the last epoch is kept.

    Raises:
        UserError: For a model or corpus that cannot be used.
        StageError: Where the loss is not finite.
        OutOfDeviceMemory: Where the device's memory does not suffice.
    """
    start = context.model_folder(stage.init)
    model = models.generative(start)
    own = tokenizers.load(start)
    models.check_tokenizer(model, own, start)
    theirs = tokenizers.load(context.tokenizer_folder(stage.corpus))
    tokenizers.check_same(theirs, f"the corpus ({stage.corpus.label()})", own, f"init ({stage.init.label()})")
    added, pieces = AddedPieces(len(own.pieces), ()), context.input_file(stage.corpus, PIECES)
    objective = Modelling(stage, model, None, _ALONE, own, added, pieces, context.device)
    training = Training(objective, _recipe(stage), context)
    yield from training.run()
    if context.keep_model:
        models.save(model, start, context.folder / MODEL)
    facts = {**training.facts(), "max_length": objective.packed.limit, "examples": objective.sequences}
    return Result(_last(training), training.history, facts)


def distil(stage: GenerativeLMDistillation, context: Context) -> Run:
    """Distils and writes ``model/`` with the corpus's tokenizer; the last epoch is kept.

    Raises:
        UserError: For a teacher or corpus that cannot be used.
        StageError: Where the loss is not finite.
        OutOfDeviceMemory: Where the device's memory does not suffice.
    """
    tokenizer = context.tokenizer_folder(stage.corpus)
    objective = distillation(stage, context)
    recipe = dataclasses.replace(_recipe(stage), betas=BETAS, epsilon=EPSILON)
    training = Training(objective, recipe, context)
    yield from training.run()
    # Also a step after the last epoch at which an interruption can be noticed, before the epoch is judged.
    new_share = yield from training.guarded(objective.new_share())
    if context.keep_model:
        models.save(objective.model, tokenizer, context.folder / MODEL)
    facts = {
        **training.facts(),
        "layers": len(stage.layers),
        "hidden_size": objective.student.config.hidden_size,
        "vocabulary": objective.added.size,
        "new_pieces": len(objective.added.parts),
        "new_share": new_share,
        "max_length": objective.packed.limit,
        "examples": objective.sequences,
    }
    return Result(_last(training), training.history, facts)


def distillation(stage: GenerativeLMDistillation, context: Context) -> Modelling:
    """The objective of a distillation.

    Raises:
        UserError: For a teacher of an architecture that cannot be distilled, layers that it lacks, and a corpus of
            another vocabulary or of sequences that are too long.
    """
    folder = context.model_folder(stage.teacher)
    teacher = models.generative(folder)
    base = tokenizers.load(folder)
    models.check_tokenizer(teacher, base, folder)
    tokenizer = tokenizers.load(context.tokenizer_folder(stage.corpus))
    added = AddedPieces.of(base, tokenizer)
    name = type(stage).__name__
    student = students.from_layers(teacher, stage.layers, added, stage.new_embeddings, stage.seed, name)
    weights = {"kl": stage.kl_weight, "cosine": stage.cosine_weight, "mse": stage.mse_weight, "mlm": stage.lm_weight}
    weighting = Weighting(weights, stage.tolerance, stage.temperature)
    pieces = context.input_file(stage.corpus, PIECES)
    objective = Modelling(stage, student, teacher, weighting, tokenizer, added, pieces, context.device)
    objective.settings["tolerance"] = stage.tolerance
    return objective


def _recipe(stage: GenerativeLanguageModel | GenerativeLMDistillation) -> Recipe:
    return Recipe(
        epochs=stage.epochs,
        learning_rate=stage.learning_rate,
        warmup_ratio=stage.warmup_ratio,
        weight_decay=stage.weight_decay,
        clip_norm=stage.clip_norm,
        seed=stage.seed,
        micro_batch_size=stage.micro_batch_size,
    )


def _last(training: Training) -> dict[str, float]:
    return {name: value for name, value in training.history[-1].items() if name.startswith("dev/")}
