"""A stage's share of the machine: CPU threads, and a part of a GPU's memory."""

from __future__ import annotations

import platform
import resource
import sys
from typing import Any

CUDA_CONTEXT = 600 << 20  # bytes that a process takes of a card before its first tensor


def _torch() -> Any | None:
    """torch, if the stage's implementation has imported it; stages without it should not pay for it."""
    return sys.modules.get("torch")


def claim(gpu_fraction: float, threads: int) -> None:
    """Sets what this process may use; called at the start of every stage, since processes are reused.

    Ray's GPU fractions are bookkeeping only, so the process caps its own share of the memory: a neighbour on
    the same card is never starved.

    Args:
        gpu_fraction: Share of one GPU; 0 for none.
        threads: CPU threads; a setting of the run, so that sums are rounded alike whatever else is running.
    """
    torch = _torch()
    if torch is None:
        return
    torch.set_num_threads(threads)
    if gpu_fraction and torch.cuda.is_available():
        total = torch.cuda.get_device_properties(0).total_memory
        # PyTorch counts its tensors only; the process's CUDA context comes out of its share too.
        cap = gpu_fraction - CUDA_CONTEXT / total if gpu_fraction < 1 else 1.0
        torch.cuda.set_per_process_memory_fraction(max(0.01, cap))
        torch.cuda.reset_peak_memory_stats()


def release() -> None:
    """Gives cached device memory back after a stage, so that the next one may be of another shape."""
    torch = _torch()
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def peak_memory(device: str) -> int:
    """Bytes at most in use: device memory of the stage, or on the CPU the process's own peak."""
    torch = _torch()
    if device == "cuda" and torch is not None and torch.cuda.is_available():
        return int(torch.cuda.max_memory_reserved())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1)


def name(device: str) -> str:
    """The GPU's name, or the CPU's architecture."""
    torch = _torch()
    if device == "cuda" and torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"cpu {platform.machine()}"


def total_memory() -> int:
    """Bytes of the first GPU that this process sees; runs on a worker, for a driver that may have none."""
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory) if torch.cuda.is_available() else 0
