"""The paper's figures as a PNG picture."""

from __future__ import annotations

from io import BytesIO

from orchestrator.leaderboard.vekd.comparison import title
from orchestrator.leaderboard.vekd.figures import Drawn, axis

_PANEL = (4.6, 3.6)  # inches
_COLOURS = ("#1f5fa8", "#c2571a", "#3b8451", "#7a4fa0")
_MARKERS = "osD^"
_FAINT = "#667079"


def png(drawn: Drawn) -> bytes:
    """A panel per task or average, the hyperparameter along the axis at equal distances, a curve per method.

    Returns:
        The PNG file's content, at 150 dots per inch.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = drawn.figure
    width, height = _PANEL
    picture = Figure(
        figsize=(width * len(figure.shows), height + 0.7), dpi=150, facecolor="white", layout="constrained"
    )
    FigureCanvasAgg(picture)
    places = range(len(figure.values))
    for number, panel in enumerate(figure.shows, start=1):
        axes = picture.add_subplot(1, len(figure.shows), number)
        for place, curve in enumerate(figure.curves):
            cells = {at: drawn.points.get((panel, curve.title, figure.values[at])) for at in places}
            there = {at: cell for at, cell in cells.items() if cell is not None}
            axes.errorbar(
                list(there),
                [cell.mean or 0.0 for cell in there.values()],
                yerr=[cell.std or 0.0 for cell in there.values()],
                color=_COLOURS[place % len(_COLOURS)],
                marker=_MARKERS[place % len(_MARKERS)],
                capsize=3,
                label=curve.title,
            )
        axes.set_title(title(panel), loc="left", fontsize=11)
        axes.set_xticks(list(places), [axis(figure, value) for value in figure.values])
        axes.set_xlim(-0.3, len(figure.values) - 0.7)
        axes.set_xlabel(figure.title)
        axes.set_ylabel("test score (%)")
        axes.grid(axis="y", color="#e4e7ea")
        axes.spines[["top", "right"]].set_visible(False)
        if len(figure.curves) > 1:
            axes.legend(frameon=False, fontsize=9)
    picture.suptitle(drawn.heading, fontsize=12, fontweight="bold", x=0.01, ha="left")
    picture.supxlabel(" ".join(drawn.notes), fontsize=7.5, color=_FAINT, x=0.01, ha="left", wrap=True)
    out = BytesIO()
    picture.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
