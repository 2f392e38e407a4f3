"""Loading and saving models: the encoder is carried over, the head is new unless a finished classifier is asked for.

Models are those of transformers' ``AutoModelForTokenClassification``, ``AutoModelForSequenceClassification``,
``AutoModelForMaskedLM``, ``AutoModelForCausalLM`` and ``AutoModelForSeq2SeqLM``, so that anybody can load what a stage
saved with those classes.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from trainables.data.tasks import Task
from trainables.errors import UserError
from trainables.training import seeds, tokenizers
from trainables.training.tokenizers import Tokenizer

#: Generative models that can be pretrained and distilled, and the transformers class that loads each.
GENERATIVE = MappingProxyType({"gpt2": "AutoModelForCausalLM", "t5": "AutoModelForSeq2SeqLM"})
#: Masked-language heads that are a plain function of the last hidden state, by architecture.
_HEADS = {"bert": "cls", "roberta": "lm_head", "xlm-roberta": "lm_head", "camembert": "lm_head"}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' report of new weights (they are meant to be new) and its progress bars."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def classifier(folder: Path, task: Task, seed: int) -> Any:
    """A model for a task: the folder's encoder, and a new head initialised from the seed.

    The head is new even where the folder holds one of the same shape (an intermediate task's). BERT's pooler counts as
    encoder: it is carried over where the folder has one, and made new from the seed where not.

    Args:
        folder: In ``save_pretrained`` layout.
        task: Gives the labels.
        seed: Of what is new.

    Returns:
        A transformers model in training mode, float32, on the CPU.

    Raises:
        UserError: For a folder that transformers cannot load.
    """
    problem = "multi_label_classification" if task.multi_label else "single_label_classification"
    labels = {
        "num_labels": len(task.labels),
        "id2label": dict(enumerate(task.labels)),
        "label2id": {label: index for index, label in enumerate(task.labels)},
        "problem_type": None if task.on_tokens else problem,
    }
    model, missing = _load(_auto(task), folder, **labels)
    torch.manual_seed(seeds.derive(seed, "head"))
    encoder = model.base_model
    for name, module in model.named_modules():
        outside = not _within(name, model.base_model_prefix) and module is not encoder
        if outside or any(name == key.rpartition(".")[0] for key in missing):
            _renew(model, module)
    if model.config.model_type in GENERATIVE and model.config.pad_token_id is None:
        # GPT-2's looks for the last piece of a text that is another one.
        model.config.pad_token_id = tokenizers.load(folder).pad
    return model.train()


def finetuned(folder: Path, task: Task) -> Any:
    """A classifier of texts or words as a stage left it, head included.

    Args:
        folder: In ``save_pretrained`` layout.
        task: The task that it solves.

    Returns:
        A transformers model in training mode, float32, on the CPU.

    Raises:
        UserError: For a folder that transformers cannot load, and for a model that is no classifier of the task.
    """
    model, missing = _load(_auto(task), folder)
    if missing:
        what = "words" if task.on_tokens else "texts"
        raise UserError(
            f"the model in {str(folder)!r} is no classifier of {what}: it lacks {', '.join(sorted(missing))}; give one "
            f"that was fine-tuned on {task.name}"
        )
    if model.config.num_labels != len(task.labels):
        raise UserError(
            f"the model in {str(folder)!r} tells {model.config.num_labels} labels apart, but {task.name} has "
            f"{len(task.labels)}; give one that was fine-tuned on {task.name}"
        )
    return model.train()


def cls_vectors(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """The CLS vectors of a model's last hidden layer, before any pooler ``[rows, width]``; its head does not run.

    Raises:
        UserError: For a model whose texts do not begin with a piece that stands for all of them.
    """
    _check_cls(model)
    found: Tensor = model.base_model(**inputs)[0][:, 0]
    return found


def logits_and_cls(model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """A classifier's logits ``[rows, labels]``, and its CLS vectors as :func:`cls_vectors` gives them, in one pass.

    Raises:
        UserError: As :func:`cls_vectors`.
    """
    _check_cls(model)
    seen: list[Tensor] = []
    hook = model.base_model.register_forward_hook(lambda module, given, output: seen.append(output[0][:, 0]))
    try:
        logits: Tensor = model(**inputs).logits
    finally:
        hook.remove()
    return logits, seen[0]


def _check_cls(model: Any) -> None:
    if model.config.model_type in GENERATIVE:
        raise UserError(
            f"a {model.config.model_type} has no CLS vector: what it makes of a text's first piece knows nothing of "
            "the rest. Give a model whose texts begin with [CLS], like BERT's"
        )


def generative(folder: Path) -> Any:
    """A generative language model with its head.

    Args:
        folder: In ``save_pretrained`` layout.

    Returns:
        A transformers model in training mode, float32, on the CPU.

    Raises:
        UserError: For a folder that transformers cannot load, another architecture, and a model without its head.
    """
    import transformers

    kind = json.loads((folder / "config.json").read_text("utf-8")).get("model_type")
    if kind not in GENERATIVE:
        raise UserError(
            f"the model in {str(folder)!r} is a {kind}; generative models that can be trained are "
            f"{', '.join(GENERATIVE)}. Masked-language models have MaskedLanguageModel and MaskedLMDistillation"
        )
    model, missing = _load(getattr(transformers, GENERATIVE[kind]), folder)
    if missing:
        raise UserError(
            f"the model in {str(folder)!r} lacks {', '.join(sorted(missing))}; give one with all of its weights"
        )
    return model.train()


def masked_lm(folder: Path, seed: int, whole: bool = False) -> Any:
    """A masked-language model; its head is carried over where the folder has one, else made new from the seed.

    Args:
        folder: In ``save_pretrained`` layout.
        seed: Of a new head.
        whole: Whether it must have one.

    Raises:
        UserError: For a folder that transformers cannot load, or that lacks the head that it must have.
    """
    import transformers

    model, missing = _load(transformers.AutoModelForMaskedLM, folder)
    if missing and whole:
        raise UserError(
            f"the model in {str(folder)!r} has no masked-language head: it lacks {', '.join(sorted(missing))}; train "
            "one with MaskedLanguageModel first"
        )
    torch.manual_seed(seeds.derive(seed, "head"))
    tied = {id(parameter) for parameter in model.base_model.parameters()}
    for name, module in model.named_modules():
        own = {id(parameter) for parameter in module.parameters(recurse=False)}
        if own and not own & tied and any(name == key.rpartition(".")[0] for key in missing):
            _renew(model, module)
    return model.train()


def masked_logits(model: Any, inputs: dict[str, Tensor], chosen: Tensor) -> Tensor:
    """A masked-language model's logits at chosen positions ``[chosen, vocabulary]``.

    Where the architecture allows it, the head runs on these positions only: at 15% masked, that is a sixth of the
    work and memory of the widest matrix of the model.

    Args:
        model: Of :func:`masked_lm`.
        inputs: As the model takes them, ``[rows, width]`` each.
        chosen: Which positions, boolean ``[rows, width]``.
    """
    head = _HEADS.get(model.config.model_type)
    if head is None:
        logits: Tensor = model(**inputs).logits[chosen]
    else:
        logits = getattr(model, head)(model.base_model(**inputs).last_hidden_state[chosen])
    return logits


def save(model: Any, tokenizer_from: Path, folder: Path) -> None:
    """Writes a model in ``save_pretrained`` layout with the tokenizer that it started from."""
    with _quiet():
        model.save_pretrained(str(folder), safe_serialization=True)
    tokenizers.copy(tokenizer_from, folder)


def longest_input(model: Any) -> int | None:
    """Word pieces that a model takes at most, or None where its positions have no limit."""
    for name, module in model.base_model.named_modules():
        if name.rpartition(".")[2] in ("position_embeddings", "embed_positions", "wpe") and isinstance(
            module, nn.Embedding
        ):
            # RoBERTa-like models number positions from the padding piece's number on.
            skipped = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - skipped
    return getattr(model.config, "max_position_embeddings", None)


def check_tokenizer(model: Any, tokenizer: Tokenizer, folder: Path) -> None:
    """Refuses a tokenizer that knows pieces the model has no embedding for.

    Raises:
        UserError: Naming both sizes.
    """
    known, wanted = model.get_input_embeddings().num_embeddings, len(tokenizer.wrapped)
    if wanted > known:
        raise UserError(
            f"the tokenizer in {str(folder)!r} has {wanted} pieces, but the model there has embeddings for {known} "
            "only; give the tokenizer that the model was trained with"
        )


def distinguishes_types(model: Any) -> bool:
    """Whether the model has embeddings for more than one token type."""
    return int(getattr(model.config, "type_vocab_size", 0) or 0) > 1


def _auto(task: Task) -> Any:
    import transformers

    if task.on_tokens:
        return transformers.AutoModelForTokenClassification
    return transformers.AutoModelForSequenceClassification


def _load(auto: Any, folder: Path, **config: Any) -> tuple[Any, set[str]]:
    import transformers

    with _quiet():
        try:
            settings = transformers.AutoConfig.from_pretrained(str(folder), **config)
            model, report = auto.from_pretrained(
                str(folder),
                config=settings,
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except Exception as error:  # the library raises many kinds, from OSError to KeyError
            raise UserError(f"the model in {str(folder)!r} could not be loaded: {error}") from error
    # Loaded weights may lie in the file's mapping, aligned as they are there. Kernels round by alignment, so a result
    # would depend on the length of the file's header; and the mapping ends badly where the file goes away.
    for parameter in model.parameters():
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    return model, set(report["missing_keys"])


def _within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def _renew(model: Any, module: nn.Module) -> None:
    own = list(module.parameters(recurse=False))
    for parameter in own:
        # transformers marks what it loaded, and its initialisers silently pass over what is marked.
        parameter._is_hf_initialized = False  # type: ignore[attr-defined]
    if not own:
        return
    if model.config.model_type == "t5":  # which names a deviation for whole heads, and 1 for any other weight
        for parameter in own:
            deviation = model.config.initializer_factor * model.config.d_model**-0.5
            nn.init.normal_(parameter, std=deviation if parameter.dim() > 1 else 0.0)
    else:
        model._init_weights(module)
