"""Seeds of a stage's separate sources of chance, so that none depends on what another one consumed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(seed: int, *purpose: str | int) -> int:
    """A seed for one purpose (``derive(3, "order", epoch)``); equal arguments give equal seeds everywhere.

    Returns:
        A number in [0, 2**63).
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator seeded by :func:`derive`; draws are made on the CPU so that every device sees the same."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *purpose))
