"""Rows as CSV, Parquet or JSON for other tools."""

from __future__ import annotations

from io import BytesIO
from pathlib import PurePath
from typing import TYPE_CHECKING

from trainables.errors import UserError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SUFFIXES = (".csv", ".json", ".parquet")


def check(file: str) -> str:
    """The suffix that says what to write.

    Raises:
        UserError: For another one.
    """
    suffix = PurePath(file).suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"cannot tell what to write from the name {file!r}; end it in {', '.join(SUFFIXES)}")
    return suffix


def content(rows: pa.Table, suffix: str) -> bytes:
    """The file's content.

    Args:
        rows: What to write.
        suffix: From :func:`check`.
    """
    from orchestrator.leaderboard.rows import to_pandas

    if suffix == ".parquet":
        import pyarrow.parquet as pq

        out = BytesIO()
        pq.write_table(rows, out)
        return out.getvalue()
    frame = to_pandas(rows)
    return (to_csv(frame) if suffix == ".csv" else to_json(frame)).encode()


def to_csv(frame: pd.DataFrame) -> str:
    """CSV; lists (and ``name=number``) are joined with ``+``, as in the published results, missing values empty."""
    lists = [name for name in frame.columns if frame[name].dtype.kind == "O" and len(frame)]
    joined = {str(name): frame[name].map(_joined) for name in lists}
    return frame.assign(**joined).to_csv(index=False, lineterminator="\n")


def _joined(value: object) -> object:
    import numpy as np

    if isinstance(value, dict):
        return "+".join(f"{name}={number}" for name, number in value.items())
    return "+".join(str(item) for item in value) if isinstance(value, np.ndarray | list) else value


def to_json(frame: pd.DataFrame) -> str:
    """A list of objects, one per row; times in ISO form."""
    return frame.to_json(orient="records", date_format="iso", indent=1, double_precision=15) + "\n"
