"""``rebuild``: makes the rows again from the finished stages."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from orchestrator.leaderboard.commands import common
from orchestrator.wording import counted


def add(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = common.parser(
        subparsers,
        "rebuild",
        "make every row again from the store; sweeps do this by themselves as they run",
        ["", "--storage /mnt/shared/runs"],
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Writes the rows."""
    from orchestrator.leaderboard.rebuild import rebuild

    store = common.open_store(arguments)
    written = rebuild(store)
    sys.stdout.write(f"{counted(written, 'row')} made from the stages in {store.root}\n")
    return 0
