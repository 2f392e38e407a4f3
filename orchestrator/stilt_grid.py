"""The STILT grid: every intermediate task before every target task (STILT paper, Tables 2 and 3)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from orchestrator import options, sweep
from orchestrator.recipe import Recipe
from trainables.data import tasks
from trainables.stages import FineTune

DESCRIPTION = """\
Trains every intermediate -> target pair of the benchmark, for every model and seed, and the baselines without an
intermediate task. What pairs share is trained once. Interrupted? Run the same command again: what is finished is
found, the rest goes on. Extend a grid the same way, by a seed, a task or a model.
"""

EXAMPLES = """
python -m orchestrator.stilt_grid --preset mini                     # offline, minutes, on any machine
python -m orchestrator.stilt_grid --data data/blurb --dry-run       # what the paper's grid takes
python -m orchestrator.stilt_grid --data data/blurb                 # the paper's grid
python -m orchestrator.stilt_grid --data data/blurb --models small=./my-model --tasks gad,ddi,hoc --seeds 0
python -m orchestrator.leaderboard grid                             # the result as the paper's table
"""


def parser() -> argparse.ArgumentParser:
    """The command's options: the common ones, and the intermediates."""
    made = options.parser("orchestrator.stilt_grid", DESCRIPTION, EXAMPLES)
    made.add_argument("--intermediates", metavar="T,...", help="intermediate tasks (the target tasks)")
    return made


def recipes(chosen: options.SweepOptions, intermediates: Sequence[str]) -> list[Recipe]:
    """The grid as expressions: per model and seed a baseline for each target, and all ordered pairs."""
    settings = chosen.fine_tuning()
    found = []
    for model, start in chosen.models.items():
        for seed in chosen.seeds:
            for target in chosen.tasks:
                baseline = FineTune(target, start, seed=seed, **settings)
                found.append(Recipe(baseline, "finetune", model, target, seed))
                for task in intermediates:
                    if task != target:
                        pair = FineTune(target, FineTune(task, start, seed=seed, **settings), seed=seed, **settings)
                        found.append(Recipe(pair, "stilt", model, target, seed, intermediate=task))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see ``--help``."""
    given = options.parse(parser(), arguments)
    chosen = options.resolve(given, "stilt_grid", tasks.STILT_TASKS)
    intermediates = options.task_names("intermediates", given.intermediates, chosen.tasks)
    return sweep.run(chosen, recipes(chosen, intermediates))


if __name__ == "__main__":
    options.run_command(main)
