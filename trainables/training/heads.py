"""Language-modelling heads in two parts: features of a position, and the matrix that makes logits of them.

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


def _gpt2(model: Any, hidden: Tensor) -> Tensor:
    return hidden


def _t5(model: Any, hidden: Tensor) -> Tensor:
    scaled: Tensor = hidden * model.model_dim**-0.5 if model.config.scale_decoder_outputs else hidden
    return scaled


#: What comes before the matrix, by architecture: of masked-language models, and of generative ones.
_MASKED: Mapping[str, Callable[[Any, Tensor], Tensor]] = MappingProxyType(
    {
        "bert": _bert,
        "camembert": _roberta,
        "distilbert": _distilbert,
        "roberta": _roberta,
        "xlm-roberta": _roberta,
    }
)
_GENERATIVE: Mapping[str, Callable[[Any, Tensor], Tensor]] = MappingProxyType({"gpt2": _gpt2, "t5": _t5})
_FEATURES = MappingProxyType({**_MASKED, **_GENERATIVE})


def check(model: Any, whose: str) -> None:
    """Refuses a model whose masked-language head is of another form.

    Args:
        model: Of transformers.
        whose: Begins the error, such as a folder's name.

    Raises:
        UserError: Naming the architecture and those that are known.
    """
    kind = model.config.model_type
    if kind not in _MASKED:
        raise UserError(f"{whose} is a {kind}; masked-language models that can be distilled are {', '.join(_MASKED)}")


def features(model: Any, hidden: Tensor) -> Tensor:
    """What a head makes of last hidden states before its matrix, ``[..., width]``."""
    return _FEATURES[model.config.model_type](model, hidden)


def logits(model: Any, seen: Tensor, pieces: int | None = None) -> Tensor:
    """Logits ``[..., pieces]``.

    Args:
        model: A language model.
        seen: Its :func:`features`.
        pieces: The first so many of the vocabulary; None for all.
    """
    matrix: nn.Linear = model.get_output_embeddings()
    bias = None if matrix.bias is None else matrix.bias[:pieces]
    return functional.linear(seen, matrix.weight[:pieces], bias)
