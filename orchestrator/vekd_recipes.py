"""VE-KD's expressions: the vocabulary, the corpus in pieces, the pretrainings of the paper, and fine-tunings from them.

Where the paper leaves something open, this is what the expressions do:

* Adapt-and-Distill (appendix C) has its four steps and the teacher's vocabulary in all of them: the appendix names no
  expansion. Its two distillations are without tolerance, as DistilBERT's.
* A domain-adapted student ("w" in Table 2, VE-KD_DA in Table 7) has the settings of appendix B for domain adaptation,
  and of VE-KD the expanded vocabulary.
* Pretrainings have one seed, whatever the seeds of the fine-tunings are, unless each run is to have its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from orchestrator.recipe import Recipe, over_folds
from search_spaces import vekd as spaces
from trainables.expression import Stage
from trainables.stages import (
    FineTune,
    GenerativeLMDistillation,
    InferenceSpeed,
    MaskedLanguageModel,
    MaskedLMDistillation,
    TokenizedCorpus,
    WordPieceVocabulary,
)
from trainables.stages.text import ExpandedVocabulary

#: A choice of hyperparameters by name; see :mod:`search_spaces.vekd`.
Parameters = Mapping[str, Any]

#: Methods by their keys in the published results: how what is fine-tuned is made.
PLAIN, ADAPTED = "finetune", "domain_adaptation"
DISTILLED, DISTILLED_ADAPTED = "distilbert", "distilbert_domain_adaptation"
EXPANDED, EXPANDED_ADAPTED = "vekd", "vekd_domain_adaptation"
FOUR_STEPS = "adapt_and_distill"
#: Those whose result is a student.
OF_STUDENTS = (DISTILLED, DISTILLED_ADAPTED, EXPANDED, EXPANDED_ADAPTED, FOUR_STEPS)
METHODS = (PLAIN, ADAPTED, *OF_STUDENTS)

#: Hyperparameters of the losses.
LOSSES = ("mlm_weight", "kl_weight", "cosine_weight", "mse_weight", "temperature")


@dataclasses.dataclass(frozen=True)
class Text:
    """The corpus, and how it is cut.

    Attributes:
        corpus: Its name; see :mod:`trainables.data.corpora`.
        data: Source of the task's text where it is ``task:NAME``, else None.
        min_words: Shorter texts are left out.
        max_length: Pieces per sequence.
    """

    corpus: str
    data: str | None = None
    min_words: int = 0
    max_length: int = 512

    def vocabulary(
        self, base: Stage, size: int, share: float, kind: type[ExpandedVocabulary] = WordPieceVocabulary
    ) -> ExpandedVocabulary:
        """A model's vocabulary, expanded by the corpus's pieces."""
        return kind(base=base, size=size, **self._texts(share))

    def pieces(self, tokenizer: Stage, share: float) -> TokenizedCorpus:
        """The corpus in pieces of a model or of an expanded vocabulary."""
        return TokenizedCorpus(tokenizer=tokenizer, max_length=self.max_length, **self._texts(share))

    def _texts(self, share: float) -> dict[str, Any]:
        return {"corpus": self.corpus, "data": self.data, "min_words": self.min_words, "share": share}


@dataclasses.dataclass(frozen=True)
class Student:
    """What is distilled into.

    Attributes:
        name: In the leaderboard.
        layers: The teacher's that it begins with; how many there are is its depth.
        hidden_size: Its width; None is the teacher's.
        heads: Its attention heads; None is as many as the teacher's.
    """

    name: str = "student_l6h768"
    layers: tuple[int, ...] = (0, 2, 4, 7, 9, 11)
    hidden_size: int | None = None
    heads: int | None = None

    def fields(self) -> dict[str, Any]:
        """Fields of :class:`MaskedLMDistillation`."""
        return {"layers": self.layers, "hidden_size": self.hidden_size, "heads": self.heads}


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all recipes of an experiment have in common.

    Attributes:
        text: The corpus.
        distilling: Further fields of every distillation: epochs, batch sizes, learning rate.
        adapting: Fields of every domain adaptation: steps or epochs, batch size, learning rate.
        fine_tuning: Fields of every fine-tuning, its data among them.
        pretraining_seed: Of every pretraining; None is each run's own.
    """

    text: Text
    fine_tuning: Mapping[str, Any]
    distilling: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    adapting: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pretraining_seed: int | None = 0

    def pretraining(self, seed: int) -> int:
        """The seed of a run's pretrainings."""
        return seed if self.pretraining_seed is None else self.pretraining_seed


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One teacher and one student on one corpus.

    Attributes:
        teacher: The teacher's name and model.
        student: The student.
        setting: What all recipes have in common.
    """

    teacher: tuple[str, Stage]
    student: Student
    setting: Setting

    #: How the teacher's vocabulary is expanded.
    vocabulary: ClassVar[type[ExpandedVocabulary]] = WordPieceVocabulary

    # --- what is pretrained ----------------------------------------------------------------------------------

    def corpus(self, chosen: Parameters) -> TokenizedCorpus:
        """The corpus in the pieces of the teacher's vocabulary or, where a size is chosen, of the expanded one."""
        text, share, base = self.setting.text, chosen["share"], self.teacher[1]
        if chosen["vocabulary_size"] == spaces.BASE_VOCABULARY:
            return text.pieces(base, share)
        return text.pieces(text.vocabulary(base, chosen["vocabulary_size"], share, self.vocabulary), share)

    def distilled(self, chosen: Parameters, seed: int, **more: Any) -> MaskedLMDistillation | GenerativeLMDistillation:
        """The student: VE-KD, or DistilBERT with the settings of :func:`search_spaces.vekd.plain`.

        Args:
            chosen: All hyperparameters.
            seed: Of the run.
            more: Other fields than the setting's.
        """
        fields: dict[str, Any] = {
            "teacher": self.teacher[1],
            "corpus": self.corpus(chosen),
            "tolerance": chosen["tolerance"],
            "seed": self.setting.pretraining(seed),
            **{name: chosen[name] for name in LOSSES},
            **({} if "init" in more else self.student.fields()),
            **self.setting.distilling,
            **more,
        }
        return MaskedLMDistillation(**fields)

    def adapted(self, model: Stage, corpus: TokenizedCorpus, seed: int) -> MaskedLanguageModel:
        """A model after domain adaptation (appendix B)."""
        return MaskedLanguageModel(
            corpus=corpus, init=model, seed=self.setting.pretraining(seed), **self.setting.adapting
        )

    def four_steps(self, chosen: Parameters, seed: int) -> Stage:
        """Adapt-and-Distill (appendix C; Yao et al. 2021): T to T', T into S, S to S', T' into S'' from S'."""
        chosen = spaces.plain(chosen)
        corpus = self.corpus(chosen)
        adapted_teacher = self.adapted(self.teacher[1], corpus, seed)
        adapted_student = self.adapted(self.distilled(chosen, seed), corpus, seed)
        layers = self.student.layers  # only their number counts: the weights are the adapted student's
        return self.distilled(chosen, seed, teacher=adapted_teacher, init=adapted_student, layers=layers)

    def pretrained(self, method: str, chosen: Parameters, seed: int) -> Stage:
        """What is fine-tuned.

        Args:
            method: One of :data:`METHODS`.
            chosen: All hyperparameters.
            seed: Of the run.
        """
        plain = spaces.plain(chosen)
        made: Mapping[str, Callable[[], Stage]] = {
            PLAIN: lambda: self.teacher[1],
            ADAPTED: lambda: self.adapted(self.teacher[1], self.corpus(plain), seed),
            DISTILLED: lambda: self.distilled(plain, seed),
            DISTILLED_ADAPTED: lambda: self.adapted(self.distilled(plain, seed), self.corpus(plain), seed),
            EXPANDED: lambda: self.distilled(chosen, seed),
            EXPANDED_ADAPTED: lambda: self.adapted(self.distilled(chosen, seed), self.corpus(chosen), seed),
            FOUR_STEPS: lambda: self.four_steps(chosen, seed),
        }
        return made[method]()

    # --- what is measured ------------------------------------------------------------------------------------

    def recipe(self, method: str, task: str, chosen: Parameters, seed: int, /, **labels: Any) -> Recipe:
        """The row of a method on a task.

        Args:
            method: One of :data:`METHODS`.
            task: Key of the task; ``gad@10`` is cross-validated over ten folds.
            chosen: All hyperparameters.
            seed: Of the run.
            labels: Further labels of the row, or others: ``method="vekd_40k"``.
        """
        model = self.pretrained(method, chosen, seed)
        stage = over_folds(task, lambda one: self.fine_tuned(one, model, seed))
        return Recipe(stage, **{**self._labels(method), "task": task, "seed": seed, **labels})

    def speed(self, method: str, task: str, chosen: Parameters, seed: int, /, **labels: Any) -> Recipe:
        """The row of a method's score and speed on a task, against that of the teacher (Table 4)."""
        baseline = self.fine_tuned(task, self.teacher[1], seed)
        model = self.fine_tuned(task, self.pretrained(method, chosen, seed), seed)
        stage = InferenceSpeed(model, baseline)
        return Recipe(stage, **{**self._labels(method), "task": task, "seed": seed, **labels})

    def fine_tuned(self, task: str, model: Stage, seed: int) -> FineTune:
        """A model on a task."""
        return FineTune(task, model, seed=seed, **self.setting.fine_tuning)

    def _labels(self, method: str) -> dict[str, Any]:
        if method not in OF_STUDENTS:
            return {"method": method, "model": self.teacher[0]}
        return {"method": method, "model": self.student.name, "teachers": (self.teacher[0],)}
