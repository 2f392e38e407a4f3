from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from trainables.errors import StageError
from trainables.training import outputs


def _write(path: Path, seed: int = 0, rows: int = 9_000, width: int = 3) -> dict[str, tuple[list[str], Tensor, Tensor]]:
    chance = torch.Generator().manual_seed(seed)
    said = {}
    with outputs.writer(path, width) as write:
        for split, count in (("train", rows), ("dev", 5), ("test", 0)):
            ids = [f"{split} {number}" for number in range(count)]
            said[split] = (ids, torch.randn(count, width, generator=chance), torch.randn(count, 2, generator=chance))
            ids, vectors, logits = said[split]
            write(split, ids, list(logits.numpy()), vectors)
    return said


def test_what_was_written_is_read_in_the_readers_order(tmp_path: Path) -> None:
    path = tmp_path / "outputs.parquet"
    said = _write(path)
    for split, (ids, vectors, logits) in said.items():
        order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(1))[: max(0, len(ids) - 2)]
        wanted = [ids[row] for row in order.tolist()]
        found = outputs.vectors(path, wanted, split), outputs.logits(path, wanted, split, 2)
        if ids:
            assert torch.equal(found[0], vectors[order])
            assert torch.equal(found[1], logits[order])
        else:
            assert len(found[0]) == len(found[1]) == 0


def test_the_file_is_in_row_groups_of_one_split_each(tmp_path: Path) -> None:
    path = tmp_path / "outputs.parquet"
    _write(path)
    file = pq.ParquetFile(path)
    assert [str(field.type) for field in file.schema_arrow] == [
        *("string", "string", "fixed_size_list<element: float>[3]", "list<element: float>")
    ]
    groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
    assert max(group.num_rows for group in groups) == 4_096
    for group in groups:
        split = group.column(1).statistics
        assert split.min == split.max


def test_a_missing_example_is_named_with_the_rule(tmp_path: Path) -> None:
    path = tmp_path / "outputs.parquet"
    _write(path, rows=4)
    with pytest.raises(StageError, match=r"lack 2 of 3 train examples, the first is 'train 9'.*train_limit"):
        outputs.logits(path, ["train 1", "train 9", "dev 1"], "train", 2)


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "outputs.parquet"
    for seed in range(2):
        said = _write(path, seed, rows=4)
        os.utime(path, ns=(seed, seed))
        ids, vectors, _ = said["train"]
        assert torch.equal(outputs.vectors(path, ids, "train"), vectors)


def test_a_reader_may_change_what_it_got(tmp_path: Path) -> None:
    path = tmp_path / "outputs.parquet"
    ids, vectors, _ = _write(path, rows=4)["train"]
    outputs.vectors(path, ids, "train").zero_()
    assert torch.equal(outputs.vectors(path, ids, "train"), vectors)


def test_words_have_logits_and_no_vectors(tmp_path: Path) -> None:
    path = tmp_path / "outputs.parquet"
    words = {"a": 3, "b": 1, "c": 4}
    each = {name: torch.randn(count, 2) for name, count in words.items()}
    with outputs.writer(path, None) as write:
        write("dev", list(words), [one.reshape(-1).numpy() for one in each.values()], None)
    assert pq.read_schema(path).names == ["id", "split", "logits"]
    assert torch.equal(outputs.logits(path, ["c", "a"], "dev", 2), torch.cat([each["c"], each["a"]]))
