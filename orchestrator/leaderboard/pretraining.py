"""The columns that tell what a model was pretrained by in the same sweep, before it was fine-tuned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.leaderboard import schema
from trainables.expression import Stage
from trainables.stages import (
    FineTune,
    GenerativeLMDistillation,
    MaskedLanguageModel,
    MaskedLMDistillation,
    TokenizedCorpus,
)
from trainables.stages.text import ExpandedVocabulary, short

#: Of generative models none is adapted to a domain before it is fine-tuned.
_TRAINED = (FineTune, MaskedLanguageModel, MaskedLMDistillation, GenerativeLMDistillation)


def hyperparameters(trained: Stage) -> dict[str, Any]:
    """Fields of the distillation and the domain adaptation on a corpus that a fine-tuned model starts from.

    Args:
        trained: The fine-tuned model.

    Returns:
        A value for each column that applies; none for a model that was pretrained elsewhere.
    """
    found: dict[str, Any] = {}
    for stage in reversed(list(_chain(trained))):  # the last pretraining's corpus counts
        found |= _text(stage.corpus)  # type: ignore[attr-defined]  # of both
        if isinstance(stage, MaskedLMDistillation | GenerativeLMDistillation):
            names = [column.name for column in schema.DISTILLATION_HYPERPARAMETERS]
            found |= {name: getattr(stage, name) for name in names if hasattr(stage, name)}
            if isinstance(stage, GenerativeLMDistillation):
                found["mlm_weight"] = stage.lm_weight
            found |= _prefixed(stage, schema.PRETRAINING)
            found[f"{schema.PRETRAINING}layers"] = len(stage.layers)
            found["temperature"] = stage.temperature
        else:
            found |= _prefixed(stage, schema.ADAPTATION)
    return found


def scores(trained: Stage, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the last pretraining came to on text held out, and what its vocabulary brought."""
    for stage in _chain(trained):
        found = {"pretraining_loss": results.get(stage.key, {}).get("metrics", {}).get("dev/loss")}
        tokenizer = stage.corpus.tokenizer  # type: ignore[attr-defined]  # of both
        if isinstance(tokenizer, ExpandedVocabulary):
            facts = results.get(tokenizer.key, {}).get("facts", {})
            found |= {"new_pieces": facts.get("new_pieces"), "corpus_ratio": facts.get("ratio")}
        return found
    return {}


def _chain(trained: Stage) -> Iterator[Stage]:
    """The pretrainings on a tokenized corpus that a model starts from, the last one first."""
    stage = getattr(trained, "init", None)
    while isinstance(stage, _TRAINED):
        if isinstance(getattr(stage, "corpus", None), TokenizedCorpus):
            yield stage
        stage = getattr(stage, "init", None)


def _text(corpus: TokenizedCorpus) -> dict[str, Any]:
    tokenizer = corpus.tokenizer
    return {
        "corpus": short(corpus.corpus),
        "share": corpus.share,
        "min_words": corpus.min_words,
        "vocabulary_size": tokenizer.size if isinstance(tokenizer, ExpandedVocabulary) else None,
    }


def _prefixed(stage: Stage, prefix: str) -> dict[str, Any]:
    names = (column.name for column in schema.PRETRAINING_HYPERPARAMETERS)
    own = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    return {prefix + name: getattr(stage, name) for name in own if hasattr(stage, name) and name != "layers"}
