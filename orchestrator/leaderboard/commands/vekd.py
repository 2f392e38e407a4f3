"""``vekd``: the VE-KD paper's tables and figures, ours beside the printed numbers."""

from __future__ import annotations

import argparse
from typing import Any

from orchestrator.leaderboard.commands import common
from trainables.errors import UserError


def add(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = common.parser(
        subparsers,
        "vekd",
        "the VE-KD paper's tables, ours beside the printed numbers, and its figures with ours",
        ["--table 1", "--table 3 4 --html tables.html", "--figure 2 --png figure.png"],
    )
    parser.add_argument("--table", nargs="+", type=int, default=[], metavar="N", help="of the paper: 1 to 4, 6 to 9")
    parser.add_argument("--figure", type=int, metavar="N", help="of the paper: 2, 3, 4")
    parser.add_argument("--sweep", help="name of the sweep (default: of those with rows of the table the latest)")
    parser.add_argument("--preset", choices=("mini", "paper"), default="paper", help="whose sizes a figure has (paper)")
    parser.add_argument("--tasks", metavar="T,...", help="that a figure was run on (those of the preset)")
    parser.add_argument("--html", metavar="FILE", help="also write a page with the tables")
    parser.add_argument("--png", metavar="FILE", help="also write a picture of the figure")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the tables and points, and writes the files that were asked for."""
    from orchestrator import options, vekd_figures, vekd_tables
    from orchestrator.leaderboard import terminal, vekd
    from orchestrator.leaderboard.vekd import figures
    from orchestrator.vekd import DEFAULTS

    if not arguments.table and arguments.figure is None:
        raise UserError("give --table N or --figure N")
    if arguments.png and arguments.figure is None:
        raise UserError(f"--png={arguments.png!r} is of a figure; give --figure N")
    if arguments.html and not arguments.table:
        raise UserError(f"--html={arguments.html!r} is of tables; give --table N")
    tables = [vekd_tables.get(number) for number in arguments.table]
    preset = DEFAULTS[arguments.preset]
    tasks = options.task_names("tasks", arguments.tasks, preset["tasks"])
    figure = vekd_figures.get(arguments.figure, preset["sizes"], tasks) if arguments.figure is not None else None
    _, frame = common.load_frame(arguments)
    console = terminal.console()
    found = [vekd.compare(frame, table, arguments.sweep) for table in tables]
    for one in found:
        console.print(vekd.block(one, console))
        console.print()
    if arguments.html:
        common.save(arguments.html, vekd.page(found, "VE-KD").encode())
    if figure is not None:
        drawn = vekd.draw(frame, figure, arguments.sweep)
        console.print(figures.block(drawn))
        if arguments.png:
            common.save(arguments.png, vekd.png(drawn))
    return 0
