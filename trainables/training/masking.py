"""Which word pieces a masked-language model must predict, and what it sees in their place (BERT, section 3.1).

Where a vocabulary was expanded, its new pieces are masked separately (Gao et al. 2024, section 3.2): every one of them
is hidden, so that a model that has only the old pieces can read the same input.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from trainables.training.tokenizers import Tokenizer

#: Of the chosen pieces this share becomes [MASK], and this share a random piece; the rest stays as it is.
MASKED, SWAPPED = 0.8, 0.1


@dataclasses.dataclass(frozen=True)
class Masking:
    """The rule of masking for one vocabulary.

    Attributes:
        rate: Share of ordinary pieces to predict.
        mask: The [MASK] piece.
        special: Pieces that are never chosen.
        ordinary: Pieces that a random one is drawn from.
        known: Number of pieces that are not new; None where none is. New ones have numbers from this one on.
        always: Whether [MASK] stands for every chosen piece, as in VE-KD's released code.
    """

    rate: float
    mask: int
    special: Tensor
    ordinary: Tensor
    known: int | None = None
    always: bool = False

    @classmethod
    def of(cls, tokenizer: Tokenizer, rate: float, known: int | None = None, always: bool = False) -> Masking:
        """The rule for a tokenizer's vocabulary.

        Args:
            tokenizer: Whose pieces come.
            rate: Share of ordinary pieces to predict.
            known: Number of pieces that are not new, which come first; None where none is.
            always: Whether [MASK] stands for every chosen piece.
        """
        special = sorted(set(tokenizer.wrapped.all_special_ids))
        pieces = {number for number in tokenizer.wrapped.get_vocab().values() if known is None or number < known}
        ordinary = torch.tensor(sorted(pieces - set(special)))
        return cls(rate, int(tokenizer.wrapped.mask_token_id), torch.tensor(special), ordinary, known, always)

    def new(self, pieces: Tensor) -> Tensor:
        """Which pieces the vocabulary was expanded by, boolean, of the same shape."""
        return torch.zeros_like(pieces, dtype=torch.bool) if self.known is None else pieces >= self.known

    def apply(self, pieces: Tensor, there: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """Masks a batch.

        Args:
            pieces: ``[rows, width]``, on any device.
            there: Whether a position holds a piece.
            chance: On the CPU, so that every device masks alike.

        Returns:
            The pieces as the model sees them, and which of them it must predict: every new one, and at least one
            ordinary one, where there is one at all. No new piece is seen.
        """
        device = pieces.device
        draws = torch.rand((2, *pieces.shape), generator=chance)
        random = self.ordinary[torch.randint(len(self.ordinary), pieces.shape, generator=chance)]
        choice, fate = draws.to(device)
        new = there.bool() & self.new(pieces)
        may = there.bool() & ~new & ~torch.isin(pieces, self.special.to(device))
        choice = choice.masked_fill(~may, 2.0)
        chosen = may & (choice <= choice.min().clamp(min=self.rate))
        if self.always:
            return torch.where(chosen | new, self.mask, pieces), chosen | new
        seen = torch.where(chosen & (fate < MASKED) | new, self.mask, pieces)
        swapped = chosen & (fate >= MASKED) & (fate < MASKED + SWAPPED)
        return torch.where(swapped, random.to(device), seen), chosen | new
