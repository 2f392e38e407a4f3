from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_masks_of_an_unexpanded_vocabulary_stay_as_they_are(bert: Path) -> None:
    """Stored results of masked-language modelling rest on them."""
    masking = Masking.of(tokenizers.load(bert), 0.15)
    pieces = torch.randint(5, 560, (6, 40), generator=torch.Generator().manual_seed(3))
    seen, chosen = masking.apply(pieces, torch.ones_like(pieces), seeds.generator(0, "mask", 0, 5))
    weights = torch.arange(1, 241).view(6, 40)
    assert (int(chosen.sum()), int((chosen * weights).sum()), int((seen * weights).sum())) == (37, 4264, 7408332)


@settings(max_examples=60)
@given(st.integers(6, 500), st.integers(0, 10_000), st.booleans(), st.floats(0, 1))
def test_new_pieces_are_always_hidden_and_predicted(
    bert: Path, known: int, seed: int, always: bool, padding: float
) -> None:
    tokenizer = tokenizers.load(bert)
    masking = Masking.of(tokenizer, 0.15, known, always)
    draws = torch.Generator().manual_seed(seed)
    pieces = torch.randint(0, len(tokenizer.wrapped), (5, 30), generator=draws)
    there = torch.rand(5, 30, generator=draws) >= padding
    seen, chosen = masking.apply(pieces, there.long(), seeds.generator(seed))
    new = (pieces >= known) & there
    assert torch.equal(masking.new(pieces) & there, new)
    assert chosen[new].all()
    assert (seen[new] == masking.mask).all()
    assert (seen[there] < known).all(), "the teacher knows every piece that it is shown"
    assert torch.equal(seen[~chosen], pieces[~chosen])
    assert not chosen[~there].any()
    assert not (chosen & torch.isin(pieces, masking.special)).any()
    if always:
        assert (seen[chosen] == masking.mask).all()
    if (there & ~new & ~torch.isin(pieces, masking.special)).any():
        assert (chosen & ~new).any()


def test_ordinary_pieces_of_an_expanded_vocabulary_are_masked_as_in_bert(bert: Path) -> None:
    tokenizer = tokenizers.load(bert)
    known = 300
    pieces = torch.randint(5, len(tokenizer.wrapped), (400, 100), generator=torch.Generator().manual_seed(0))
    ordinary = pieces < known
    for always in (False, True):
        masking = Masking.of(tokenizer, 0.15, known, always)
        seen, chosen = masking.apply(pieces, torch.ones_like(pieces), seeds.generator(0))
        own = chosen & ordinary
        assert float(own.sum() / ordinary.sum()) == pytest.approx(0.15, abs=0.01)
        masked = float((seen[own] == masking.mask).float().mean())
        assert masked == (1 if always else pytest.approx(0.8, abs=0.03))
        swapped = seen[own & (seen != pieces) & (seen != masking.mask)]
        assert len(swapped) == 0 if always else len(swapped) / int(own.sum()) == pytest.approx(0.1, abs=0.03)


def test_a_row_of_new_pieces_alone_is_all_masked(bert: Path) -> None:
    masking = Masking.of(tokenizers.load(bert), 0.15, known=200)
    pieces = torch.tensor([[2, 300, 301, 302, 3]])
    seen, chosen = masking.apply(pieces, torch.ones_like(pieces), seeds.generator(0))
    assert chosen.tolist() == [[False, True, True, True, False]]
    assert seen.tolist() == [[2, 4, 4, 4, 3]]
