"""``transfer_data``: what transfer data teaches a student, ours beside the paper's."""

from __future__ import annotations

import argparse
from typing import Any

from orchestrator.leaderboard.commands import common


def add(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = common.parser(
        subparsers,
        "transfer_data",
        "AUROC of students that learned from transfer data, and the share of the gap to their teacher, ours beside the "
        "paper's",
        ["--target bioasq", "--target gad@5 --sweep transfer_data_paper"],
    )
    parser.add_argument("--target", required=True, metavar="T", help="the teachers' task, such as bioasq")
    parser.add_argument("--sweep", help="name of the sweep (default: of those with rows of the target the latest)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints a table per student."""
    from orchestrator.leaderboard import terminal, transfer_data
    from trainables.data import tasks

    task = tasks.get(arguments.target).name
    _, frame = common.load_frame(arguments)
    what = (
        f"students that learned {task!r} from transfer data; run python -m orchestrator.transfer_data --target {task}"
    )
    rows = common.choose_sweep(frame, transfer_data.belonging(frame, task), what, arguments.sweep)
    for comparison in transfer_data.compare(rows, task):
        terminal.console().print(transfer_data.block(comparison))
    return 0
