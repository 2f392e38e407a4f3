"""The file of a teacher's outputs: one row per example, found again by its id whatever tokenizer reads it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy
import torch
from torch import Tensor

from trainables.errors import StageError
from trainables.training.batches import size
from trainables.training.cache import BoundedCache

#: Rows that are compressed together, and the least that a reader takes in: 12 MB at a width of 768.
_ROWS_IN_GROUP = 4_096
#: Of all teachers' outputs in a process. Those of a base model on ChemProt's three splits are 137 MB.
_CACHE_BYTES = 2**28

#: Called with a split's name, its ids, CLS vectors ``[examples, width]`` and logits ``[examples, labels]``.
Write: TypeAlias = Callable[[str, Sequence[str], Tensor, Tensor], None]


@contextlib.contextmanager
def writer(path: Path, width: int) -> Iterator[Write]:
    """Opens the file for writing, one call per split; columns are ``id``, ``split``, ``cls`` and ``logits``.

    Args:
        path: Of the file.
        width: Of the CLS vectors.
    """
    import pyarrow
    import pyarrow.parquet

    schema = pyarrow.schema(
        [
            ("id", pyarrow.string()),
            ("split", pyarrow.string()),
            ("cls", pyarrow.list_(pyarrow.float32(), width)),
            ("logits", pyarrow.list_(pyarrow.float32())),
        ]
    )
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as file:

        def write(split: str, ids: Sequence[str], vectors: Tensor, logits: Tensor) -> None:
            if not len(ids):
                return
            offsets = numpy.arange(len(ids) + 1, dtype=numpy.int32) * logits.shape[1]
            columns = [
                pyarrow.array(ids, pyarrow.string()),
                pyarrow.array([split] * len(ids), pyarrow.string()),
                pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.cpu().numpy().reshape(-1)), width),
                pyarrow.ListArray.from_arrays(
                    pyarrow.array(offsets), pyarrow.array(logits.cpu().numpy().reshape(-1), pyarrow.float32())
                ),
            ]
            file.write_table(pyarrow.table(columns, schema=schema), row_group_size=_ROWS_IN_GROUP)

        yield write


@dataclasses.dataclass(frozen=True)
class _Outputs:
    """One split of a file; rows by example id."""

    rows: dict[str, int]
    vectors: Tensor
    logits: Tensor


_CACHE: BoundedCache[_Outputs] = BoundedCache(_CACHE_BYTES, lambda found: size(found.vectors, found.logits))


def read(path: Path, ids: Sequence[str], split: str) -> tuple[Tensor, Tensor]:
    """A teacher's outputs for a student's examples; the file is read once per process.

    Args:
        path: Of the file.
        ids: The student's examples, in its order.
        split: That they are of.

    Returns:
        CLS vectors ``[examples, width]`` and logits ``[examples, labels]``, float32, on the CPU.

    Raises:
        StageError: Where the file lacks an example.
    """
    stat = path.stat()
    found = _CACHE.get((str(path), stat.st_size, stat.st_mtime_ns, split), lambda: _load(path, split))
    missing = [example for example in ids if example not in found.rows]
    if missing:
        raise StageError(
            f"the teacher's outputs lack {len(missing)} of {len(ids)} {split} examples, the first is {missing[0]!r}; "
            "the student's train_limit must not exceed that of its teacher's outputs"
        )
    rows = torch.tensor([found.rows[example] for example in ids], dtype=torch.int64)
    return found.vectors[rows], found.logits[rows]


def _load(path: Path, split: str) -> _Outputs:
    """Reads the split's row groups one by one; :func:`writer` puts no two splits into one."""
    import pyarrow.parquet

    ids: list[str] = []
    vectors, logits = [torch.empty(0, 0)], [torch.empty(0, 0)]
    with pyarrow.parquet.ParquetFile(path) as file:
        of_split = file.schema_arrow.get_field_index("split")
        for index in range(file.num_row_groups):
            if file.metadata.row_group(index).column(of_split).statistics.min == split:
                table = file.read_row_group(index)
                ids += table["id"].to_pylist()
                vectors.append(_matrix(table["cls"]))
                logits.append(_matrix(table["logits"]))
    rows = {example: row for row, example in enumerate(ids)}
    return _Outputs(rows, torch.cat(vectors[1:] or vectors), torch.cat(logits[1:] or logits))


def _matrix(column: Any) -> Tensor:
    flat: numpy.ndarray = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return torch.from_numpy(flat.copy()).reshape(len(column), -1)
