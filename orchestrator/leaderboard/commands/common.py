"""What the subcommands share: where the rows are, and how files are written. Nothing heavy: ``--help`` imports it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from orchestrator.engine.store import Store

PROGRAM = "python -m orchestrator.leaderboard"


def parser(subparsers: Any, name: str, summary: str, examples: Sequence[str]) -> argparse.ArgumentParser:
    """Adds a subcommand with ``--storage`` and with examples below its options."""
    lines = "\n".join(f"  {PROGRAM} {name} {example}".rstrip() for example in examples)
    made: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"examples:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--storage", metavar="WHERE", help="folder or URI of the runs (default: $ORCHESTRATOR_STORAGE, else ./runs)"
    )
    return made


def open_store(arguments: argparse.Namespace) -> Store:
    """The store that ``--storage`` names."""
    from orchestrator import options
    from orchestrator.engine.store import Store

    return Store(options.storage(arguments.storage))


def load(arguments: argparse.Namespace) -> tuple[Store, pa.Table]:
    """The store and all rows.

    Raises:
        UserError: Where there is none yet; says where it was looked for and what to run.
    """
    from orchestrator.leaderboard import rows

    store = open_store(arguments)
    try:
        table = rows.read_table(store.filesystem, store.root)
    except OSError as error:
        raise UserError(f"storage {store.root} cannot be read: {error}") from error
    if not table.num_rows:
        raise UserError(
            f"no leaderboard in {store.root} yet. Run a sweep first (python -m orchestrator.stilt_grid --preset mini), "
            f"name another storage with --storage or $ORCHESTRATOR_STORAGE, or make the rows again from finished "
            f"stages with `{PROGRAM} rebuild`"
        )
    return store, table


def load_frame(arguments: argparse.Namespace) -> tuple[Store, pd.DataFrame]:
    """As :func:`load`, as a data frame."""
    from orchestrator.leaderboard import rows

    store, table = load(arguments)
    return store, rows.to_pandas(table)


def choose_sweep(rows: pd.DataFrame, belong: pd.Series[bool], what: str, sweep: str | None) -> pd.DataFrame:
    """All rows of one sweep: the one that is named, else of those with some rows the one that was started last.

    Args:
        rows: All there are.
        belong: Which of them a table cannot be without.
        what: These, in words, with what to run.
        sweep: Name of the sweep, if one was named.

    Raises:
        UserError: For an unknown sweep, and where none has such rows.
    """
    from orchestrator.leaderboard.tables import latest_sweep

    sweeps = sorted(set(rows["sweep"]))
    if sweep is not None and sweep not in sweeps:
        raise UserError(f"no sweep {sweep!r} in the leaderboard{did_you_mean(sweep, sweeps)}")
    needed = rows[belong & (rows["sweep"] == sweep)] if sweep is not None else rows[belong]
    if needed.empty:
        raise UserError(f"no rows of {what}")
    return rows[rows["sweep"] == (sweep or latest_sweep(needed))]


def check_columns(names: Sequence[str], known: Sequence[str]) -> None:
    """Refuses a column that is not there.

    Raises:
        UserError: With the nearest one that is.
    """
    for name in names:
        if name not in known:
            raise UserError(f"unknown column {name!r}{did_you_mean(name, known)}")


def save(file: str, content: bytes) -> None:
    """Writes a file that the user named.

    Raises:
        UserError: Where that is refused.
    """
    try:
        Path(file).write_bytes(content)
    except OSError as error:
        raise UserError(f"{file!r} cannot be written: {error.strerror or error}") from error
