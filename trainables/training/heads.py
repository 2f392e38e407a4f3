"""Masked-language heads in two parts: features of a position, and the matrix that makes logits of them.

So a loss can run the widest matrix of a model on the positions that it needs, and on the first pieces of the
vocabulary alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from trainables.errors import UserError


def _bert(model: Any, hidden: Tensor) -> Tensor:
    features: Tensor = model.cls.predictions.transform(hidden)
    return features


def _roberta(model: Any, hidden: Tensor) -> Tensor:
    features: Tensor = model.lm_head.layer_norm(functional.gelu(model.lm_head.dense(hidden)))
    return features


def _distilbert(model: Any, hidden: Tensor) -> Tensor:
    features: Tensor = model.vocab_layer_norm(model.activation(model.vocab_transform(hidden)))
    return features


#: What comes before the matrix, by architecture.
_FEATURES: Mapping[str, Callable[[Any, Tensor], Tensor]] = MappingProxyType(
    {
        "bert": _bert,
        "camembert": _roberta,
        "distilbert": _distilbert,
        "roberta": _roberta,
        "xlm-roberta": _roberta,
    }
)


def check(model: Any, whose: str) -> None:
    """Refuses a model whose head is of another form.

    Args:
        model: Of transformers.
        whose: Begins the error, such as a folder's name.

    Raises:
        UserError: Naming the architecture and those that are known.
    """
    kind = model.config.model_type
    if kind not in _FEATURES:
        raise UserError(f"{whose} is a {kind}; masked-language models that can be distilled are {', '.join(_FEATURES)}")


def features(model: Any, hidden: Tensor) -> Tensor:
    """What a head makes of last hidden states before its matrix, ``[..., width]``."""
    return _FEATURES[model.config.model_type](model, hidden)


def logits(model: Any, seen: Tensor, pieces: int | None = None) -> Tensor:
    """Logits ``[..., pieces]``.

    Args:
        model: A masked-language model.
        seen: Its :func:`features`.
        pieces: The first so many of the vocabulary; None for all.
    """
    matrix: nn.Linear = model.get_output_embeddings()
    return functional.linear(seen, matrix.weight[:pieces], matrix.bias[:pieces])
