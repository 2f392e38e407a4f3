from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.training import batches
from trainables.training.batches import Packed

_LENGTHS = st.lists(st.integers(2, 512), min_size=1, max_size=400).map(torch.tensor)


@settings(max_examples=60, deadline=None)
@given(_LENGTHS, st.integers(1, 40), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_has_every_row_once(lengths: torch.Tensor, size: int, seed: int, epoch: int) -> None:
    plan = batches.for_training(lengths, size, 512, seed, epoch)
    assert sorted(row for batch in plan for row in batch.rows.tolist()) == list(range(len(lengths)))
    assert len(plan) == -(-len(lengths) // size)
    for batch in plan:
        assert len(batch.rows) <= size
        assert int(lengths[batch.rows].max()) <= batch.width <= 512
        assert batch.tokens == int(lengths[batch.rows].sum())


@settings(max_examples=60, deadline=None)
@given(_LENGTHS, st.integers(8, 4096))
def test_evaluation_has_every_row_once_within_the_budget(lengths: torch.Tensor, budget: int) -> None:
    plan = batches.for_evaluation(lengths, 512, budget)
    assert sorted(row for batch in plan for row in batch.rows.tolist()) == list(range(len(lengths)))
    assert all(batch.padded <= budget or len(batch.rows) == 1 for batch in plan)


def test_order_depends_on_seed_and_epoch_only() -> None:
    lengths = torch.randint(5, 60, (200,), generator=torch.Generator().manual_seed(0))

    def order(seed: int, epoch: int) -> list[list[int]]:
        return [batch.rows.tolist() for batch in batches.for_training(lengths, 16, 64, seed, epoch)]

    torch.manual_seed(1)
    first = order(3, 1)
    torch.manual_seed(2)
    assert order(3, 1) == first
    assert order(3, 2) != first
    assert order(4, 1) != first


def test_like_lengths_are_batched_but_batches_change_with_the_epoch() -> None:
    lengths = torch.randint(10, 300, (3200,), generator=torch.Generator().manual_seed(0))
    plan = batches.for_training(lengths, 32, 512, 0, 0)
    shuffled = [batches._batch(rows, lengths, 512) for rows in torch.arange(3200).split(32)]
    assert batches.padding_share(plan) < 0.06 < 0.4 < batches.padding_share(shuffled)
    other = {frozenset(batch.rows.tolist()) for batch in batches.for_training(lengths, 32, 512, 0, 1)}
    assert not other & {frozenset(batch.rows.tolist()) for batch in plan}
    # Long and short batches alternate at random rather than from long to short.
    widths = [batch.width for batch in plan]
    assert widths != sorted(widths) != sorted(widths, reverse=True)


def test_inputs_are_the_rows_with_padding_masked() -> None:
    packed = Packed.of([[2, 5, 3], [2, 6, 7, 8, 3], [2, 3]], [[0, 0, 0], [0, 0, 1, 1, 1], [0, 0]], limit=5, pad=9)
    (batch,) = batches.for_evaluation(packed.planned, packed.limit)
    assert (batch.rows.tolist(), batch.width, batch.tokens) == ([1, 0, 2], 5, 10)
    inputs = packed.inputs(batch, "cpu")
    assert inputs["input_ids"].tolist() == [[2, 6, 7, 8, 3], [2, 5, 3, 9, 9], [2, 3, 9, 9, 9]]
    assert inputs["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]]
    assert inputs["token_type_ids"].tolist() == [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_a_width_never_exceeds_the_models_limit() -> None:
    plan = batches.for_training(torch.tensor([10, 9, 3]), 2, 10, 0, 0)
    assert max(batch.width for batch in plan) == 10


@settings(max_examples=60, deadline=None)
@given(_LENGTHS, st.integers(1, 40), st.integers(1, 50))
def test_micro_batches_are_a_batch_in_order_and_no_wider_than_their_rows_need(
    lengths: torch.Tensor, size: int, micro: int
) -> None:
    for batch in batches.for_training(lengths, size, 512, 0, 0):
        parts = batch.split(micro)
        assert torch.cat([part.rows for part in parts]).equal(batch.rows)
        assert [len(part.rows) for part in parts[:-1]] == [micro] * (len(parts) - 1)
        assert sum(part.tokens for part in parts) == batch.tokens
        assert max(part.width for part in parts) == batch.width
        for part in parts:
            assert part.width == batches._batch(part.rows, lengths, 512).width
            assert part.lengths.equal(lengths[part.rows])
