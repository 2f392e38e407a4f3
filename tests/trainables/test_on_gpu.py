"""What can only be seen on a GPU: number format, share of the memory, and that training goes there as on the CPU.

Numbers differ between devices by rounding (matrix products are bfloat16 there), so these tests compare losses with a
tolerance, of models without dropout: random numbers differ between devices, too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.engine.resources import estimate_memory
from orchestrator.engine.store import Store
from tests.contract.stage_suite import to_end
from tests.trainables.test_stage_contract import random_init
from trainables import machine
from trainables.errors import OutOfDeviceMemory
from trainables.execution import Execution, Job
from trainables.expression import Stage
from trainables.stages import (
    ActivationBoundaryDistillation,
    FineTune,
    KLDistillation,
    MaskedLanguageModel,
    RandomInit,
    TeacherOutputs,
)
from trainables.training import parallel

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use")

HALF = 0.5
#: Between losses of bfloat16 and float32 training; the steps of these tests differ by a tenth of it.
CLOSE = 0.03


def start(**sizes: Any) -> RandomInit:
    return random_init(**{"dropout": 0, "hidden_size": 32, "initializer_range": 0.1, **sizes})


def fine_tuned(task: str, begin: Stage | None = None, **options: Any) -> FineTune:
    sizes = {"epochs": 2, "batch_size": 8, "train_limit": 64, "max_length": 32, "learning_rate": 1e-3, **options}
    return FineTune(task, begin or start(), "mini", **sizes)


def distilled(kind: type[Any], task: str, teacher_width: int, **options: Any) -> Stage:
    outputs = TeacherOutputs(fine_tuned(task, start(hidden_size=teacher_width), confidence_penalty=0.3))
    sizes = {"epochs": 4, "switch_rate": 0.5, "learning_rate": 1e-3, "confidence_penalty": 0.3}
    stage: Stage = kind(fine_tuned(task), outputs, **{**sizes, **options})
    return stage


STAGES = {
    "pretraining": lambda: MaskedLanguageModel("task:gad", start(), data="mini", max_length=32, learning_rate=1e-3),
    "micro_batches": lambda: MaskedLanguageModel(
        "task:gad", start(), data="mini", max_length=32, learning_rate=1e-3, micro_batch_size=12
    ),
    "words": lambda: fine_tuned("ncbi_disease"),
    "several_labels": lambda: fine_tuned("hoc", confidence_penalty=0.3),
    "boundaries": lambda: distilled(ActivationBoundaryDistillation, "gad", 32),
    "boundaries_fixed": lambda: distilled(ActivationBoundaryDistillation, "gad", 48),
    "boundaries_learned": lambda: distilled(ActivationBoundaryDistillation, "hoc", 48, projection="learned"),
    "probabilities": lambda: distilled(KLDistillation, "chemprot", 48),
}


def run(stage: Stage, store: Store, share: float) -> dict[str, Any]:
    """Runs a stage and what it starts from; the result."""
    for each in stage.walk():
        if each.stored:
            machine.release()  # as a worker does between stages; what is kept would count as this stage's
            to_end(Execution(Job.of(each, gpu_fraction=share if each.starts_from else 0.0), store))
    result = store.result(stage.key)
    assert result is not None
    return result


def losses(result: dict[str, Any]) -> list[float]:
    return [entry["loss"] for entry in result["history"]]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_trains_as_on_the_cpu(name: str, tmp_path: Path) -> None:
    stage = STAGES[name]()
    here, there = (run(stage, Store(str(tmp_path / device)), share) for device, share in (("cpu", 0.0), ("gpu", HALF)))
    assert there["provenance"]["device"] == torch.cuda.get_device_name()
    assert there["facts"]["precision"] == ("bfloat16" if torch.cuda.is_bf16_supported(False) else "float32")
    assert here["facts"]["precision"] == "float32"
    assert losses(there) == pytest.approx(losses(here), rel=CLOSE)
    assert there["metrics"].keys() == here["metrics"].keys()
    assert there["cost"]["gpu_seconds"] == pytest.approx(HALF * there["cost"]["seconds"], abs=1e-3)


@pytest.mark.parametrize("name", ["boundaries_learned", "several_labels", "micro_batches"])
def test_an_interrupted_stage_goes_on_from_its_checkpoint(name: str, tmp_path: Path) -> None:
    stage = STAGES[name]()
    whole = run(stage, Store(str(tmp_path / "whole")), HALF)
    store = Store(str(tmp_path / "interrupted"))
    for each in stage.inputs:
        if each.stored:
            run(each, store, HALF)
    first = Execution(Job.of(stage, gpu_fraction=HALF), store)
    for _ in range(11):
        first.advance(0)
    first.interrupt()
    assert first.result is None
    torch.cuda.manual_seed(99)  # a worker that is reused has other random numbers behind it
    second = Execution(Job.of(stage, gpu_fraction=HALF), store)
    left = to_end(second)
    assert left[0].step > 10
    assert second.result is not None
    assert losses(second.result) == pytest.approx(losses(whole), rel=1e-3)


def test_a_group_of_a_gpu_is_left_and_made_again() -> None:
    """Of one process, since NCCL wants a card for each: the calls that two make are those that one makes."""
    for early in (True, False, True):
        meeting, hosted = parallel.host("127.0.0.1", 1)
        world = parallel.Group(meeting, 0, hosted)
        weight = torch.nn.Parameter(torch.zeros(3, device="cuda"))
        weight.grad = torch.ones_like(weight)
        world.sum([weight.grad, torch.ones(2)])
        assert weight.grad.tolist() == [1.0] * 3
        assert world.share({"weight": weight.detach()})["weight"].device.type == "cpu"
        world.close(early)


def test_a_process_keeps_to_its_share(tmp_path: Path) -> None:
    """A model whose weights, gradients and moments take twenty times the share."""
    big = start(hidden_size=1_024, layers=12, heads=16, intermediate_size=4_096)
    stage = fine_tuned("gad", big, batch_size=32, epochs=1)
    store = Store(str(tmp_path))
    to_end(Execution(Job.of(big), store))
    total = machine.total_memory()
    share = (machine.CUDA_CONTEXT + 0.05 * estimate_memory(stage)) / total
    capped = max(0.01, share - machine.CUDA_CONTEXT / total) * total
    assert capped < estimate_memory(stage)
    torch.cuda.empty_cache()
    with pytest.raises((OutOfDeviceMemory, torch.OutOfMemoryError)):
        to_end(Execution(Job.of(stage, gpu_fraction=share), store))
    assert torch.cuda.max_memory_reserved() <= capped
    machine.release()
    to_end(Execution(Job.of(stage, gpu_fraction=1.0), store))  # another share for the next stage of the process
    assert store.result(stage.key) is not None


@pytest.mark.parametrize("width", [256, 768])
def test_no_stage_takes_more_memory_than_is_estimated(
    width: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    sizes = {"hidden_size": width, "layers": 12, "heads": width // 64, "intermediate_size": 4 * width}
    base = RandomInit("mini:domain", vocabulary_size=30_522, positions=128, **sizes)
    student = fine_tuned("gad", base, batch_size=32, max_length=128, epochs=1, train_limit=None)
    stage = ActivationBoundaryDistillation(
        student, TeacherOutputs(fine_tuned("gad", train_limit=None)), epochs=2, switch_rate=0.5
    )
    store = Store(str(tmp_path))
    run(stage, store, 1.0)
    for each in (student, stage.teacher_outputs, stage):
        result = store.result(each.key)
        assert result is not None
        taken = result["cost"]["peak_memory_bytes"] + machine.CUDA_CONTEXT
        figures = f"{taken / 2**30:.2f} GiB of {estimate_memory(each) / 2**30:.2f} estimated"
        record_property(f"{type(each).__name__} {width}", figures)
        assert taken <= estimate_memory(each)
    machine.release()
    assert torch.cuda.memory_reserved() <= 128 << 20  # a reused worker's next stage has the rest
