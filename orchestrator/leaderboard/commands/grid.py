"""``grid``: the STILT paper's table of a sweep, in the terminal, as HTML and as a picture."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from orchestrator.leaderboard.commands import common
from trainables.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from orchestrator.leaderboard.tables import Grid

_SAME = "auto"
_DEFAULT_PUBLISHED = "bert_base"


def add(subparsers: Any) -> None:
    """Adds the subcommand."""
    parser = common.parser(
        subparsers,
        "grid",
        "the paper's table: rows are targets, columns intermediates, means over seeds",
        [
            "",
            "--sweep stilt_grid --model pubmedbert --std",
            "--published --png grid.png --html grid.html",
            "--significance",
        ],
    )
    parser.add_argument("--sweep", help="name of the sweep (default: the one started last)")
    parser.add_argument("--model", nargs="+", metavar="MODEL", help="only these models (default: all of the sweep)")
    parser.add_argument("--split", choices=("test", "dev"), default="test", help="which scores (default: test)")
    parser.add_argument("--std", action="store_true", help="add standard deviation and number of seeds")
    parser.add_argument(
        "--significance",
        action="store_true",
        help="mark changes with * by paired bootstrap and false discovery rate (takes seconds per target)",
    )
    parser.add_argument(
        "--published",
        nargs="?",
        const=_SAME,
        metavar="MODEL",
        help="beside the published grid of the same model, or of MODEL (bert_base where the paper lacks the model)",
    )
    parser.add_argument("--png", metavar="FILE", help="also write a picture")
    parser.add_argument("--html", metavar="FILE", help="also write a page")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the grids and writes the files that were asked for."""
    from orchestrator.leaderboard import comparison, picture, significance, tables, terminal, webpage

    store, frame = common.load_frame(arguments)
    ours = _chosen(tables.from_rows(frame, arguments.sweep, arguments.split), arguments.model)
    if arguments.significance:
        ours = [significance.with_significance(grid, store, arguments.split) for grid in ours]
    groups: list[list[Grid]] = [[grid] for grid in ours]
    sentences: list[str] = []
    if arguments.published:
        for group in groups:
            group.append(tables.laid_out_as(_published(arguments.published, group[0]), group[0]))
            sentences.append(comparison.agreement(*group).sentence())

    console = terminal.console()
    largest = max(grid.largest_change for group in groups for grid in group)
    for place, group in enumerate(groups):
        blocks = [terminal.grid_block(grid, largest, std=arguments.std) for grid in group]
        console.print(terminal.beside(blocks, console))
        for sentence in sentences[place : place + 1]:
            console.print(sentence)
        console.print()
    console.print(terminal.legend(largest))
    if arguments.html:
        common.save(arguments.html, webpage.page(groups, sentences, std=arguments.std).encode())
    if arguments.png:
        every = [grid for group in groups for grid in group]
        common.save(arguments.png, picture.png(every, sentences, std=arguments.std))
    return 0


def _chosen(grids: list[Grid], models: list[str] | None) -> list[Grid]:
    known = [grid.model for grid in grids]
    for model in models or ():
        if model not in known:
            raise UserError(f"the sweep has no model {model!r}{did_you_mean(model, known)}")
    return [grid for grid in grids if not models or grid.model in models]


def _published(asked: str, ours: Grid) -> Grid:
    from orchestrator.leaderboard import tables
    from orchestrator.leaderboard.published import published

    if asked != _SAME:
        return tables.from_published(asked)
    in_paper = set(published("stilt")["model"])
    return tables.from_published(ours.model if ours.model in in_paper else _DEFAULT_PUBLISHED)
