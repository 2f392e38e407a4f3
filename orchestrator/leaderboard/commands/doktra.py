"""``doktra``: the DoKTra paper's tables, ours beside the printed numbers."""

from __future__ import annotations

import argparse
from typing import Any

from orchestrator.leaderboard.commands import common


def add(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = common.parser(
        subparsers,
        "doktra",
        "the DoKTra paper's tables, ours beside the printed numbers",
        ["--table 2", "--table 5 6 --sweep doktra_table5 --html tables.html"],
    )
    parser.add_argument(
        "--table", nargs="+", type=int, required=True, metavar="N", help="numbers of tables in the paper, 2 to 7"
    )
    parser.add_argument("--sweep", help="name of the sweep (default: of those with rows of the table the latest)")
    parser.add_argument("--html", metavar="FILE", help="also write a page")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the tables and writes the file that was asked for."""
    from orchestrator import doktra_tables
    from orchestrator.leaderboard import doktra, terminal

    for number in arguments.table:
        doktra_tables.get(number)
    _, frame = common.load_frame(arguments)
    found = [doktra.compare(frame, number, arguments.sweep) for number in arguments.table]
    console = terminal.console()
    for place, one in enumerate(found):
        if place:
            console.print()
        console.print(doktra.block(one, console))
    if arguments.html:
        common.save(arguments.html, doktra.page(found, "DoKTra").encode())
    return 0
