"""``export``: all rows into one file."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from orchestrator.leaderboard.commands import common


def add(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = common.parser(
        subparsers,
        "export",
        "write all rows to one file; its name says whether as CSV, JSON or Parquet",
        ["rows.csv", "rows.parquet", "rows.json --storage s3://bucket/runs"],
    )
    parser.add_argument("file", metavar="FILE", help="ends in .csv, .json or .parquet; an existing one is replaced")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the file."""
    from orchestrator.leaderboard import export

    suffix = export.check(arguments.file)
    _, rows = common.load(arguments)
    common.save(arguments.file, export.content(rows, suffix))
    sys.stdout.write(f"{rows.num_rows} rows written to {arguments.file}\n")
    return 0
