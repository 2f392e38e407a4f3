"""Multi-teacher distillation: every subset of some teachers, by every strategy, into every student."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator import options, sweep
from orchestrator.multi_teacher_recipes import Experiment, recipes
from orchestrator.recipe import Recipe, with_folds
from trainables.data import tasks
from trainables.errors import UserError, did_you_mean
from trainables.stages.multi_teacher import EXPERTISE_SPLITS, STRATEGIES
from trainables.stages.rules import SHORTEST

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.engine.store import Store

MODULE = "orchestrator.multi_teacher"
DESCRIPTION = """\
Fine-tunes some teachers and students on a task, and distils every subset of the teachers into every student: by the
teachers' expertise per class, by average logits, by a random teacher, by CA-MKD's confidence, or by the best teacher
alone. Each teacher is trained once and read once, however many subsets it is in. Interrupted? Run the same command
again.
"""
EXAMPLES = """
python -m orchestrator.multi_teacher --preset mini                                  # offline, minutes, on any machine
python -m orchestrator.multi_teacher --task emotion --dry-run                       # three teachers into DistilBERT
python -m orchestrator.multi_teacher --task mind --strategies expertise,average_logits --min-teachers 3
python -m orchestrator.multi_teacher --task nbme --teachers deberta_v3_large,pubmedbert --students bert_base \\
    --strategies average_logits,ca_mkd
python -m orchestrator.leaderboard multi_teacher --task emotion                     # ours beside the printed
"""
#: What is not given, by preset.
DEFAULTS: Mapping[str, dict[str, Any]] = {
    "paper": {
        "task": "emotion",
        "teachers": ("bert_base", "roberta_base", "deberta_base"),
        "students": ("distilbert",),
        "fine_tuning": {"weight_decay": 0.0},  # as the trainer's defaults, which the thesis used
        "distil_learning_rate": 5e-5,
    },
    "mini": {
        "task": "emotion",
        "teachers": ("mini_disease", "mini_gene", "mini_relation"),
        "students": ("mini_general",),
        "fine_tuning": {},
        "distil_learning_rate": 2e-3,
    },
}


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = options.bare_parser(MODULE, DESCRIPTION, EXAMPLES)
    what = made.add_argument_group("what to run")
    options.add_preset(what)
    what.add_argument("--task", metavar="T", help="task with one label per example or word (emotion)")
    what.add_argument(
        "--teachers", metavar="M,...", help="models (bert_base,roberta_base,deberta_base; mini: three that differ)"
    )
    what.add_argument("--students", metavar="M,...", help="models to be taught (distilbert; mini: mini_general)")
    what.add_argument("--min-teachers", type=int, default=2, metavar="N", help="size of the smallest subset (2)")
    options.add_data(what)
    options.add_overrides(what)
    how = made.add_argument_group("how to distil")
    how.add_argument("--strategies", metavar="S,...", help=f"of {', '.join(STRATEGIES)} (all)")
    how.add_argument("--alpha", type=float, default=0.5, metavar="F", help="weight of the gold labels (0.5)")
    how.add_argument("--temperature", type=float, default=1.0, metavar="F", help="of the distributions (1)")
    how.add_argument("--teacher-loss", type=float, default=0.0, metavar="F", help="weight of the teachers' loss (0)")
    how.add_argument(
        "--expertise",
        choices=EXPERTISE_SPLITS,
        default="dev",
        help="where teachers are judged (dev); test is the thesis's way, and marks the rows",
    )
    how.add_argument("--distil-epochs", type=int, default=7, metavar="N", help="of distillation (7)")
    how.add_argument("--distil-learning-rate", type=float, metavar="F", help="of distillation (5e-5; mini: 2e-3)")
    options.add_how(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see ``--help``."""
    given = options.parse(parser(), arguments)
    options.counted(given, "epochs", "train_limit", "batch_size", "distil_epochs")
    options.counted(given, "max_length", least=SHORTEST)
    preset = DEFAULTS[given.preset]
    how = options.resolve_how(given, f"multi_teacher_{given.preset}")
    data = options.data_source(options.either(given.data, options.PRESETS[given.preset].data))
    teachers = options.model_names("teachers", given.teachers, preset["teachers"])
    students = options.model_names("students", given.students, preset["students"])
    if not 2 <= given.min_teachers <= len(teachers):
        raise UserError(
            f"--min-teachers={given.min_teachers} must be at least 2, and at most the number of --teachers, "
            f"{len(teachers)} ({', '.join(teachers)})"
        )
    for name in teachers.keys() & students.keys():
        if teachers[name] != students[name]:
            raise UserError(
                f"{name!r} is a teacher and, as another model, a student; give one of them another name with NAME=MODEL"
            )
    experiment = Experiment(
        tasks.get(options.either(given.task, preset["task"])).name,
        {"data": data, **preset["fine_tuning"], **options.overrides(given)},
        {
            "alpha": given.alpha,
            "temperature": given.temperature,
            "teacher_loss": given.teacher_loss,
            "expertise_split": given.expertise,
            "epochs": given.distil_epochs,
            "learning_rate": options.either(given.distil_learning_rate, preset["distil_learning_rate"]),
        },
    )
    wanted = recipes(
        experiment,
        teachers,
        students,
        _strategies(given.strategies),
        given.min_teachers,
        options.seeds(given.seeds, options.PRESETS[given.preset].seeds),
    )
    return sweep.run(how, with_folds(wanted), report=show)


def _strategies(given: str | None) -> tuple[str, ...]:
    chosen = options.listed("strategies", given, STRATEGIES)
    for name in chosen:
        if name not in STRATEGIES:
            raise UserError(f"--strategies: unknown strategy {name!r}{did_you_mean(name, STRATEGIES)}")
    return tuple(chosen)


def show(how: options.RunOptions, recipes: Sequence[Recipe], store: Store, console: Console) -> None:
    """Prints the tables of what was asked for, from the leaderboard."""
    from orchestrator.leaderboard import multi_teacher, rows

    frame = rows.read(store.filesystem, store.root)
    frame = frame[frame["row_key"].isin([recipe.row_key(how.sweep) for recipe in recipes])]
    if frame.empty:
        console.print(f"no rows of sweep {how.sweep} in {store.root} yet")
        return
    for task in dict.fromkeys(recipe.task for recipe in recipes if "/" not in recipe.task):
        blocks = list(multi_teacher.blocks(frame, task, store))
        for block in blocks:
            console.print(block)
        if not blocks:
            console.print(f"no student of several teachers of {task} in sweep {how.sweep} yet")


if __name__ == "__main__":
    options.run_command(main)
