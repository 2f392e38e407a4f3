from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainables.training import seeds, tokenizers
from trainables.training.masking import Masking


def test_fifteen_percent_are_chosen_and_swapped_as_in_bert(bert: Path) -> None:
    tokenizer = tokenizers.load(bert)
    masking = Masking.of(tokenizer, 0.15)
    pieces = torch.randint(5, len(tokenizer.wrapped), (400, 100), generator=torch.Generator().manual_seed(0))
    seen, chosen = masking.apply(pieces, torch.ones_like(pieces), seeds.generator(0))
    assert float(chosen.float().mean()) == pytest.approx(0.15, abs=0.01)
    masked = float((seen[chosen] == masking.mask).float().mean())
    kept = float((seen[chosen] == pieces[chosen]).float().mean())
    assert masked == pytest.approx(0.8, abs=0.03)
    assert kept == pytest.approx(0.1, abs=0.03)
    assert torch.equal(seen[~chosen], pieces[~chosen])
    assert not torch.isin(seen[chosen & (seen != masking.mask)], masking.special).any()


def test_special_pieces_and_padding_are_never_chosen(bert: Path) -> None:
    masking = Masking.of(tokenizers.load(bert), 0.9)
    pieces = torch.tensor([[2, 10, 11, 3, 0, 0]])
    there = torch.tensor([[1, 1, 1, 1, 0, 0]])
    for draw in range(30):
        _, chosen = masking.apply(pieces, there, seeds.generator(draw))
        assert set(torch.nonzero(chosen[0]).flatten().tolist()) <= {1, 2}


def test_something_is_always_to_be_predicted(bert: Path) -> None:
    masking = Masking.of(tokenizers.load(bert), 0.0001)
    pieces = torch.tensor([[2, 10, 11, 12, 3]])
    for draw in range(30):
        _, chosen = masking.apply(pieces, torch.ones_like(pieces), seeds.generator(draw))
        assert int(chosen.sum()) == 1


def test_masks_depend_on_the_generator_only(bert: Path) -> None:
    masking = Masking.of(tokenizers.load(bert), 0.15)
    pieces = torch.arange(5, 105)[None]
    torch.manual_seed(1)
    first = masking.apply(pieces, torch.ones_like(pieces), seeds.generator(3, "mask", 0))
    torch.manual_seed(2)
    again = masking.apply(pieces, torch.ones_like(pieces), seeds.generator(3, "mask", 0))
    other = masking.apply(pieces, torch.ones_like(pieces), seeds.generator(3, "mask", 1))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[1], other[1])
