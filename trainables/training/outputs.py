"""The file of a teacher's outputs: one row per example, found again by its id whatever tokenizer reads it.

Of a task that labels words, a row holds the logits of all its words one after the other, and no CLS vector.
"""

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
from trainables.training import predictions
from trainables.training.batches import size
from trainables.training.cache import BoundedCache

#: Rows that are compressed together, and the least that a reader takes in: 12 MB at a width of 768.
_ROWS_IN_GROUP = 4_096
#: Of all teachers' outputs in a process. Those of a base model on ChemProt's three splits are 137 MB.
_CACHE_BYTES = 2**28

#: Called with a split's name, its ids, logits per example (flat; of words row-major ``[words, labels]``), and CLS
#: vectors ``[examples, width]`` where the file has them.
Write: TypeAlias = Callable[[str, Sequence[str], Sequence[numpy.ndarray], Tensor | None], None]


@contextlib.contextmanager
def writer(path: Path, width: int | None) -> Iterator[Write]:
    """Opens the file for writing, one call per split; columns are ``id``, ``split``, ``cls`` and ``logits``.

    Args:
        path: Of the file.
        width: Of the CLS vectors; None writes none.
    """
    import pyarrow
    import pyarrow.parquet

    fields = [("id", pyarrow.string()), ("split", pyarrow.string())]
    fields += [] if width is None else [("cls", pyarrow.list_(pyarrow.float32(), width))]
    schema = pyarrow.schema([*fields, ("logits", pyarrow.list_(pyarrow.float32()))])
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as file:

        def write(split: str, ids: Sequence[str], logits: Sequence[numpy.ndarray], vectors: Tensor | None) -> None:
            if not len(ids):
                return
            columns = [pyarrow.array(ids, pyarrow.string()), pyarrow.array([split] * len(ids), pyarrow.string())]
            if width is not None and vectors is not None:
                flat = pyarrow.array(vectors.cpu().numpy().reshape(-1))
                columns.append(pyarrow.FixedSizeListArray.from_arrays(flat, width))
            columns.append(predictions.lists(logits, "float32"))
            file.write_table(pyarrow.table(columns, schema=schema), row_group_size=_ROWS_IN_GROUP)

        yield write


@dataclasses.dataclass(frozen=True)
class _Outputs:
    """One split of a file: rows by example id; the logits of all, and where each example's end."""

    rows: dict[str, int]
    vectors: Tensor
    logits: Tensor
    ends: list[int]

    def logits_of(self, example: str) -> Tensor:
        row = self.rows[example]
        return self.logits[self.ends[row - 1] if row else 0 : self.ends[row]]


_CACHE: BoundedCache[_Outputs] = BoundedCache(_CACHE_BYTES, lambda found: size(found.vectors, found.logits))


def vectors(path: Path, ids: Sequence[str], split: str) -> Tensor:
    """A teacher's CLS vectors of a student's examples; the file is read once per process.

    Args:
        path: Of the file.
        ids: The student's examples, in its order.
        split: That they are of.

    Returns:
        ``[examples, width]``, float32, on the CPU.

    Raises:
        StageError: Where the file lacks an example.
    """
    found = _outputs(path, ids, split)
    return found.vectors[[found.rows[example] for example in ids]]


def logits(path: Path, ids: Sequence[str], split: str, labels: int) -> Tensor:
    """A teacher's logits of a student's examples, or of all their words; the file is read once per process.

    Args:
        path: Of the file.
        ids: The student's examples, in its order.
        split: That they are of.
        labels: Number of the teacher's labels.

    Returns:
        ``[units, labels]``, float32, on the CPU; a unit is an example or, of a task that labels words, a word.

    Raises:
        StageError: Where the file lacks an example.
    """
    found = _outputs(path, ids, split)
    parts = [found.logits_of(example) for example in ids]
    return torch.cat(parts).reshape(-1, labels) if parts else torch.empty(0, labels)


def _outputs(path: Path, ids: Sequence[str], split: str) -> _Outputs:
    stat = path.stat()
    found = _CACHE.get((str(path), stat.st_size, stat.st_mtime_ns, split), lambda: _load(path, split))
    missing = [example for example in ids if example not in found.rows]
    if missing:
        raise StageError(
            f"the teacher's outputs lack {len(missing)} of {len(ids)} {split} examples, the first is {missing[0]!r}; "
            "the student's train_limit must not exceed that of its teacher's outputs"
        )
    return found


def _load(path: Path, split: str) -> _Outputs:
    """Reads the split's row groups one by one; :func:`writer` puts no two splits into one."""
    import pyarrow.parquet

    ids: list[str] = []
    ends: list[int] = []
    vectors, logits = [torch.empty(0, 0)], [torch.empty(0)]
    with pyarrow.parquet.ParquetFile(path) as file:
        names = file.schema_arrow.names
        for index in range(file.num_row_groups):
            if file.metadata.row_group(index).column(names.index("split")).statistics.min == split:
                table = file.read_row_group(index)
                ids += table["id"].to_pylist()
                lists = table["logits"].combine_chunks()
                ends += ((ends[-1] if ends else 0) + numpy.cumsum(lists.value_lengths().to_numpy())).tolist()
                logits.append(_flat(lists))
                if "cls" in names:
                    vectors.append(_flat(table["cls"].combine_chunks()).reshape(len(table), -1))
    rows = {example: row for row, example in enumerate(ids)}
    return _Outputs(rows, torch.cat(vectors[1:] or vectors), torch.cat(logits), ends)


def _flat(lists: Any) -> Tensor:
    flat: numpy.ndarray = lists.flatten().to_numpy(zero_copy_only=False)
    return torch.from_numpy(flat.copy())
