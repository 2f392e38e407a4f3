"""Several processes that train one stage together; the only file that uses torch.distributed.

Gradients are added up over all processes once per step, after the micro-batches of each; nothing else is exchanged,
but for the state at the start. Every process then makes the same update of the same weights.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn

from trainables.context import World

#: Numbers per exchange: as few exchanges as can be without a second copy of all gradients at once (64 MB each).
BUCKET = 1 << 24
#: A process waits so long for the others; they may be writing a checkpoint to slow storage meanwhile. What dies is
#: noticed at once where its connection breaks, else by Ray.
PATIENCE = datetime.timedelta(hours=1)


@dataclasses.dataclass(frozen=True)
class Meeting:
    """Where the processes of a group meet.

    Attributes:
        host: Address of rank 0.
        port: Its port.
        size: How many they are.
    """

    host: str
    port: int
    size: int


class Group:
    """A :class:`trainables.context.World` of several processes.

    Tensors of a GPU are summed by NCCL, those of the CPU by gloo. A process has one group at a time: close it before
    the next one.

    Args:
        meeting: Where they meet.
        rank: Number of this process.
        store: What :func:`host` gave; the others connect to it.
    """

    def __init__(self, meeting: Meeting, rank: int, store: Any = None) -> None:
        self.rank = rank
        self.size = meeting.size
        if store is None:
            store = _store(meeting.host, meeting.port, is_master=False)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank, world_size=meeting.size, timeout=PATIENCE)

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """See :class:`trainables.context.World`; a few tensors at a time are exchanged as one."""
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            distributed.all_reduce(flat)
            for tensor, part in zip(bucket, torch.split(flat, [tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def share(self, state: Any) -> Any:
        """See :class:`trainables.context.World`."""
        sent = [_on_cpu(state) if self.rank == 0 else None]
        distributed.broadcast_object_list(sent, src=0, device=torch.device("cpu"))
        return sent[0]

    def close(self, early: bool = False) -> None:
        """Leaves the group; the others' next exchange fails.

        Args:
            early: Whether exchanges may be under way; those of NCCL are then given up rather than waited for.
        """
        if not distributed.is_initialized():
            return
        if early and torch.cuda.is_available():
            distributed.group.WORLD.abort()  # type: ignore[union-attr]
        distributed.destroy_process_group()


def host(address: str, size: int) -> tuple[Meeting, Any]:
    """Opens a meeting point on a free port of this machine.

    Args:
        address: Of this machine, as the others reach it.
        size: How many processes will come, this one included.

    Returns:
        The meeting to tell the others of, and the store to make rank 0's :class:`Group` with.
    """
    store = _store(address, 0, is_master=True)
    return Meeting(address, store.port, size), store


def sum_gradients(world: World, parameters: Iterable[nn.Parameter], *more: Tensor) -> None:
    """Adds gradients up over all processes, in place.

    A weight that no process has a gradient of keeps none, so that the optimiser leaves it alone as it would with one
    process; a process without one (it had no micro-batch, say) counts as zero.

    Args:
        world: The processes.
        parameters: Of a model that is the same in all of them.
        more: Other tensors to add up.
    """
    if world.size == 1:
        return
    weights = [parameter for parameter in parameters if parameter.requires_grad]
    used = torch.tensor(
        [weight.grad is not None for weight in weights], dtype=torch.int32
    )  # on the CPU: not waited for
    world.sum([used])
    gradients = []
    for weight, count in zip(weights, used.tolist(), strict=True):
        if count:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            gradients.append(weight.grad)
    world.sum([*gradients, *more])


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Neighbours of one type and device, up to :data:`BUCKET` numbers or one tensor."""
    bucket: list[Tensor] = []
    numbers = 0
    for tensor in tensors:
        alike = not bucket or (tensor.dtype, tensor.device) == (bucket[0].dtype, bucket[0].device)
        if bucket and (not alike or numbers + tensor.numel() > BUCKET):
            yield bucket
            bucket, numbers = [], 0
        bucket.append(tensor)
        numbers += tensor.numel()
    if bucket:
        yield bucket


def _store(address: str, port: int, is_master: bool) -> Any:
    return distributed.TCPStore(  # type: ignore[attr-defined]
        address, port, is_master=is_master, wait_for_workers=False, timeout=PATIENCE
    )


def _on_cpu(state: Any) -> Any:
    if isinstance(state, Tensor):
        return state.cpu()
    if isinstance(state, dict):
        return {name: _on_cpu(value) for name, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_on_cpu(value) for value in state)
    return state
