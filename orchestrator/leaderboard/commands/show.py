"""``show``: rows as a readable table."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from orchestrator.leaderboard.commands import common
from orchestrator.wording import counted
from trainables.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

_FILTERS = ("sweep", "study", "method", "model", "task", "intermediate", "status")
_COLUMNS = (
    "task",
    "score",
    "dev_score",
    "method",
    "model",
    "intermediate",
    "seed",
    "sweep",
    "own_seconds",
    "inherited_seconds",
    "device",
    "status",
)
#: Shown behind these columns where some row has them.
_WHERE_SOME = {
    "dev_score": ("retention", "ece", "l_at"),
    "intermediate": ("teachers",),
    "seed": ("trial",),
}


def add(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = common.parser(
        subparsers,
        "show",
        "rows as a table, the best first within each task",
        [
            "",
            "--task ddi chemprot --method stilt --limit 10",
            "--status failed",
            "--sort own_seconds --columns task intermediate seed own_seconds peak_memory_bytes",
        ],
    )
    for name in _FILTERS:
        parser.add_argument(f"--{name}", nargs="+", action="extend", metavar=name.upper(), help=f"only these: {name}")
    parser.add_argument(
        "--columns",
        nargs="+",
        metavar="COLUMN",
        help=f"default: {' '.join(_COLUMNS)}, and some more where rows have them",
    )
    parser.add_argument("--sort", metavar="COLUMN", help="numbers and times: largest first; text: A to Z")
    parser.add_argument("--reverse", action="store_true", help="turn the order of --sort round")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N rows")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the rows."""
    from orchestrator.leaderboard import terminal

    if arguments.limit is not None and arguments.limit < 1:
        raise UserError(f"--limit={arguments.limit} must be at least 1")
    _, frame = common.load_frame(arguments)
    known = list(frame.columns)
    common.check_columns([*(arguments.columns or ()), *([arguments.sort] if arguments.sort else ())], known)
    chosen = _sorted(_filtered(frame, arguments), arguments.sort, reverse=arguments.reverse)
    shown = chosen if arguments.limit is None else chosen.head(arguments.limit)
    columns = list(arguments.columns or _default_columns(shown))
    if not arguments.columns and shown["error"].notna().any():
        columns.append("error")
        first_lines = shown["error"].str.strip().str.split("\n").str[0]
        shown = shown.assign(error=first_lines.str.slice(0, 160))
    console = terminal.console()
    console.print(terminal.frame_table(shown[columns]))
    if len(shown) < len(chosen):
        console.print(f"{len(shown)} of {counted(len(chosen), 'row')}; --limit takes more", style="dim")
    return 0


def _default_columns(rows: pd.DataFrame) -> list[str]:
    """The usual columns, with those of distillations and searches that some row has something in.

    The number of a trial means something within its study only, so that is shown too where there are several.
    """
    columns = []
    for name in _COLUMNS:
        columns.append(name)
        columns += [extra for extra in _WHERE_SOME.get(name, ()) if rows[extra].map(_says_something).any()]
    if "trial" in columns and rows["study"].nunique() > 1:
        columns.insert(columns.index("trial"), "study")
    return columns


def _says_something(value: Any) -> bool:
    """Whether a cell holds a value, of a list at least one."""
    import numpy as np
    import pandas as pd

    if isinstance(value, list | tuple | np.ndarray):
        return len(value) > 0
    return value is not None and not pd.isna(value)


def _filtered(frame: pd.DataFrame, arguments: argparse.Namespace) -> pd.DataFrame:
    chosen = frame
    for name in _FILTERS:
        wanted = getattr(arguments, name)
        if not wanted:
            continue
        present = sorted(set(frame[name].dropna()))
        for value in wanted:
            if value not in present:
                raise UserError(f"no rows with {name} {value!r}{did_you_mean(value, present)}")
        chosen = chosen[chosen[name].isin(wanted)]
    if chosen.empty:
        raise UserError("no rows pass all of these filters together; leave one out")
    return chosen


def _sorted(frame: pd.DataFrame, column: str | None, *, reverse: bool) -> pd.DataFrame:
    from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

    from orchestrator.leaderboard.tables import in_order

    if column is None:
        order = {name: place for place, name in enumerate(in_order(frame["task"]))}
        return (
            frame.assign(_order=frame["task"].map(order))
            .sort_values(["_order", "score", "row_key"], ascending=[not reverse, reverse, True], na_position="last")
            .drop(columns="_order")
        )
    values = frame[column]
    if values.dtype == object:  # lists, or numbers by name
        return frame.sort_values(column, key=lambda values: values.map(str), ascending=not reverse, kind="stable")
    largest_first = is_numeric_dtype(values) or is_datetime64_any_dtype(values)
    return frame.sort_values(column, ascending=largest_first is reverse, na_position="last", kind="stable")
