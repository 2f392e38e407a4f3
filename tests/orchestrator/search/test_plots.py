"""The page and the picture of a search, whatever its trials came to."""

from __future__ import annotations

import random
import re
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import optuna
import pytest

from orchestrator.search import choice, plots
from tests.orchestrator.search.studies import WIDE_RATE, add, mixed, study


def names(made: optuna.Study) -> list[str]:
    return [plot.name for plot in choice.planned(made)[0]]


def written(tmp_path: Path, *studies: optuna.Study) -> tuple[str, np.ndarray]:
    html, png = tmp_path / "plots" / "search.html", tmp_path / "plots" / "search.png"
    plots.write(studies, html, png)
    assert sorted(path.name for path in html.parent.iterdir()) == ["search.html", "search.png"]
    return html.read_text(), plt.imread(png)


def own(page: str) -> str:
    """The page without plotly's script, which mentions many an address."""
    start, end = page.index("<script>"), page.index("</script>")
    return page[:start] + page[end:]


def test_a_search_with_everything_has_all_plots(tmp_path: Path) -> None:
    made = mixed()
    assert names(made) == [
        "optimization_history",
        "param_importances",
        "slice",
        "parallel_coordinate",
        "intermediate_values",
    ]
    page, picture = written(tmp_path, made)
    assert page.count('class="plotly-graph-div"') == 5
    assert "5 trials: 3 complete, 1 pruned, 1 failed. Best: 79.02, trial 2 (learning_rate=1e-05 beta2=0.7)" in page
    height, width = picture.shape[:2]
    assert 1000 < width < 2200
    assert 1000 < height < 3000


def test_the_page_needs_no_network(tmp_path: Path) -> None:
    page, _ = written(tmp_path, mixed())
    assert page.count("* plotly.js v") == 1, "plotly's script, once"
    assert len(page) - len(own(page)) > 1_000_000
    assert re.findall(r"""(?:src|href)\s*=\s*["'][^"']*""", own(page)) == []
    assert "cdn." not in own(page)


def test_every_phase_has_its_section(tmp_path: Path) -> None:
    page, _ = written(tmp_path, mixed("search-teacher"), mixed("search-<student>"))
    assert re.findall("<h2>(.*)</h2>", page) == ["search-teacher", "search-&lt;student&gt;"]
    assert len(set(re.findall(r'<div id="(plot-[\d-]+)"', page))) == 10


def test_before_the_first_trial_ends_there_is_a_note(tmp_path: Path) -> None:
    empty = study()
    assert names(empty) == []
    page, picture = written(tmp_path, empty)
    assert "No trial is complete yet" in page
    assert picture.min() < 0.5, "the picture says so too"
    add(empty, None, {"beta2": 0.3}, state="PRUNED", reports=[61.0])
    assert names(empty) == ["intermediate_values"]
    written(tmp_path, empty)


def test_one_trial_compares_nothing(tmp_path: Path) -> None:
    made = study()
    add(made, 78.0, {"learning_rate": 6e-6, "beta2": 0.0})
    assert names(made) == ["optimization_history"]
    page, _ = written(tmp_path, made)
    assert "two different ones are needed" in page


def test_equal_scores_make_nothing_important(tmp_path: Path) -> None:
    made = study()
    for beta in (0.0, 0.3, 0.5):
        add(made, 78.0, {"beta2": beta})
    assert names(made) == ["optimization_history", "slice", "parallel_coordinate"]
    page, _ = written(tmp_path, made)
    assert "no hyperparameter can be said to matter" in page


def test_a_hyperparameter_with_one_value_is_named_and_left_out(tmp_path: Path) -> None:
    made = study()
    for score, beta in ((78.0, 0.0), (79.0, 0.3)):
        add(made, score, {"learning_rate": 1e-5, "beta2": beta})
    chosen, notes = choice.planned(made)
    assert {plot.params for plot in chosen if plot.params} == {("beta2",)}
    assert notes == ["The same in every complete trial, and left out: learning_rate=1e-05."]
    written(tmp_path, made)


def test_all_trials_alike(tmp_path: Path) -> None:
    made = study()
    for _ in range(2):
        add(made, 78.0, {"beta2": 0.3})
    assert names(made) == ["optimization_history"]
    written(tmp_path, made)


@pytest.mark.filterwarnings("error")
def test_two_hundred_trials_of_nine_hyperparameters(tmp_path: Path) -> None:
    made, draw = study(), random.Random(0)
    wide = dict.fromkeys(("learning_rate", "teacher_learning_rate", "student_learning_rate"), WIDE_RATE)
    others = {f"x{number}": optuna.distributions.FloatDistribution(0.0, 1.0) for number in range(6)}
    for _ in range(200):
        params = {name: 10 ** draw.uniform(-6, -4) for name in wide} | {name: draw.random() for name in others}
        add(made, 70 + 5 * params["x0"], params, space={**wide, **others}, reports=[60.0, 65.0])
    slices = [plot for plot in choice.planned(made)[0] if plot.name == "slice"]
    assert [len(plot.params) for plot in slices] == [5, 4]
    page, _ = written(tmp_path, made)
    assert page.count('"type":"log"') == 3, "every learning rate that comes from a range"


def test_learning_rates_are_ticked_at_round_values() -> None:
    assert choice.ticks([6e-6, 1e-5, 8e-6, 6e-6]) == [6e-6, 8e-6, 1e-5]
    many = [1e-6 * 1.03**step for step in range(150)]  # up to 8.2e-5
    assert choice.ticks(many) == pytest.approx([1e-6, 3e-6, 1e-5, 3e-5])
    near = [4e-6 + step * 1e-7 for step in range(20)]
    assert choice.ticks(near) == pytest.approx([4e-6, 5.9e-6])


def test_the_state_of_matplotlib_and_optuna_is_left_as_it_was(tmp_path: Path) -> None:
    plt.switch_backend("svg")
    before, level = dict(plt.rcParams), optuna.logging.get_verbosity()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        plots.write([mixed()], tmp_path / "search.html", tmp_path / "search.png")
    assert dict(plt.rcParams) == before
    assert plt.get_fignums() == []
    assert optuna.logging.get_verbosity() == level
    assert [one for one in caught if one.category is optuna.exceptions.ExperimentalWarning] == []
    plt.switch_backend("agg")
