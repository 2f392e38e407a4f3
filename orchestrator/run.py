"""Trains the expressions of a file: what a search found best, or what somebody wrote by hand."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import options, sweep
from orchestrator.expression_files import content, prepared, short
from orchestrator.recipe import Recipe, with_folds
from trainables.data import tasks
from trainables.errors import UserError
from trainables.expression import Stage, from_json
from trainables.stages import CrossValidation, TeacherOutputs
from trainables.stages.finetuning import start_of

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.engine.store import Store

FORMAT = 1
METHOD = "expression"  # of a stage without labels

DESCRIPTION = """\
Trains the expressions of a file and shows their rows. Searches write such files, in the storage's studies/:
<sweep>.<task>.<teacher>.<student>.<phase>.best.json. By hand it is a list in YAML or JSON, of stages:

  - stage: FineTune
    task: gad
    data: data/blurb
    init: bert_base                 # a model's name, or another stage
    learning_rate: 2e-5
    seed: 0

or of recipes, which have a stage and its labels in the leaderboard (all but the stage may be left out):

  - method: ft_cpl
    model: my_bert
    stage: {stage: FineTune, task: gad, data: data/blurb, init: my_bert=./folder, confidence_penalty: 0.3}

Stages and their fields are those of trainables/stages. Relative paths lead from the file's own folder, or where there
is nothing from the current one. What is finished in the storage is found, not trained again.
"""

EXAMPLES = """
python -m orchestrator.run mine.yaml --dry-run        # what it takes
python -m orchestrator.run mine.yaml --storage runs --threads 2
python -m orchestrator.run mine.yaml --report-only
python -m orchestrator.run runs/studies/doktra_mini.fpb.mini_domain.mini_general.joint.best.json
"""

_SHOWN = ["method", "model", "teachers", "task", "seed", "metric", "score", "dev_score", "status"]


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = options.bare_parser("orchestrator.run", DESCRIPTION, EXAMPLES)
    made.add_argument("file", metavar="FILE", type=Path, help="JSON or YAML file of expressions")
    options.add_how(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see ``--help``."""
    given = parser().parse_args(arguments)
    chosen = options.resolve_how(given, sweep_name(given.file))
    recipes, warnings = read(given.file)
    for warning in warnings:
        sys.stderr.write(f"warning: {warning}\n")
    return sweep.run(chosen, list(dict.fromkeys(with_folds(recipes))), report=show)


