"""The paper's tables as one HTML page that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Sequence

from orchestrator.leaderboard import webpage
from orchestrator.leaderboard.paper.cells import Comparison, Place, text


def page(comparisons: Sequence[Comparison], name: str) -> str:
    """An HTML page with tables one below the other; ours in each cell, and smaller the paper's.

    Args:
        comparisons: The tables.
        name: Of the paper.
    """
    body = "\n".join(_table(comparison) for comparison in comparisons)
    return webpage.document(f"{name}: ours, and below each number the paper's", body)


def _table(comparison: Comparison) -> str:
    heads = "".join(f'<th scope="col">{html.escape(head)}</th>' for head in comparison.heads)
    rows = []
    for name, places in comparison.rows:
        cells = "".join(_cell(comparison, place) for place in places)
        rows.append(f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>')
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in comparison.notes)
    return (
        f'<div class="grid"><table>\n<caption>{html.escape(comparison.title)}</caption>\n'
        f"<thead>\n<tr>{heads}</tr>\n</thead>\n<tbody>\n" + "\n".join(rows) + f"\n</tbody></table>{notes}</div>"
    )


def _cell(comparison: Comparison, place: Place) -> str:
    ours, theirs = comparison.ours.get(place), comparison.printed.get(place)
    if ours is None and theirs is None:
        return "<td></td>"
    kind = "unfinished" if ours is not None and ours.mean is None else "score" if ours is not None else "none"
    below = f"<br><small>{html.escape(text(theirs, place.measure))}</small>"
    return f'<td class="{kind}">{html.escape(text(ours, place.measure))}{below}</td>'
