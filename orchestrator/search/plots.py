"""Optuna's own plots of a search, as one HTML page that needs nothing else, and as one picture."""

from __future__ import annotations

import contextlib
import html as markup
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.search import choice, picture, report

if TYPE_CHECKING:
    from optuna.study import Study

_STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1c2126; --faint: #667079; --line: #d8dde2; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14181c; --ink: #e6e9ec; --faint: #98a2ab; --line: #39424a; }
}
body { background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto;
  max-width: 90rem; padding: 0 1.5rem; }
h1 { font-size: 1.35rem; margin: 0 0 1rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p { margin: .35rem 0; }
p.note { color: var(--faint); font-size: .85rem; }
.plot { background: #ffffff; border-radius: 4px; overflow-x: auto; }
"""


def write(studies: Sequence[Study], html: Path | str, png: Path | str) -> None:
    """Writes the plots of a search.

    Args:
        studies: Its phases, in order; single-objective ones that maximise percent.
        html: The page, with plotly's script in it: it works offline, and takes about 5 MB.
        png: The picture; the same plots one below the other.
    """
    with _quiet():
        page = _page(studies)
        drawn = picture.png(studies)
    for path, content in ((Path(html), page.encode()), (Path(png), drawn)):
        path.parent.mkdir(parents=True, exist_ok=True)
        report.write_whole(path, content)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences Optuna's remarks on experimental functions, and on trials that are not there yet."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


# --- the page ------------------------------------------------------------------------------------------------


def _page(studies: Sequence[Study]) -> str:
    import plotly.offline

    parts = [_section(study, place) for place, study in enumerate(studies)]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{markup.escape(_names(studies))}</title>\n<style>{_STYLE}</style>\n"
        f"<script>{plotly.offline.get_plotlyjs()}</script>\n</head>\n<body>\n"
        f"<h1>Search: {markup.escape(_names(studies))}</h1>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _section(study: Study, place: int) -> str:
    import plotly.io

    plots, notes = choice.planned(study)
    parts = [f"<h2>{markup.escape(study.study_name)}</h2>", f"<p>{markup.escape(report.sentence(study))}</p>"]
    parts += [f'<p class="note">{markup.escape(note)}</p>' for note in notes]
    for number, plot in enumerate(plots):
        drawn = plotly.io.to_html(
            _figure(study, plot),
            config={"displaylogo": False, "responsive": True},
            include_plotlyjs=False,
            full_html=False,
            div_id=f"plot-{place}-{number}",
        )
        title = f"<h3>{markup.escape(plot.title)}</h3>" if plot.title else ""
        parts.append(f'{title}<div class="plot">{drawn}</div>')
    return "<section>\n" + "\n".join(parts) + "\n</section>"


def _figure(study: Study, plot: choice.Plot) -> Any:
    """One of Optuna's plotly figures, titled by the page, with logarithmic learning rates and room for its labels."""
    import optuna.visualization

    figure = getattr(optuna.visualization, f"plot_{plot.name}")(study, **plot.arguments)
    figure.update_layout(title=None, template="plotly_white", height=420, margin={"l": 70, "r": 40, "t": 40, "b": 60})
    if plot.name == "slice":
        figure.update_layout(width=None)
        for axis in figure.select_xaxes():
            if choice.is_continuous_rate(study, axis.title.text or ""):
                ticks = choice.ticks(choice.values(study, axis.title.text))
                axis.update(type="log", tickvals=ticks, ticktext=[report.shown(tick) for tick in ticks])
    if plot.name == "parallel_coordinate":
        names = [choice.OBJECTIVE, *sorted(plot.params)]
        figure.update_annotations(bgcolor="rgba(255, 255, 255, 0.8)")
        figure.update_xaxes(ticktext=[name.replace("_", "_<br>", 1) if len(name) > 14 else name for name in names])
    if plot.name == "intermediate_values":
        title, step = choice.watched(study)
        figure.update_layout(xaxis_title=step, yaxis_title=title)
        if max(max(trace.x) for trace in figure.data) <= 2 * choice.LEGIBLE:
            figure.update_xaxes(dtick=1)
    return figure


def _names(studies: Sequence[Study]) -> str:
    return ", ".join(study.study_name for study in studies)