def sweep_name(path: Path) -> str:
    """The name of a file's rows in the leaderboard: its own without the ending, as far as that is a name."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip(".") or "expressions"


# --- reading -------------------------------------------------------------------------------------------------


def read(path: Path) -> tuple[list[Recipe], list[str]]:
    """Reads a file of expressions; keys are those of the data and weights that are there now.

    Args:
        path: Of the file.

    Returns:
        The recipes, each once, and a sentence for each stage whose key is not the recorded one.

    Raises:
        UserError: For a file that cannot be read or holds something else, naming the item, the value and the rule.
    """
    found: dict[Recipe, None] = {}
    warnings: dict[str, None] = {}
    for place, item in enumerate(_items(path, content(path)), 1):
        try:
            recipe = _recipe(item, path.parent)
            warnings.update(dict.fromkeys(_changes(item, recipe.stage, path.parent)))
        except UserError as error:
            raise UserError(f"{path}, expression {place}: {error}") from error
        found[recipe] = None
    return list(found), list(warnings)


def _items(path: Path, found: Any) -> list[dict[str, Any]]:
    wanted = "it must be a list of expressions; see --help"
    if isinstance(found, dict) and "recipes" in found:
        if found.get("format", FORMAT) != FORMAT:
            raise UserError(f"{path}: format {found['format']!r} is not known; this version reads {FORMAT}")
        found = found["recipes"]
    elif isinstance(found, dict) and "stage" in found:
        found = [found]
    if not isinstance(found, list):
        raise UserError(f"{path} holds a {type(found).__name__}; {wanted}")
    if not found:
        raise UserError(f"{path} holds no expression; {wanted}")
    for place, item in enumerate(found, 1):
        if not isinstance(item, dict) or "stage" not in item:
            raise UserError(f"{path}, expression {place}: {short(item)} is no mapping with the key 'stage'; see --help")
    return found


# --- one expression ------------------------------------------------------------------------------------------


def _recipe(item: dict[str, Any], folder: Path) -> Recipe:
    """The recipe of an item, with labels that it lacks taken from the stage; its keys are computed when asked for."""
    labels = _labels(item)
    form = prepared(item["stage"] if isinstance(item["stage"], dict) else item, folder)
    stage = from_json(form)
    task = getattr(stage, "task", None)
    if not stage.stored or not isinstance(task, str) or isinstance(stage, TeacherOutputs):
        raise UserError(f"{type(stage).__name__} solves no task, so it has no score; give a stage that does")
    if labels.get("task", task) != task:
        tasks.get(labels["task"])  # refuses a name that is none
        raise UserError(f"task={labels['task']!r} is not that of its stage, which is {task!r}")
    one = stage.folds[0] if isinstance(stage, CrossValidation) else stage
    derived = {"method": METHOD, "model": start_of(one).label(), "task": task, "seed": getattr(one, "seed", 0)}
    return Recipe.from_json({**derived, **labels, "stage": form})


def _labels(item: dict[str, Any]) -> dict[str, Any]:
    """The labels that are given, each of its type."""
    if not isinstance(item["stage"], dict):
        return {}
    labels = {name: value for name, value in item.items() if name not in ("stage", "keys") and value is not None}
    for name, value in labels.items():
        if name == "teachers":
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise UserError(f"teachers={short(value)} must be a list of names")
            continue
        kind = int if name in ("seed", "trial") else str
        if not isinstance(value, kind) or isinstance(value, bool):
            raise UserError(f"{name}={short(value)} is a {type(value).__name__}; it must be {kind.__name__}")
    return labels


def _changes(item: dict[str, Any], present: Stage, folder: Path) -> Iterator[str]:
    """What is not as it was when the file was written, by the keys that it records."""
    keys = item.get("keys") if isinstance(item["stage"], dict) else None
    if keys is None:
        return
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise UserError(f"keys={short(keys)} must be a list of keys, or left out")
    labels = {"method": "", "model": "", "task": "", "seed": 0}  # not looked at
    recorded = Recipe.from_json({**labels, "stage": prepared(item["stage"], folder), "keys": keys}).stage
    for then, now in _pairs(recorded, present):
        of_inputs = any(one.key != other.key for one, other in zip(then.inputs, now.inputs, strict=True))
        if then.key != now.key and not of_inputs:  # else it changed because they did
            yield (
                f"{now.label()}: {_content_of(now)} changed since the file was written, or the file was edited (key "
                f"{then.key[:8]}, now {now.key[:8]}); it is another stage now, and so are those that start from it"
            )


def _pairs(one: Stage, other: Stage) -> Iterator[tuple[Stage, Stage]]:
    yield one, other
    for parents in zip(one.inputs, other.inputs, strict=True):
        yield from _pairs(*parents)


def _content_of(stage: Stage) -> str:
    """What a stage's key stands for besides its fields and inputs."""
    named = {
        "data": f"the data of {getattr(stage, 'task', 'its task')} in {getattr(stage, 'data', 'its folder')!r}",
        "weights": "the weights",
        "corpus": f"the corpus {getattr(stage, 'corpus', '')!r}",
        "vocabulary": f"the corpus {getattr(stage, 'vocabulary', '')!r} of the vocabulary",
    }
    return " or ".join(named.get(role, role) for role in stage.fingerprints()) or "this version of the stage"


# --- the result ----------------------------------------------------------------------------------------------


def show(chosen: options.RunOptions, recipes: Sequence[Recipe], store: Store, console: Console) -> None:
    """Prints the rows of some recipes as a table, in their order."""
    from orchestrator.leaderboard import rows, terminal

    wanted = [recipe.row_key(chosen.sweep) for recipe in recipes]
    frame = rows.read(store.filesystem, store.root)
    frame = frame[frame["row_key"].isin(wanted)].set_index("row_key")
    if frame.empty:
        console.print(f"no rows of sweep {chosen.sweep} in {store.root} yet")
        return
    frame = frame.loc[[key for key in dict.fromkeys(wanted) if key in frame.index]]
    if not frame["teachers"].map(len).any():
        frame = frame.drop(columns="teachers")
    console.print(
        terminal.frame_table(frame[[name for name in _SHOWN if name in frame.columns]].reset_index(drop=True))
    )


if __name__ == "__main__":
    options.run_command(main)
