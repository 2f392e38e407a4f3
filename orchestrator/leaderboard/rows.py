"""Rows of the leaderboard: written one file each, read back as one table; :mod:`building` makes them from results.

A row's file is named by the row's key and replaced as a whole, so that writing it twice, or from two
drivers at once, changes nothing and a reader never sees half of it.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from orchestrator.leaderboard import schema
from orchestrator.leaderboard.building import build
from trainables.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyarrow.fs import FileSystem

FOLDER = "leaderboard"
SET_ASIDE = "set_aside"  # beside the rows' folder, so that other readers of that folder see sound files only
_SUFFIX = ".parquet"
_FETCHERS = 16  # threads: fetching small files is waiting, most of all from an object store

_log = logging.getLogger(__name__)


def table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as an Arrow table with the leaderboard's schema."""
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows), schema=schema.arrow())


def path(root: str, row_key: str) -> str:
    """Where a row's file lies under a storage root."""
    return f"{root.rstrip('/')}/{FOLDER}/{row_key}{_SUFFIX}"


def write(filesystem: FileSystem, root: str, row: Mapping[str, Any]) -> None:
    """Writes one row, whole or not at all; the same row again leaves the same bytes.

    Args:
        filesystem: Where the storage is.
        root: Its root in there.
        row: From :func:`build`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    # One row: dictionaries, statistics and a second copy of the schema would only make the file longer.
    pq.write_table(
        table([row]), buffer, compression="none", use_dictionary=False, write_statistics=False, store_schema=False
    )
    target = path(root, row["row_key"])
    if filesystem.type_name == "local":
        temporary = f"{target.removesuffix(row['row_key'] + _SUFFIX)}.{uuid.uuid4().hex}.tmp"
        try:
            _put(filesystem, temporary, buffer.getvalue())
        except FileNotFoundError:
            filesystem.create_dir(temporary.rpartition("/")[0], recursive=True)
            _put(filesystem, temporary, buffer.getvalue())
        filesystem.move(temporary, target)
    else:  # an object appears whole when its upload ends
        _put(filesystem, target, buffer.getvalue())


def _put(filesystem: FileSystem, target: str, content: Any) -> None:
    with filesystem.open_output_stream(target) as stream:
        stream.write(content)


def read_table(filesystem: FileSystem, root: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Reads all rows, ordered by file name; a corrupt file is reported, moved to ``set_aside/`` and left out.

    Args:
        filesystem: Where the storage is.
        root: Its root in there.
        columns: Read these only; a column that a file lacks is null.

    Returns:
        Today's columns and behind them any that a newer version wrote, or those asked for.

    Raises:
        UserError: For an unknown column, with the nearest known one.
    """
    import pyarrow as pa

    wanted = _known(columns)
    files = list(_files(filesystem, root))
    with ThreadPoolExecutor(_FETCHERS) as pool:
        fetched = pool.map(lambda file: _fetch(filesystem, file), files)
        # Decoding stays on this thread: it holds the interpreter's lock, and more threads only fight for it.
        decoded = [
            _decode(filesystem, root, file, content, wanted)
            for file, content in zip(files, fetched, strict=True)
            if content is not None
        ]
    found = [part for part in decoded if part is not None]
    everything = pa.concat_tables([schema.arrow(wanted).empty_table(), *found], promote_options="permissive")
    return everything.combine_chunks()


def read(filesystem: FileSystem, root: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """The same as :func:`read_table` as a data frame; whole numbers stay whole where some are missing."""
    return to_pandas(read_table(filesystem, root, columns))


def to_pandas(rows: pa.Table) -> pd.DataFrame:
    """A data frame of an Arrow table, with pandas' nullable integers, and dictionaries where a column has names."""
    import pandas as pd
    import pyarrow as pa

    frame: pd.DataFrame = rows.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get, maps_as_pydicts="strict")
    return frame


def count(filesystem: FileSystem, root: str) -> int:
    """The number of rows, without reading them."""
    return sum(1 for _ in _files(filesystem, root))


def _files(filesystem: FileSystem, root: str) -> Iterator[str]:
    from pyarrow.fs import FileSelector, FileType

    folder = f"{root.rstrip('/')}/{FOLDER}"
    found = filesystem.get_file_info(FileSelector(folder, allow_not_found=True))
    for info in sorted(found, key=lambda info: str(info.base_name)):
        if info.type == FileType.File and info.base_name.endswith(_SUFFIX) and not info.base_name.startswith("."):
            yield info.path


def _known(columns: Sequence[str] | None) -> tuple[str, ...]:
    for name in columns or ():
        if name not in schema.NAMES:
            raise UserError(f"unknown column {name!r}{did_you_mean(name, schema.NAMES)}")
    return schema.NAMES if columns is None else tuple(columns)


def _fetch(filesystem: FileSystem, file: str) -> pa.Buffer | None:
    try:
        with filesystem.open_input_stream(file) as stream:
            return stream.read_buffer()
    except FileNotFoundError:  # another reader has just set it aside
        return None


def _decode(
    filesystem: FileSystem, root: str, file: str, content: pa.Buffer, wanted: tuple[str, ...]
) -> pa.Table | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        opened = pq.ParquetFile(pa.BufferReader(content))
        if wanted == schema.NAMES:
            part = opened.read(use_threads=False)
        else:
            part = opened.read([name for name in wanted if name in opened.schema_arrow.names], use_threads=False)
        return schema.unified(part, wanted)  # a column of a wrong type is as bad as a torn file
    except (pa.ArrowException, OSError) as error:
        _set_aside(filesystem, root, file, str(error))
        return None


def _set_aside(filesystem: FileSystem, root: str, file: str, problem: str) -> None:
    folder = f"{root.rstrip('/')}/{SET_ASIDE}"
    target = f"{folder}/{FOLDER}-{file.rpartition('/')[2]}"
    try:
        filesystem.create_dir(folder, recursive=True)
        filesystem.move(file, target)
        outcome = f"set aside as {target}"
    except OSError as error:
        outcome = f"left out; it could not be moved: {error}"
    first = problem.strip().splitlines()[0] if problem.strip() else "unreadable"
    _log.warning("leaderboard file %s is corrupt (%s): %s", file, first, outcome)


__all__ = ["FOLDER", "SET_ASIDE", "build", "count", "path", "read", "read_table", "table", "to_pandas", "write"]
