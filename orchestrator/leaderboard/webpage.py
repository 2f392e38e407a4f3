"""Grids as one HTML page that needs nothing else: no script, no other file, readable on light and dark screens."""

from __future__ import annotations

import html
from collections.abc import Sequence

from orchestrator.leaderboard import colours
from orchestrator.leaderboard.tables import Grid, heading, text

_STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1c2126; --faint: #667079; --line: #d8dde2; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14181c; --ink: #e6e9ec; --faint: #98a2ab; --line: #39424a; }
}
body { background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; margin: 2rem; }
h1 { font-size: 1.35rem; margin: 0 0 1rem; }
.grids { display: flex; flex-wrap: wrap; gap: 2rem 3rem; }
.grid { overflow-x: auto; max-width: 100%; }
table { border-collapse: separate; border-spacing: 2px; font-variant-numeric: tabular-nums; }
caption { font-weight: 600; text-align: left; padding-bottom: .5rem; }
th { font-weight: 600; font-size: .85rem; padding: .25rem .45rem; }
thead th { vertical-align: bottom; text-align: center; min-width: 3.6rem; }
thead th.target { text-align: right; }
thead .axis { text-align: center; color: var(--faint); font-weight: 400; border-bottom: 1px solid var(--line); }
tbody th { text-align: right; white-space: nowrap; }
td { text-align: center; padding: .3rem .5rem; min-width: 3.2rem; white-space: nowrap; border-radius: 3px; }
td.change { color: #111; }
td.baseline { font-weight: 600; border: 1px solid var(--line); }
td.none, td.unfinished { color: var(--faint); }
td.diagonal { color: var(--faint); background: color-mix(in srgb, var(--line) 45%, transparent); }
td small { color: var(--faint); }
td.unfinished { font-size: .8rem; font-style: italic; }
p { color: var(--faint); font-size: .85rem; margin: .35rem 0; max-width: 60rem; }
.legend { margin-bottom: 1.4rem; }
.legend span { color: #111; display: inline-block; min-width: 3.4rem; padding: .15rem .3rem; text-align: center; }
"""


def page(groups: Sequence[Sequence[Grid]], notes: Sequence[str] = (), *, std: bool = False) -> str:
    """An HTML page.

    Args:
        groups: Grids that stand beside each other, where there is room.
        notes: Sentences that follow, one per group or none.
        std: Show standard deviations and numbers of seeds too (they are in the tooltips in any case).
    """
    largest = max((grid.largest_change for group in groups for grid in group), default=0.0)
    parts = []
    for place, group in enumerate(groups):
        parts.append('<section class="grids">')
        parts += [_grid(grid, largest, std=std) for grid in group]
        parts.append("</section>")
        if place < len(notes):
            parts.append(f"<p>{html.escape(notes[place])}</p>")
    title = "Intermediate fine-tuning: score on the target task after each intermediate task"
    return document(title, f"{_legend(largest)}\n" + "\n".join(parts))


def document(title: str, body: str) -> str:
    """A whole page in the leaderboard's style.

    Args:
        title: Plain text; what comes before a colon names the window.
        body: HTML that follows the title.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title.partition(':')[0])}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def _legend(largest: float) -> str:
    if largest <= 0:
        return ""
    swatches = "".join(
        f'<span style="background:{_background(change, largest)}">{colours.points(change)}</span>'
        for change in colours.legend(largest)
    )
    return f'<p class="legend">Change against the baseline, in points: {swatches}</p>'


def _grid(grid: Grid, largest: float, *, std: bool) -> str:
    titles = "".join(f'<th scope="col">{_breakable(heading(column))}</th>' for column in grid.columns)
    rows = []
    for target in grid.targets:
        cells = "".join(_cell(grid, target, column, largest, std=std) for column in grid.columns)
        rows.append(f'<tr><th scope="row">{html.escape(heading(target))}</th>{cells}</tr>')
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in grid.notes)
    return (
        f'<div class="grid"><table>\n<caption>{html.escape(grid.title)}</caption>\n<thead>\n'
        f'<tr><td></td><td></td><th class="axis" colspan="{max(1, len(grid.intermediates))}">Intermediate task</th>'
        f'</tr>\n<tr><th class="target">Target task</th>{titles}</tr>\n</thead>\n<tbody>\n'
        + "\n".join(rows)
        + f"\n</tbody></table>{notes}</div>"
    )


def _cell(grid: Grid, target: str, column: str | None, largest: float, *, std: bool) -> str:
    cell = grid.cell(target, column)
    shown = html.escape(text(grid, target, column, std=std))
    if cell is None:
        return f'<td class="{"diagonal" if target == column else "none"}">{shown}</td>'
    if cell.mean is None:
        return f'<td class="unfinished">{shown}</td>'
    facts = [f"{heading(target)}, {'baseline' if column is None else f'after {heading(column)}'}: {cell.mean:.2f}"]
    facts += [f"change {cell.change:+.2f}"] if cell.change is not None else []
    facts += [f"standard deviation {cell.std:.2f}"] if cell.std is not None else []
    facts += [f"{cell.seeds} seed{'' if cell.seeds == 1 else 's'}"] if cell.seeds is not None else []
    facts += [f"q = {cell.q:.3g}"] if cell.q is not None else []
    kind = "baseline" if column is None else "change" if cell.change is not None else "score"
    style = f' style="background:{_background(cell.change, largest)}"' if cell.change is not None else ""
    return f'<td class="{kind}"{style} title="{html.escape("; ".join(facts))}">{shown}</td>'


def _breakable(name: str) -> str:
    return html.escape(name).replace("-", "-<br>")


def _background(change: float, largest: float) -> str:
    return colours.hexadecimal(colours.of_change(change, largest))
