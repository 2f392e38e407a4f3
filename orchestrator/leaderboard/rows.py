"""Rows of the leaderboard: made from results, written one file each, read back as one table.

A row's file is named by the row's key and replaced as a whole, so that writing it twice, or from two
drivers at once, changes nothing and a reader never sees half of it.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orchestrator.leaderboard import schema
from orchestrator.recipe import Recipe
from trainables.data import tasks
from trainables.errors import UserError, did_you_mean
from trainables.expression import Stage

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from pyarrow.fs import FileSystem

FOLDER = "leaderboard"
SET_ASIDE = "set_aside"  # beside the rows' folder, so that other readers of that folder see sound files only
_SUFFIX = ".parquet"
_FETCHERS = 16  # threads: fetching small files is waiting, most of all from an object store

_log = logging.getLogger(__name__)


def build(
    sweep: str,
    recipe: Recipe,
    results: Mapping[str, Mapping[str, Any]],
    status: str = "finished",
    error: str | None = None,
) -> dict[str, Any]:
    """Makes the row of a recipe. The same arguments always make the same row.

    Args:
        sweep: Name of the sweep.
        recipe: What was asked for.
        results: ``result.json`` by stage key, of the root and of what it starts from; unfinished ones are left out.
        status: One of :data:`schema.STATUSES`.
        error: Why there is no score, where that is so.

    Returns:
        A value for every column of the schema.
    """
    stage = recipe.stage
    result = results.get(stage.key, {}) if status == "finished" else {}
    row: dict[str, Any] = dict.fromkeys(schema.NAMES)
    row.update(
        sweep=sweep,
        method=recipe.method,
        model=recipe.model,
        task=recipe.task,
        intermediate=recipe.intermediate,
        teachers=list(recipe.teachers),
        student=recipe.student,
        seed=recipe.seed,
        key=stage.key,
        row_key=recipe.row_key(sweep),
        status=status,
        error=error,
    )
    row.update(_scores(recipe.task, result.get("metrics", {})))
    row.update(_hyperparameters(stage))
    row.update(_cost(stage, result, results))
    row.update(_provenance(result))
    return row


def _scores(task: str, metrics: Mapping[str, float]) -> dict[str, Any]:
    known = tasks.TASKS.get(task)
    if known is not None:
        metric: str | None = known.metric
    else:
        of_test = [name.removeprefix("test/") for name in metrics if name.startswith("test/")]
        metric = of_test[0] if len(of_test) == 1 else None
    return {
        "split": "test",
        "metric": metric,
        "score": _percent(metrics.get(f"test/{metric}")),
        "dev_score": _percent(metrics.get(f"dev/{metric}")),
    }


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None or not math.isfinite(fraction) else 100.0 * fraction


def _hyperparameters(stage: Stage) -> dict[str, Any]:
    values = {column.name: getattr(stage, column.name, None) for column in schema.HYPERPARAMETERS}
    init = getattr(stage, "init", None)
    if hasattr(init, "task"):
        for column in schema.HYPERPARAMETERS:
            values[schema.INTERMEDIATE + column.name] = getattr(init, column.name, None)
    return values


def _cost(stage: Stage, result: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    if not result:
        return {}
    own = result.get("cost", {})
    ancestors = [results[each.key] for each in stage.walk() if each.key != stage.key and each.key in results]
    return {
        "parameters": result.get("facts", {}).get("parameters"),
        "own_seconds": own.get("seconds"),
        "inherited_seconds": math.fsum(ancestor.get("cost", {}).get("seconds", 0.0) for ancestor in ancestors),
        "gpu_seconds": own.get("gpu_seconds"),
        "peak_memory_bytes": own.get("peak_memory_bytes"),
    }


def _provenance(result: Mapping[str, Any]) -> dict[str, Any]:
    found = result.get("provenance", {})
    versions = found.get("versions", {})
    return {
        "data": result.get("fingerprints", {}).get("data", "")[:12] or None,
        **{f"{name}_version": versions.get(name) for name in ("python", "torch", "transformers", "ray")},
        **{name: found.get(name) for name in ("commit", "host", "device", "threads")},
        "precision": result.get("facts", {}).get("precision"),
        "started_at": _time(found.get("started_at")),
        "finished_at": _time(found.get("finished_at")),
    }


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


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
    """A data frame of an Arrow table, with pandas' nullable integers."""
    import pandas as pd
    import pyarrow as pa

    frame: pd.DataFrame = rows.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
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
