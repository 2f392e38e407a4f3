"""``sql``: read-only DuckDB over the rows and the published numbers."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from orchestrator.leaderboard.commands import common
from trainables.errors import UserError

_JOINED = (
    '--csv "SELECT model, task, avg(score) AS ours, any_value(value) AS printed FROM leaderboard '
    "JOIN published USING (method, model, task) WHERE method = 'finetune' AND paper = 'stilt' GROUP BY ALL\""
)


def add(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = common.parser(
        subparsers,
        "sql",
        "query the rows (table leaderboard) and the papers' numbers (table published) with DuckDB, read-only",
        [
            '"SELECT task, intermediate, avg(score) FROM leaderboard GROUP BY ALL ORDER BY ALL"',
            '"DESCRIBE leaderboard"',
            _JOINED,
            "--json - < query.sql",
        ],
    )
    parser.add_argument("query", help="one SQL query, or - to read it from standard input")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--csv", action="store_true", help="print CSV")
    output.add_argument("--json", action="store_true", help="print JSON, one list of objects")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the answer."""
    from orchestrator.leaderboard import export, query, terminal
    from orchestrator.leaderboard.published import published

    text = sys.stdin.read() if arguments.query == "-" else arguments.query
    if not text.strip():
        raise UserError('the query is empty; give one such as "SELECT * FROM leaderboard LIMIT 5"')
    _, rows = common.load(arguments)
    answer = query.ask(text, rows, published())
    if arguments.csv:
        sys.stdout.write(export.to_csv(answer))
    elif arguments.json:
        sys.stdout.write(export.to_json(answer))
    else:
        terminal.console().print(terminal.frame_table(answer))
    return 0
