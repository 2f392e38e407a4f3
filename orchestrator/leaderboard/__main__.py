"""``python -m orchestrator.leaderboard``: what came of the sweeps."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from orchestrator.leaderboard.commands import (
    common,
    doktra,
    export,
    grid,
    multi_teacher,
    rebuild,
    show,
    sql,
    transfer_data,
    vekd,
)
from trainables.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand.

    Returns:
        The exit code: 0, or 2 where the user must change something.
    """
    parser = argparse.ArgumentParser(
        prog=common.PROGRAM,
        description="What came of the sweeps: one row per recipe, in a Parquet folder under the storage.",
        epilog=f"examples:\n  {common.PROGRAM} show --task ddi\n  {common.PROGRAM} grid --published\n\n"
        f"`{common.PROGRAM} COMMAND --help` has the options and more examples.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (show, grid, doktra, multi_teacher, transfer_data, vekd, sql, export, rebuild):
        command.add(subparsers)
    parsed = parser.parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit would flush and fail again
        return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
