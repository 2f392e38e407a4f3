"""The vocabulary of recipes: every stage as a frozen dataclass. No torch here.

    bert = Pretrained("google-bert/bert-base-uncased")
    baseline = FineTune("ddi", bert, data="data/blurb")
    stilt = FineTune("ddi", FineTune("chemprot", bert, data="data/blurb"), data="data/blurb")
    teacher = FineTune("ddi", Pretrained("dmis-lab/biobert-v1.1"), data="data/blurb", confidence_penalty=0.3)
    doktra = ActivationBoundaryDistillation(student=baseline, teacher_outputs=TeacherOutputs(teacher), switch_rate=0.8)

Hyperparameters of ``FineTune`` that are left out are the task's published ones.
"""

from trainables.stages.distillation import ActivationBoundaryDistillation, KLDistillation, TeacherOutputs
from trainables.stages.finetuning import CrossValidation, FineTune
from trainables.stages.generative import GenerativeLanguageModel, GenerativeLMDistillation
from trainables.stages.multi_teacher import MultiTeacherDistillation
from trainables.stages.pretraining import MaskedLanguageModel, Pretrained, RandomInit
from trainables.stages.speed import InferenceSpeed
from trainables.stages.text import AddedWords, TokenizedCorpus, WordPieceVocabulary
from trainables.stages.transfer import Evaluation, SoftLabelDistillation
from trainables.stages.vocabulary_expansion import MaskedLMDistillation

__all__ = [
    "ActivationBoundaryDistillation",
    "AddedWords",
    "CrossValidation",
    "Evaluation",
    "FineTune",
    "GenerativeLMDistillation",
    "GenerativeLanguageModel",
    "InferenceSpeed",
    "KLDistillation",
    "MaskedLMDistillation",
    "MaskedLanguageModel",
    "MultiTeacherDistillation",
    "Pretrained",
    "RandomInit",
    "SoftLabelDistillation",
    "TeacherOutputs",
    "TokenizedCorpus",
    "WordPieceVocabulary",
]
