"""The table of predictions that every later statistic is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

if TYPE_CHECKING:
    import pyarrow

    from trainables.training.encoding import Split


def table(
    name: str, split: Split, predicted: Sequence[numpy.ndarray], logits: Sequence[numpy.ndarray]
) -> pyarrow.Table:
    """One row per example: ``id``, ``split``, ``gold``, ``prediction``, ``logits``.

    Args:
        name: Of the split.
        split: Gives ids and gold labels.
        predicted: Per example its label, its words' labels, or 0/1 per label.
        logits: Per example, flat; for token tasks row-major ``[words, labels]``.
    """
    import pyarrow

    return pyarrow.table(
        {
            "id": pyarrow.array(split.ids, pyarrow.string()),
            "split": pyarrow.array([name] * len(split.ids), pyarrow.string()),
            "gold": lists([numpy.asarray(gold) for gold in split.gold], "int16"),
            "prediction": lists(predicted, "int16"),
            "logits": lists(logits, "float32"),
        }
    )


def write(tables: Sequence[pyarrow.Table], path: Path) -> None:
    """Writes the rows of all splits as one Parquet file."""
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.concat_tables(tables), path, compression="zstd")


def lists(arrays: Sequence[numpy.ndarray], kind: str) -> pyarrow.Array:
    """A column of lists, one array each."""
    import pyarrow

    offsets = numpy.cumsum([0, *(len(array) for array in arrays)], dtype=numpy.int32)
    flat = numpy.concatenate(arrays).astype(kind) if arrays else numpy.empty(0, kind)
    return pyarrow.ListArray.from_arrays(pyarrow.array(offsets), pyarrow.array(flat))
