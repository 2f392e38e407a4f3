"""``multi_teacher``: accuracies per class of teachers and students, ours beside the thesis's."""

from __future__ import annotations

import argparse
from typing import Any

from orchestrator.leaderboard.commands import common


def add(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = common.parser(
        subparsers,
        "multi_teacher",
        "accuracies per class of teachers and of students distilled from several, ours beside the thesis's",
        ["--task emotion", "--task tweet_emotion --all --sweep multi_teacher_paper"],
    )
    parser.add_argument("--task", required=True, metavar="T", help="task, such as emotion")
    parser.add_argument("--sweep", help="name of the sweep (default: of those with rows of the task the latest)")
    parser.add_argument("--all", action="store_true", help="every subset of the teachers (default: the largest)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the tables."""
    from orchestrator.leaderboard import multi_teacher, terminal
    from trainables.data import tasks

    task = tasks.get(arguments.task).name
    store, frame = common.load_frame(arguments)
    what = f"distillation from several teachers on {task!r}; run python -m orchestrator.multi_teacher --task {task}"
    rows = common.choose_sweep(frame, multi_teacher.belonging(frame, task), what, arguments.sweep)
    console = terminal.console()
    for block in multi_teacher.blocks(rows, task, store, largest_only=not arguments.all):
        console.print(block)
    return 0
