"""What a search ends with: its phases and best trials in words, a ready command, and a file of expressions."""

from __future__ import annotations

import json
import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.engine.storage import Storage
from orchestrator.recipe import Recipe
from orchestrator.wording import counted

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from rich.console import Console, RenderableType
    from rich.table import Table

FORMAT = 1  # of the file of expressions
TOP = 5


def finished(study: Study) -> list[FrozenTrial]:
    """The complete trials with a finite score, in the order in which they were proposed."""
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return [trial for trial in complete if trial.value is not None and math.isfinite(trial.value)]


def best(study: Study) -> FrozenTrial | None:
    """The complete trial with the highest score, the earliest among equals; None while there is none."""
    return max(finished(study), key=_score, default=None)


def top(study: Study, count: int = TOP) -> list[FrozenTrial]:
    """The best complete trials, best first and the earlier first among equals; of repeats the first."""
    found: list[FrozenTrial] = []
    for trial in sorted(finished(study), key=_score, reverse=True):
        if all(trial.params != other.params for other in found):
            found.append(trial)
    return found[:count]


def settings(chosen: Mapping[str, object]) -> str:
    """Hyperparameters in one line: ``epochs=10 learning_rate=1e-05``."""
    return " ".join(f"{name}={shown(value)}" for name, value in chosen.items())


def shown(value: object) -> str:
    """A hyperparameter as people write it: floats with four digits that count."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def sentence(study: Study) -> str:
    """Where a study stands: ``12 trials: 8 complete, 3 pruned, 1 failed. Best: 79.02, trial 7 (beta2=0.5)``."""
    counts = _counts(study)
    total = sum(counts.values())
    parts = [f"{counts[state]} {name}" for state, name in _STATES.items() if counts[state]]
    text = counted(total, "trial") + (f": {', '.join(parts)}." if parts else ".")
    found = best(study)
    return text if found is None else f"{text} Best: {found.value:.2f}, trial {found.number} ({settings(found.params)})"


def show(console: Console, studies: Sequence[Study], published: Mapping[str, object] | None = None) -> None:
    """Prints a search's result: its phases, the best trials of the last one, and its choice beside the paper's.

    Args:
        console: Where to.
        studies: The phases in order; the last one is what the search was for.
        published: The paper's pick by hyperparameter, where it has one for this task and these models.
    """
    console.print(phases(studies))
    for study in studies[-1:]:
        if best(study) is not None:
            console.print()
            console.print(best_trials(study))
    chosen = winner(studies)
    if chosen and published:
        console.print()
        console.print(beside_published(chosen, published))


def winner(studies: Sequence[Study]) -> dict[str, Any]:
    """The best settings of all phases together; a later phase's value of a name wins."""
    found = [best(study) for study in studies]
    return {name: value for trial in found if trial is not None for name, value in trial.params.items()}


def phases(studies: Sequence[Study]) -> RenderableType:
    """One row per study, how its trials ended and the best score, and below them the settings of the best."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    counts = [_counts(study) for study in studies]
    states = [state for state in _STATES if state in _ENDED or any(count[state] for count in counts)]
    table.add_column("study", overflow="fold")
    for name in ("trials", *(_STATES[state] for state in states), "best dev"):
        table.add_column(name, justify="right", no_wrap=True)
    lines = []
    for study, count in zip(studies, counts, strict=True):
        found = best(study)
        score = "" if found is None else f"{found.value:.2f}"
        numbers = [sum(count.values()), *(count[state] for state in states)]
        table.add_row(Text(study.study_name), *(str(number) for number in numbers), score)
        if found is not None:
            lines.append(Text(f"best of {study.study_name}: trial {found.number}, {settings(found.params)}"))
    return Group(table, *lines)


def best_trials(study: Study, count: int = TOP) -> RenderableType:
    """The best trials, one column each: their numbers are shorter than the hyperparameters' names."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    trials = top(study, count)
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("trial", no_wrap=True)
    for trial in trials:
        table.add_column(str(trial.number), justify="right", no_wrap=True)
    table.add_row("dev", *(f"{trial.value:.2f}" for trial in trials))
    for name in names:
        values = (shown(trial.params[name]) if name in trial.params else "" for trial in trials)
        table.add_row(Text(name), *values)
    return Group(Text(f"best {len(trials)} of {study.study_name}", style="italic"), table)


def beside_published(chosen: Mapping[str, object], published: Mapping[str, object]) -> Table:
    """The settings that won beside those of the paper."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("setting", "ours", "paper"):
        table.add_column(name, justify="left" if name == "setting" else "right")
    for name in dict.fromkeys((*chosen, *published)):
        sides = (shown(side[name]) if name in side else "" for side in (chosen, published))
        table.add_row(Text(name), *sides)
    return table


def ready_command(module: str, options: Mapping[str, object]) -> str:
    """A line for a shell that runs a command again with some options.

    Args:
        module: What follows ``python -m``.
        options: By name, with or without dashes and with ``_`` for ``-``. ``True`` stands for a flag; ``False`` and
            None leave the option out; a list is joined with commas.
    """
    words = ["python", "-m", module]
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append("--" + name.lstrip("-").replace("_", "-"))
        if value is not True:
            words.append(",".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
    return shlex.join(words)


def write_expressions(path: Path | str, recipes: Sequence[Recipe]) -> None:
    """Writes recipes as ``python -m orchestrator.run`` reads them: indented JSON, as a whole or not at all.

    Args:
        path: Of the file; missing folders are made.
        recipes: What to write, with the key of every stage.
    """
    form = {"format": FORMAT, "recipes": [recipe.to_json() for recipe in recipes]}
    write_whole(path, (json.dumps(form, indent=2) + "\n").encode())


def write_whole(path: Path | str, content: bytes) -> None:
    """Writes a local file; a reader sees the old content or the new, never less."""
    path = Path(path)
    Storage(str(path.parent)).write(path.name, content)


#: Optuna's states by name, as people call them.
_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}

_ENDED = ("COMPLETE", "PRUNED", "FAIL")


def _counts(study: Study) -> Counter[str]:
    return Counter(trial.state.name for trial in study.get_trials(deepcopy=False))


def _score(trial: FrozenTrial) -> float:
    return trial.value if trial.value is not None else -math.inf
