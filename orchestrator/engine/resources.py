"""How much of the cluster a stage gets: CPU threads, and on machines with GPUs a fraction of one.

The fraction comes from an estimate of the stage's memory, so that as many trials as fit share a card; the process
is capped to it (:mod:`trainables.machine`), and a stage that runs out of memory is tried again with twice as much.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from trainables.data import pretrained
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.machine import CUDA_CONTEXT
from trainables.stages import (
    GenerativeLanguageModel,
    GenerativeLMDistillation,
    MaskedLanguageModel,
    MaskedLMDistillation,
    Pretrained,
    RandomInit,
    TokenizedCorpus,
)
from trainables.stages.text import ExpandedVocabulary

#: Trials per GPU that Ray can tell apart and that still gain speed; equal fractions let workers be reused.
PACKINGS = (8, 6, 4, 3, 2, 1)
#: Bytes per parameter of mixed-precision AdamW training: float32 weights, gradients and two moments.
BYTES_PER_PARAMETER = 16
#: Bytes per token, layer and unit of width kept for the backward pass with fused attention (Korthikanti et al.
#: 2022, section 4.1, without the attention matrices).
ACTIVATION_BYTES = 34
HEADROOM = 1.25
LOOK_AGAIN = 10.0  # seconds after which the size of a cluster that can grow is asked for again


@dataclasses.dataclass(frozen=True)
class Cluster:
    """What Ray has to give.

    Attributes:
        cpus: CPU cores.
        gpus: GPUs.
        gpu_memory: Bytes of a GPU; 0 without one.
        elastic: Whether machines may come and go (a cluster that was running before).
    """

    cpus: float
    gpus: float = 0.0
    gpu_memory: int = 0
    elastic: bool = False


@dataclasses.dataclass(frozen=True)
class Request:
    """What one stage asks for.

    Attributes:
        cpus: CPU threads of each of its processes.
        gpus: Share of a GPU of each.
        workers: Its processes.
    """

    cpus: int
    gpus: float = 0.0
    workers: int = 1

    @property
    def all_cpus(self) -> int:
        """CPU threads of all its processes."""
        return self.cpus * self.workers

    @property
    def all_gpus(self) -> float:
        """GPUs of all its processes."""
        return self.gpus * self.workers


@dataclasses.dataclass(frozen=True)
class Shares:
    """How a run divides the cluster.

    Attributes:
        threads: CPU threads per process; a stage is one, unless it is trained by several workers.
        gpu_fraction: GPU share per stage; None estimates it for each.
        max_concurrent: Stages at once; None as many as fit.
        checkpoint_seconds: Time between the checkpoints of a running stage.
        workers: Processes per stage that several may train together, each with a whole GPU where there are GPUs.
    """

    threads: int = 1
    gpu_fraction: float | None = None
    max_concurrent: int | None = None
    checkpoint_seconds: float = 300.0
    workers: int = 1

    def gpu(self, stage: Stage, cluster: Cluster, factor: float = 1.0) -> float:
        """A stage's GPU share: as asked for or estimated, times ``factor`` after it ran out of memory.

        One that starts from no weights (random ones, a mean over folds) or runs no model (a vocabulary) needs none. Of
        a stage with several processes it is that of each, a whole one: they wait for each other, so none may have a
        slower neighbour.
        """
        if not cluster.gpus or not stage.starts_from or not stage.uses_device:
            return 0.0
        if self.workers_of(stage) > 1:
            return 1.0
        if self.gpu_fraction is not None:
            return min(1.0, self.gpu_fraction * factor)
        return min(1.0, round(packed_fraction(estimate_memory(stage), cluster.gpu_memory) * factor, 4))

    def request(self, stage: Stage, cluster: Cluster, factor: float = 1.0) -> Request:
        """What a stage asks of Ray."""
        return Request(self.threads, self.gpu(stage, cluster, factor), self.workers_of(stage))

    def workers_of(self, stage: Stage) -> int:
        """How many processes train a stage."""
        return self.workers if stage.data_parallel else 1

    def slots(self, stages: list[Stage], cluster: Cluster) -> int:
        """How many stages may run at once.

        Args:
            stages: What is to be run; the smallest request among them counts.
            cluster: Where.
        """
        requests = [self.request(stage, cluster) for stage in stages]
        by_cpu = int(cluster.cpus // min((one.all_cpus for one in requests), default=self.threads))
        by_gpu = by_cpu
        shares = [one.all_gpus for one in requests if one.gpus]
        if shares:
            least = min(shares)
            by_gpu = int(cluster.gpus * int(1 / least + 1e-6) if least <= 1 else cluster.gpus // least)
        fitting = max(1, min(by_cpu, by_gpu))
        return min(fitting, self.max_concurrent) if self.max_concurrent else fitting


class Capacity:
    """Decides whether one more stage is handed to Ray Tune.

    Only what fits is: a trial that waits for its resources makes Tune give up a reusable worker of another size,
    and would be started out of order. A cluster that can grow is given a few more, since it grows by what waits.

    Args:
        shares: How the cluster is divided.
        look: Asks what there is; called again from time to time where that changes.

    Raises:
        UserError: For more threads than there are CPU cores, or more workers than GPUs.
    """

    def __init__(self, shares: Shares, look: Callable[[], Cluster]) -> None:
        self._shares = shares
        self._look = look
        self._cluster = look()
        if shares.threads > self._cluster.cpus and not self._cluster.elastic:
            raise UserError(
                f"--threads={shares.threads} is more than the {self._cluster.cpus:g} CPU cores there are, so no stage "
                f"could ever start; give at most {max(1, int(self._cluster.cpus))}"
            )
        if shares.workers > 1 and not self._cluster.elastic:
            _check_workers(shares, self._cluster)
        self._seen = time.monotonic()

    @property
    def cluster(self) -> Cluster:
        """What there is; GPUs may join while a sweep runs."""
        if self._cluster.elastic and time.monotonic() - self._seen > LOOK_AGAIN:
            self._cluster, self._seen = self._look(), time.monotonic()
        return self._cluster

    def room(self, held: Collection[Request], one: Request) -> bool:
        """Whether a stage may be handed out while others are held by Tune.

        Args:
            held: What those ask for.
            one: What it asks for itself.
        """
        most = self._shares.max_concurrent
        if not held:
            return True  # one that never fits is told so by Ray, rather than left waiting for ever
        if most is not None and len(held) >= most:
            return False
        cluster = self.cluster
        ahead = 1.25 if cluster.elastic else 1.0
        extra = 4 if cluster.elastic else 0
        cpus = sum(each.all_cpus for each in held) + one.all_cpus
        gpus = sum(each.all_gpus for each in held) + one.all_gpus
        fits_cpu = cpus <= cluster.cpus * ahead + extra * one.all_cpus
        return fits_cpu and gpus <= cluster.gpus * ahead + extra * one.all_gpus + 1e-3


def _check_workers(shares: Shares, cluster: Cluster) -> None:
    fitting = int(cluster.cpus // shares.threads)
    if shares.workers > fitting:
        raise UserError(
            f"--workers={shares.workers} with --threads={shares.threads} is more than the {cluster.cpus:g} CPU cores "
            f"there are, so such a stage could never start; give at most {fitting}"
        )
    if cluster.gpus and shares.workers > cluster.gpus:
        raise UserError(
            f"--workers={shares.workers} is more than the {cluster.gpus:g} GPUs there are, and each takes a whole one, "
            f"so such a stage could never start; give at most {max(1, int(cluster.gpus))}"
        )


def packed_fraction(memory: int, gpu_memory: int) -> float:
    """The smallest fraction of a card that holds some bytes and divides it evenly; the whole one if none does."""
    for packing in PACKINGS:
        if memory <= gpu_memory / packing:
            return int(10_000 / packing) / 10_000  # rounded down to what Ray counts in, so that as many do fit
    return 1.0


def estimate_memory(stage: Stage) -> int:
    """Bytes of device memory that training a stage takes at most, estimated from its shape."""
    shape = _shape(stage)
    hidden, layers, vocabulary = shape["hidden_size"], shape["num_hidden_layers"], shape["vocab_size"]
    intermediate, positions = shape["intermediate_size"], shape["max_position_embeddings"]
    per_layer = 4 * hidden * hidden + 2 * hidden * intermediate + 13 * hidden
    parameters = (vocabulary + positions + 2) * hidden + layers * per_layer
    fields: dict[str, Any] = vars(stage)
    rows, length = fields.get("batch_size") or 32, fields.get("max_length") or positions
    rows = min(rows, fields.get("micro_batch_size") or rows)
    if isinstance(fields.get("corpus"), TokenizedCorpus):  # its rows are packed to its own length
        length = fields["corpus"].max_length
    tokens = rows * min(length, positions)
    activations = tokens * layers * hidden * ACTIVATION_BYTES
    if isinstance(stage, MaskedLanguageModel | GenerativeLanguageModel):
        activations += tokens * vocabulary * 6  # logits in half precision, and in single for the loss
    if isinstance(stage, MaskedLMDistillation | GenerativeLMDistillation):
        tokenizer = stage.corpus.tokenizer
        wide = tokenizer.size if isinstance(tokenizer, ExpandedVocabulary) else vocabulary
        parameters += (wide - vocabulary) * hidden
        # The student's logits and the teacher's on every position, and both distributions. That the student is smaller
        # than its teacher, whose shape is counted here, makes up for the teacher's own weights.
        activations += tokens * (wide + 3 * vocabulary) * 6
    return int(HEADROOM * (parameters * BYTES_PER_PARAMETER + activations)) + CUDA_CONTEXT


_BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "vocab_size": 30_522,
    "intermediate_size": 3_072,
    "max_position_embeddings": 512,
}


def _shape(stage: Stage) -> dict[str, int]:
    """The architecture at the root of a stage's chain; BERT-base's where the configuration is not at hand."""
    root = stage
    while root.inputs:
        root = root.inputs[0]
    if isinstance(root, RandomInit):
        return {
            "hidden_size": root.hidden_size,
            "num_hidden_layers": root.layers,
            "vocab_size": root.vocabulary_size,
            "intermediate_size": root.intermediate_size,
            "max_position_embeddings": root.positions,
        }
    if isinstance(root, Pretrained):
        config = _configuration(root)
        return {name: _size(config, name, default) for name, default in _BASE.items()}
    return dict(_BASE)


#: What GPT-2 and T5 call their sizes, where that is another name.
_NAMES = {
    "hidden_size": ("n_embd", "d_model"),
    "num_hidden_layers": ("n_layer", "num_layers"),
    "intermediate_size": ("n_inner", "d_ff"),
    "max_position_embeddings": ("n_positions",),
}


def _size(config: dict[str, Any], name: str, default: int) -> int:
    """A size by any of its names; T5 has its layers twice, in the encoder and in the decoder."""
    found = next((config[each] for each in (name, *_NAMES.get(name, ())) if config.get(each) is not None), default)
    return int(found) * (2 if name == "num_hidden_layers" and config.get("model_type") == "t5" else 1)


@functools.cache
def _configuration(model: Pretrained) -> dict[str, Any]:
    if pretrained.is_folder(model.name):
        path = Path(model.name).expanduser() / "config.json"
    else:
        import huggingface_hub

        cached = huggingface_hub.try_to_load_from_cache(
            model.name, "config.json", revision=pretrained.commit(model.name, model.revision)
        )
        if not isinstance(cached, str):
            return {}
        path = Path(cached)
    try:
        config: dict[str, Any] = json.loads(path.read_text())
        return config
    except (OSError, ValueError):
        return {}
