"""The plots of a search as one picture, drawn by matplotlib; nothing but Python is needed for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from orchestrator.search import choice, report

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure
    from optuna.study import Study

_DPI = 100
_ROW_INCHES = 18.0
_INCHES_PER_SLICE = 3.2
_INCHES = {  # of a plot: width, height
    "optimization_history": (8.6, 4.4),
    "param_importances": (7.6, 4.4),
    "slice": (8.6, 3.8),
    "parallel_coordinate": (17.2, 4.8),
    "intermediate_values": (8.6, 4.4),
}


def png(studies: Sequence[Study]) -> bytes:
    """All plots in rows, each rendered by itself: Optuna makes a figure of its own for every plot."""
    import matplotlib
    import matplotlib.pyplot as plt

    backend = matplotlib.get_backend(auto_select=False)
    plt.switch_backend("agg")
    try:
        # In a context, since Optuna's plots change the style for all that follows.
        with plt.style.context(["default", {"figure.constrained_layout.use": True}]):
            rows = [row for study in studies for row in _rows(study)]
    finally:
        if backend is not None:
            plt.switch_backend(backend)
    out = BytesIO()
    plt.imsave(out, _joined(rows, axis=0), format="png", dpi=_DPI)
    return out.getvalue()


def _rows(study: Study) -> Iterator[np.ndarray]:
    """The study's text, then its plots, as many beside each other as there is room for."""
    plots, notes = choice.planned(study)
    yield _text_picture(study.study_name, [report.sentence(study), *notes])
    row: list[np.ndarray] = []
    for plot in plots:
        drawn = _rendered(_matplotlib_figure(study, plot))
        if row and sum(part.shape[1] for part in (*row, drawn)) > _ROW_INCHES * _DPI:
            yield _joined(row, axis=1)
            row = []
        row.append(drawn)
    if row:
        yield _joined(row, axis=1)


def _matplotlib_figure(study: Study, plot: choice.Plot) -> MatplotlibFigure:
    """One of Optuna's matplotlib figures, with a size for the picture and labels that can be read."""
    import matplotlib.pyplot as plt
    import optuna.visualization.matplotlib
    from matplotlib.ticker import MaxNLocator

    getattr(optuna.visualization.matplotlib, f"plot_{plot.name}")(study, **plot.arguments)
    figure = plt.gcf()
    axes, legend = figure.axes[0], figure.axes[0].get_legend()
    figure.set_size_inches(_INCHES[plot.name])
    figure.suptitle("")
    axes.set_title("")
    axes.set_title(plot.title, loc="left", fontsize=12, pad=10)
    if plot.name == "optimization_history":
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, -0.5), max(high, 0.5))  # one trial alone would be drawn between fractions of trials
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncol=2)  # else it hides trials or half the width
    if plot.name == "param_importances" and legend is not None:
        legend.remove()
    if plot.name == "slice":
        figure.set_size_inches(_INCHES_PER_SLICE * len(plot.params) + 1.2, _INCHES["slice"][1])
        for each in figure.axes:
            if choice.is_continuous_rate(study, each.get_xlabel()):
                _logarithmic(each, choice.values(study, each.get_xlabel()))
    if plot.name == "parallel_coordinate":
        _label_coordinates(figure, study, sorted(plot.params))
    if plot.name == "intermediate_values":
        title, step = choice.watched(study)
        axes.set_xlabel(step)
        axes.set_ylabel(title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for number, line in enumerate(axes.lines):  # Optuna's colours end after twenty
            line.set_color(plt.get_cmap("tab20")(number % 20))
        if len(axes.lines) > choice.LEGIBLE and legend is not None:
            legend.remove()
    return figure


def _logarithmic(axes: Axes, values: Sequence[float]) -> None:
    """Gives an axis of learning rates a logarithmic scale with ticks that can be read, however near its ends are."""
    from matplotlib.ticker import NullLocator

    margin = (max(values) / min(values)) ** 0.06
    ticks = choice.ticks(values)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [report.shown(tick) for tick in ticks])
    axes.set_xlim(min(values) / margin, max(values) * margin)


def _label_coordinates(figure: MatplotlibFigure, study: Study, names: Sequence[str]) -> None:
    """Whole names below the coordinates, and on each of them values that lie above the lines."""
    from matplotlib.ticker import NullLocator

    axes = figure.axes[0]
    axes.grid(visible=False)
    axes.set_xticks(range(len(names) + 1), [choice.OBJECTIVE, *names], rotation=20, ha="right")
    for name, axis in zip(names, figure.axes[-len(names) :], strict=True):  # before them comes the scale of colours
        axis.grid(visible=False)
        if axis.get_yscale() == "log":
            ticks = choice.ticks(choice.values(study, name))
            axis.yaxis.set_minor_locator(NullLocator())
            axis.set_yticks(ticks, [report.shown(tick) for tick in ticks])
        for label in axis.get_yticklabels():
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1})


def _text_picture(title: str, lines: Sequence[str]) -> np.ndarray:
    import textwrap

    import matplotlib.pyplot as plt

    wrapped = [part for line in lines for part in textwrap.wrap(line, int(_ROW_INCHES * 10))]
    height = 0.6 + 0.22 * len(wrapped)
    figure = plt.figure(figsize=(_ROW_INCHES, height), layout="none")
    figure.text(0.2 / _ROW_INCHES, 1 - 0.35 / height, title, fontsize=15, fontweight="bold")
    for place, line in enumerate(wrapped):
        figure.text(0.2 / _ROW_INCHES, 1 - (0.65 + 0.22 * place) / height, line, fontsize=10.5)
    return _rendered(figure, tight=False)


def _rendered(figure: MatplotlibFigure, tight: bool = True) -> np.ndarray:
    """A figure as pixels [height, width, 3] between 0 and 1, and closed."""
    import matplotlib.pyplot as plt

    out = BytesIO()
    box = "tight" if tight else None
    figure.savefig(out, format="png", dpi=_DPI, facecolor="white", bbox_inches=box, pad_inches=0.2)
    plt.close(figure)
    out.seek(0)
    return plt.imread(out, format="png")[:, :, :3]


def _joined(parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Pictures below each other (axis 0) or beside each other (axis 1), on white."""
    import numpy as np

    other = 1 - axis
    size = max(part.shape[other] for part in parts)
    padded = []
    for part in parts:
        missing = [(0, 0)] * 3
        missing[other] = (0, size - part.shape[other])
        padded.append(np.pad(part, missing, constant_values=1.0))
    return np.concatenate(padded, axis=axis)
