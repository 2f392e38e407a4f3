"""What depends on the device: number format, and errors about its memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch

from trainables.errors import OutOfDeviceMemory

FLOAT32 = "float32"
BFLOAT16 = "bfloat16"


def precision(device: str) -> str:
    """The format of matrix products: bfloat16 where a GPU supports it natively, else float32."""
    if torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return BFLOAT16
    return FLOAT32


def autocast(device: str) -> AbstractContextManager[object]:
    """A context in which forward passes run in the device's :func:`precision`; weights stay float32."""
    if precision(device) == FLOAT32:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)


@contextlib.contextmanager
def memory_errors(doing: str) -> Iterator[None]:
    """Turns PyTorch's out-of-memory error into one that the engine acts on.

    Args:
        doing: What was being done, for the message (``training ddi with batches of 32 x 256``).

    Raises:
        OutOfDeviceMemory: Where the device's memory, or this process's share of it, did not suffice.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfDeviceMemory(f"device memory did not suffice for {doing}: {error}") from error
