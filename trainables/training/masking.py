"""Which word pieces a masked-language model must predict, and what it sees in their place (BERT, section 3.1)."""

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
    """

    rate: float
    mask: int
    special: Tensor
    ordinary: Tensor

    @classmethod
    def of(cls, tokenizer: Tokenizer, rate: float) -> Masking:
        """The rule for a tokenizer's vocabulary."""
        special = sorted(set(tokenizer.wrapped.all_special_ids))
        ordinary = sorted(set(tokenizer.wrapped.get_vocab().values()) - set(special))
        return cls(rate, int(tokenizer.wrapped.mask_token_id), torch.tensor(special), torch.tensor(ordinary))

    def apply(self, pieces: Tensor, there: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """Masks a batch.

        Args:
            pieces: ``[rows, width]``, on any device.
            there: Whether a position holds a piece.
            chance: On the CPU, so that every device masks alike.

        Returns:
            The pieces as the model sees them, and which of them it must predict: at least one, where there is an
            ordinary piece at all.
        """
        device = pieces.device
        draws = torch.rand((2, *pieces.shape), generator=chance)
        random = self.ordinary[torch.randint(len(self.ordinary), pieces.shape, generator=chance)]
        choice, fate = draws.to(device)
        may = there.bool() & ~torch.isin(pieces, self.special.to(device))
        choice = choice.masked_fill(~may, 2.0)
        chosen = may & (choice <= choice.min().clamp(min=self.rate))
        seen = torch.where(chosen & (fate < MASKED), self.mask, pieces)
        swapped = chosen & (fate >= MASKED) & (fate < MASKED + SWAPPED)
        return torch.where(swapped, random.to(device), seen), chosen
