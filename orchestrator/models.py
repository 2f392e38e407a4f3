"""Names of models on the command line and in the leaderboard, and the expressions that they stand for."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from trainables.data import pretrained, sources
from trainables.errors import UserError, did_you_mean
from trainables.expression import Stage
from trainables.stages import (
    FineTune,
    GenerativeLanguageModel,
    MaskedLanguageModel,
    Pretrained,
    RandomInit,
    TokenizedCorpus,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*")


def _miniature(corpus: str, vocabulary_size: int) -> Stage:
    """A BERT of two layers, pretrained on one of the miniature corpora with a vocabulary of its own.

    It is as small as a model can be that still finds the planted transfer: a fine-tuning takes a second or two on one
    core. Without dropout, since so small a model underfits rather than overfits.
    """
    init = RandomInit(
        vocabulary=corpus,
        vocabulary_size=vocabulary_size,
        hidden_size=64,
        layers=2,
        heads=2,
        intermediate_size=128,
        positions=64,
        dropout=0.0,
        initializer_range=0.07,
    )
    return _pretrained(corpus, init)


def _generative(architecture: str) -> Stage:
    """GPT-2 or T5 as small as :func:`_miniature`; half of its pieces are bytes, or sentinels and characters."""
    init = RandomInit(
        vocabulary="mini:general",
        vocabulary_size=600,
        hidden_size=64,
        layers=2,
        heads=2,
        intermediate_size=128,
        positions=64,
        dropout=0.0,
        initializer_range=0.07,
        architecture=architecture,
    )
    corpus = TokenizedCorpus("mini:general", init, max_length=32)
    return GenerativeLanguageModel(corpus, init, epochs=10, batch_size=32, learning_rate=3e-3)


def _pretrained(corpus: str, init: Stage) -> Stage:
    return MaskedLanguageModel(
        corpus=corpus, init=init, epochs=10, batch_size=32, learning_rate=3e-3, max_length=32, mask_rate=0.2
    )


def _specialist(task: str) -> Stage:
    """The miniature general model after a task of the miniature benchmark: an expert for the words of that task."""
    return FineTune(task, _miniature("mini:general", 600), data=sources.MINIATURE)


#: Models by name, which is theirs in the published results. Each makes its expression when asked for; nothing is hashed
#: or downloaded before its key is. RoBERTa-large-PM of the DoKTra paper's Table 3 is on no hub: download it from
#: github.com/facebookresearch/bio-lm and give roberta_pm_large=FOLDER.
MODELS: Mapping[str, Callable[[], Stage]] = MappingProxyType(
    {
        "bert_base": lambda: Pretrained("google-bert/bert-base-uncased"),
        "pubmedbert": lambda: Pretrained("microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract"),
        # Not biobert-base-cased-v1.1, the same weights: that one lacks the file that says its vocabulary is cased.
        "biobert": lambda: Pretrained("dmis-lab/biobert-v1.1"),
        # Yang et al. (2020), with a vocabulary of its own, which the DoKTra paper used; weights as a pickle only.
        "finbert": lambda: Pretrained("yiyanghkust/finbert-pretrain"),
        # The paper does not say which of the two versions it used; the second is the better one on most tasks.
        "albert_xlarge": lambda: Pretrained("albert/albert-xlarge-v2"),
        "roberta_large": lambda: Pretrained("FacebookAI/roberta-large"),
        "roberta_base": lambda: Pretrained("FacebookAI/roberta-base"),
        # The thesis names no version of these: DeBERTa of 12 layers, and DistilBERT as distributed.
        "deberta_base": lambda: Pretrained("microsoft/deberta-base"),
        "deberta_v3_large": lambda: Pretrained("microsoft/deberta-v3-large"),
        "bioclinical_bert": lambda: Pretrained("emilyalsentzer/Bio_ClinicalBERT"),
        "distilbert": lambda: Pretrained("distilbert/distilbert-base-uncased"),
        # The small models of the VE-KD paper's Table 2, which names no files; of MiniLMv2 it is the one of BERT-base
        # here. A model without a masked-language head begins its domain adaptation with a new one.
        "bert_large": lambda: Pretrained("google-bert/bert-large-uncased"),
        "bert_l6h768": lambda: Pretrained("google/bert_uncased_L-6_H-768_A-12"),
        "tinybert": lambda: Pretrained("huawei-noah/TinyBERT_General_6L_768D"),
        "minilmv2": lambda: Pretrained("nreimers/MiniLMv2-L6-H768-distilled-from-BERT-Base"),
        "distilbert_wiki": lambda: Pretrained("distilbert/distilbert-base-uncased"),
        # The generative models of its appendix E.
        "gpt2": lambda: Pretrained("openai-community/gpt2"),
        "t5_small": lambda: Pretrained("google-t5/t5-small"),
        "distilbert_squad": lambda: Pretrained("distilbert/distilbert-base-uncased-distilled-squad"),
        # Too few pieces for whole names, so syllables are left, which spell domain words.
        "mini_general": functools.partial(_miniature, "mini:general", 600),
        # Enough that nearly every domain word is a piece of its own.
        "mini_domain": functools.partial(_miniature, "mini:domain", 2_000),
        # Each knows other domain words, and so other classes of emotion.
        "mini_disease": functools.partial(_specialist, "bc5disease"),
        "mini_gene": functools.partial(_specialist, "bc2gm"),
        "mini_relation": functools.partial(_specialist, "i2b2"),
        # Generative models of the size of the general one, on the same text.
        "mini_gpt2": functools.partial(_generative, "gpt2"),
        "mini_t5": functools.partial(_generative, "t5"),
        # The general model, pretrained further on the domain's corpus: a teacher that is close to a general student.
        "mini_mixed": lambda: _pretrained("mini:domain", _miniature("mini:general", 600)),
    }
)

#: Those that want a learning rate a hundred times as high.
MINIATURE = frozenset({"mini_general", "mini_domain"})


def resolve(text: str) -> tuple[str, Stage]:
    """Reads a model as it is given on the command line.

    Args:
        text: A name in :data:`MODELS`, ``owner/name`` on the hub (``owner/name@revision`` for a commit, branch or
            tag), a folder in ``save_pretrained`` layout, a JSON or YAML file of an expression (a model that is yet to
            be trained), or ``name=`` and one of these to choose the name.

    Returns:
        The model's name in the leaderboard and its expression.

    Raises:
        UserError: For a name that is not known and is neither a folder nor a hub id, and for a chosen name that is
            malformed or stands for another model. The network is not asked.
    """
    name, equals, given = text.partition("=")
    if not equals:
        return _resolve(text)
    if not _NAME.fullmatch(name):
        raise UserError(
            f"model name {name!r} in {text!r} must begin with a letter or digit and consist of letters, digits, "
            "'_', '.' and '-'"
        )
    if name in MODELS:
        raise UserError(f"model name {name!r} in {text!r} is taken by a built-in model; choose another one")
    _, stage = _resolve(given)
    return name, stage


def _resolve(text: str) -> tuple[str, Stage]:
    if text in MODELS:
        return text, MODELS[text]()
    if text.endswith((".json", ".yaml", ".yml")) and Path(text).is_file():
        from orchestrator import expression_files

        stage = expression_files.stage(Path(text))
        if not stage.makes_model:
            raise UserError(f"{text!r} holds a {type(stage).__name__}, which has no weights; give a stage that trains")
        return Path(text).stem, stage
    if text and pretrained.is_folder(text):
        name = Path(text).expanduser().resolve().name
        if name in MODELS:
            raise UserError(f"model folder {text!r} has a built-in model's name; choose another one with NAME={text}")
        return name, Pretrained(str(Path(text).expanduser().resolve()))  # workers have a current folder of their own
    repository, _, revision = text.partition("@")
    if _HUB_ID.fullmatch(repository):
        return repository.split("/")[1], Pretrained(repository, revision or None)
    raise UserError(
        f"unknown model {text!r}: neither a built-in model nor a folder, and a hub id reads owner/name"
        f"{did_you_mean(text, MODELS)}"
    )
