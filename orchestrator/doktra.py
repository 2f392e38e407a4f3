"""DoKTra: calibrated activation boundary distillation, searched with Optuna, and the paper's tables."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator import doktra_tables, models, options, sweep
from orchestrator.doktra_recipes import Experiment, Parameters, Setting
from orchestrator.recipe import Recipe, with_folds
from orchestrator.search import report
from orchestrator.search import run as searching
from orchestrator.search.phase import PRUNERS, SAMPLERS, Phase, Search
from orchestrator.search.rows import show_rows
from search_spaces import doktra as spaces
from search_spaces.space import Space
from trainables.data import sources, tasks
from trainables.errors import UserError, did_you_mean
from trainables.expression import Stage
from trainables.stages.distillation import PROJECTIONS, distilling_epochs, fewest_epochs
from trainables.stages.rules import SHORTEST

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.engine.store import Store

MODULE = "orchestrator.doktra"
DESCRIPTION = """\
Searches the hyperparameters of DoKTra for one task, teacher and student: a teacher that is fine-tuned with a
confidence penalty, a fine-tuned student, and activation boundary distillation from one into the other. What trials
share (teachers, their outputs, students) is trained once. Interrupted? Run the same command again; more --trials
extend the search. With --table, runs a table of the paper with its published settings instead.
"""
EXAMPLES = """
python -m orchestrator.doktra --preset mini                                     # offline, minutes, on any machine
python -m orchestrator.doktra --task chemprot --trials 64                       # BioBERT into RoBERTa-large
python -m orchestrator.doktra --task gad@10 --student albert_xlarge --search staged --published-first
python -m orchestrator.doktra --task ddi --settings published                   # no search: the paper's pick
python -m orchestrator.doktra --table 6                                         # the paper's ablation, ours beside it
optuna-dashboard runs/studies/doktra_paper.journal                              # as it runs; pip install -e '.[dev]'
"""
SEARCHES = ("joint", "staged")
#: Of :class:`~trainables.stages.ActivationBoundaryDistillation`, where they can be set here.
METHOD_DEFAULTS: Mapping[str, Any] = {"projection": "fixed", "margin": 1.0, "boundary_scale": 1.0}
#: How to search, where that is not said.
SEARCH_DEFAULTS: Mapping[str, Any] = {"search": "joint", "sampler": "tpe", "sampler_seed": 0, "prune": "asha"}
_OF_SEARCHES = ("trials", "space", "published_first", *SEARCH_DEFAULTS)
_OF_TABLES = ("tasks", "models")
#: At a fourth of the lowest of their learning rates miniature students stay near chance; teachers learn a little.
_FAR_BELOW = 4
#: What is not given, by preset. The miniature batch, length and warm-up are those of its fine-tunings.
DEFAULTS: Mapping[str, dict[str, Any]] = {
    "paper": {
        "task": "chemprot",
        "teacher": "biobert",
        "student": "roberta_large",
        "trials": 64,
        "batch_size": 50,
        "max_length": 128,
        "warmup_ratio": 0.0,
    },
    "mini": {
        "task": "fpb",
        "teacher": "mini_domain",
        "student": "mini_general",
        "trials": 12,
        "batch_size": 32,
        "max_length": 64,
        "warmup_ratio": 0.1,
    },
}
#: Task-adaptive pretraining of the miniature models. Its batches are the methods' own: they differ in nothing else.
MINI_ADAPTATION = {"epochs": 5, "learning_rate": 3e-3}


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = options.bare_parser(MODULE, DESCRIPTION, EXAMPLES)
    what = made.add_argument_group("what to run")
    options.add_preset(what)
    what.add_argument("--task", metavar="T", help="task; T@10 is cross-validated over ten folds (chemprot; mini: fpb)")
    what.add_argument("--teacher", metavar="M", help="model in the domain (biobert; mini: mini_domain)")
    what.add_argument("--student", metavar="M", help="model to be taught (roberta_large; mini: mini_general)")
    options.add_data(what)
    what.add_argument("--batch-size", type=int, metavar="N", help="of every stage (50; mini: 32)")
    what.add_argument("--max-length", type=int, metavar="N", help="word pieces, of every stage (128; mini: 64)")
    what.add_argument("--train-limit", type=int, metavar="N", help="training examples at most")
    what.add_argument(
        "--projection",
        choices=PROJECTIONS,
        help="where widths differ: a random layer on the teacher's side (fixed), or a trained one on the student's",
    )
    what.add_argument("--margin", type=float, metavar="F", help="of the activation boundary loss (1)")
    what.add_argument("--boundary-scale", type=float, metavar="F", help="factor on that loss (1; released code: 0.001)")
    how = made.add_argument_group("how to search")
    how.add_argument("--trials", type=int, metavar="N", help="in all, per study (64; mini: 12)")
    how.add_argument(
        "--search", choices=SEARCHES, help="all at once (joint, the default), or teacher, student, distillation in turn"
    )
    how.add_argument("--space", metavar="S", help="paper, wide, mini, or a YAML file (the preset's)")
    how.add_argument("--sampler", choices=SAMPLERS, help="how Optuna proposes (tpe)")
    how.add_argument("--sampler-seed", type=int, metavar="N", help="of the sampler (0)")
    how.add_argument("--prune", choices=PRUNERS, help="stop hopeless distillations early (asha)")
    how.add_argument("--published-first", action="store_true", help="try the paper's picks (Tables A1-A6) first")
    instead = made.add_argument_group("instead of a search")
    instead.add_argument(
        "--settings", metavar="K=V,...", help="train these settings (gamma=0.8,beta2=0.5,...), or 'published'"
    )
    instead.add_argument("--table", type=int, choices=sorted(doktra_tables.TABLES), help="a table of the paper")
    instead.add_argument("--tasks", metavar="T,...", help="only these tasks of the table")
    instead.add_argument(
        "--models", metavar="NAME=M,...", help="what a model of the table is (roberta_pm_large=FOLDER)"
    )
    options.add_how(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see ``--help``."""
    given = options.parse(parser(), arguments)
    options.counted(given, "trials", "batch_size", "train_limit")
    options.counted(given, "max_length", least=SHORTEST)
    preset = DEFAULTS[given.preset]
    how = options.resolve_how(given, f"doktra_{given.preset}")
    seeds = options.seeds(given.seeds, options.PRESETS[given.preset].seeds)
    _refuse_what_does_not_apply(given)
    setting = _setting(given, preset)
    if given.table is not None:
        return _table(given, how, setting, seeds)
    _check_choices(given, preset)
    experiment = _experiment(given, preset, setting)
    if given.settings is not None:
        chosen = _settings(given, experiment)
        return sweep.run(how, with_folds(_compared(_with_data(experiment), chosen, seeds)), report=show_rows)
    experiment = _with_data(experiment)
    if not how.report_only and (said := _too_low_rates(_space(given), experiment)):
        sys.stderr.write(f"note: {said}\n")
    search = _search(given, preset, how.sweep, experiment, seeds)
    return searching.run(
        how,
        search,
        compared=(experiment.student_recipe, experiment.teacher_recipe),
        command=lambda chosen: _command(given, experiment, seeds, chosen),
        published=spaces.published(experiment.task, experiment.student[0]),
    )


def _setting(given: argparse.Namespace, preset: Mapping[str, Any]) -> Setting:
    """What all recipes have in common; the data is yet to be looked for."""
    method = {name: getattr(given, name) for name in METHOD_DEFAULTS}
    return Setting(
        data=options.either(given.data, options.PRESETS[given.preset].data),
        batch_size=options.either(given.batch_size, preset["batch_size"]),
        max_length=options.either(given.max_length, preset["max_length"]),
        train_limit=given.train_limit,
        method={name: value for name, value in method.items() if value not in (None, METHOD_DEFAULTS[name])},
        warmup_ratio=preset["warmup_ratio"],
    )


def _located(setting: Setting) -> Setting:
    """With data that is there. Looked for last: what is wrong with a choice is said also where there is none yet."""
    return dataclasses.replace(setting, data=options.data_source(setting.data))


def _with_data(experiment: Experiment) -> Experiment:
    return dataclasses.replace(experiment, setting=_located(experiment.setting))


def _check_choices(given: argparse.Namespace, preset: Mapping[str, Any]) -> None:
    """Refuses a task, settings or a space that are wrong by themselves, whatever the models and the data are."""
    task = _task(given, preset)
    if given.settings is not None:
        _named_settings(given)
        return
    _space(given)
    if given.published_first and not spaces.picks(task):
        known = ", ".join(sorted(name for name in tasks.TASKS if spaces.picks(name)))
        raise UserError(f"--published-first: the paper has no settings for {task!r}; it has {known}")


def _task(given: argparse.Namespace, preset: Mapping[str, Any]) -> str:
    task = tasks.get(options.either(given.task, preset["task"]))
    if task.on_tokens:
        fitting = [name for name, one in tasks.TASKS.items() if not one.on_tokens]
        raise UserError(
            f"--task={task.name!r} labels words; DoKTra is for tasks that label texts{did_you_mean('', fitting)}"
        )
    return task.name


def _experiment(given: argparse.Namespace, preset: Mapping[str, Any], setting: Setting) -> Experiment:
    task = _task(given, preset)
    teacher = models.resolve(options.either(given.teacher, preset["teacher"]))
    student = models.resolve(options.either(given.student, preset["student"]))
    made = Experiment(task, teacher, student, setting)
    made.distilled_recipe(spaces.defaults(given.preset), 0)  # refuses what no stage can have, as a margin below 0
    return made


def _space(given: argparse.Namespace) -> Space:
    space = spaces.get(options.either(given.space, given.preset), base=given.preset)
    if given.sampler == "grid" and space.size is None:
        space.grid()  # says which dimension has no end of values
    _check_that_all_distil(space)
    return space


def _check_that_all_distil(space: Space) -> None:
    """Refuses a space in which a trial would only refine, and yet be ranked as a distillation."""
    rates = space.dimensions["gamma"]
    fewest = int(space.dimensions["epochs"].nearest(0))
    values = rates.listed()
    # Of a range without steps its low end; a low end of 0 has values beside it that are as near to 0 as one likes.
    positive = [rates.nearest(0)] if values is None else [value for value in values if value > 0]
    if positive and distilling_epochs(fewest, min(positive)) == 0:
        least = math.ceil(10_000 / fewest) / 10_000
        raise UserError(
            f"space {space.name!r}: gamma in {rates} with epochs={fewest} may leave no whole epoch to distil in "
            f"(gamma={min(positive):g} does); let gamma begin at {least:g}, or epochs higher; 0 in a set is refinement "
            "alone"
        )


def _too_low_rates(space: Space, experiment: Experiment) -> str | None:
    """What there is to say of a space at whose learning rates the miniature models hardly learn."""
    trained = {
        "teacher_learning_rate": experiment.teacher,
        "student_learning_rate": experiment.student,
        "learning_rate": experiment.student,
    }
    fitting = spaces.MINI.dimensions["learning_rate"]
    low, high = fitting.nearest(0), fitting.nearest(1)
    names = [
        name
        for name, (model, _) in trained.items()
        if model in models.MINIATURE and space.dimensions[name].nearest(1) < low / _FAR_BELOW
    ]
    if not names:
        return None
    return (
        f"of space {space.name!r} all values of {', '.join(names)} are far below the {low:g} to {high:g} at which the "
        "miniature models learn, so expect scores near chance; --space mini has such values"
    )


def _search(
    given: argparse.Namespace, preset: Mapping[str, Any], name: str, experiment: Experiment, seeds: tuple[int, ...]
) -> Search:
    space = _space(given)
    picks = _picks(given, experiment, space)
    asked = {option: getattr(given, option) for option in SEARCH_DEFAULTS}
    how = {**SEARCH_DEFAULTS, **{option: value for option, value in asked.items() if value is not None}}
    return Search(
        name=f"{name}.{experiment.task.replace('/', '-')}.{experiment.teacher[0]}.{experiment.student[0]}",
        phases=_joint(experiment, space, picks) if how["search"] == "joint" else _staged(experiment, space, picks),
        trials=options.either(given.trials, preset["trials"]),
        seeds=seeds,
        metric=tasks.get(experiment.task).metric,
        folds=len(tasks.folds(experiment.task)),
        sampler=how["sampler"],
        pruner=how["prune"],
        sampler_seed=how["sampler_seed"],
        identity=_identity(experiment),
    )


def _joint(experiment: Experiment, space: Space, picks: tuple[Parameters, ...]) -> tuple[Phase, ...]:
    """One study over everything."""
    return (Phase("joint", space, experiment.distilled_recipe, picks=picks),)


def _staged(experiment: Experiment, space: Space, picks: tuple[Parameters, ...]) -> tuple[Phase, ...]:
    """As the paper: teacher and student by themselves, then the distillation of the best of both (appendix A.1)."""
    makes = {
        "teacher": experiment.teacher_recipe,
        "student": experiment.student_recipe,
        "distillation": experiment.distilled_recipe,
    }
    phases = []
    for name, dimensions in spaces.PHASES.items():
        part = space.subset(dimensions)
        first = tuple({dimension: pick[dimension] for dimension in dimensions} for pick in picks)
        after = ("teacher", "student") if name == "distillation" else ()
        phases.append(Phase(name, part, makes[name], after, first))
    return tuple(phases)


def _picks(given: argparse.Namespace, experiment: Experiment, space: Space) -> tuple[Parameters, ...]:
    """The paper's choice, moved into the space; those of its other students where it lacks ours."""
    if not given.published_first:
        return ()
    own = spaces.published(experiment.task, experiment.student[0])
    found = [own] if own is not None else list(spaces.picks(experiment.task).values())
    return tuple(space.nearest(pick) for pick in found)


def _refuse_what_does_not_apply(given: argparse.Namespace) -> None:
    """Refuses options of one way to use the command where another is asked for, instead of ignoring them."""
    if given.table is not None:
        instead = "--tasks and --models choose from a table"
        _refuse(given, "--table", instead, "task", "teacher", "student", "settings", *_OF_SEARCHES)
        return
    _refuse(given, "a search or --settings", "give --task, --teacher and --student", *_OF_TABLES)
    if given.settings is not None:
        _refuse(given, "--settings", "it trains one choice", *_OF_SEARCHES)


def _refuse(given: argparse.Namespace, way: str, instead: str, *names: str) -> None:
    for name in names:
        value = getattr(given, name)
        if value is not None and value is not False:  # 0 is a value
            raise UserError(f"--{name.replace('_', '-')} does not apply to {way}; {instead}")


def _settings(given: argparse.Namespace, experiment: Experiment) -> Parameters:
    """The settings that are asked for; what they leave open is the paper's, else the preset's."""
    published = spaces.published(experiment.task, experiment.student[0])
    named = _named_settings(given)
    if named is None:
        if published is None:
            raise UserError(
                f"--settings=published: the paper has none for {experiment.task!r} with {experiment.student[0]!r}; "
                "name them (gamma=0.8,beta2=0.5,...)"
            )
        return published
    chosen = {**(published or spaces.defaults(given.preset)), **named}
    if chosen["gamma"] > 0 and distilling_epochs(chosen["epochs"], chosen["gamma"]) == 0:
        raise UserError(
            f"--settings: gamma={chosen['gamma']:g} of epochs={chosen['epochs']} leaves no whole epoch to distil in; "
            f"give at least {fewest_epochs(chosen['gamma'])} epochs, or gamma=0 for refinement alone"
        )
    return chosen


def _named_settings(given: argparse.Namespace) -> Parameters | None:
    """What --settings names; None where it asks for the published ones."""
    text = ",".join(options.listed("settings", given.settings, ()))
    return None if text == "published" else spaces.parse_settings(text)


def _compared(experiment: Experiment, chosen: Parameters, seeds: Sequence[int]) -> list[Recipe]:
    """The distilled student, and beside it its own fine-tuning and its teacher."""
    makes = (experiment.distilled_recipe, experiment.student_recipe, experiment.teacher_recipe)
    return [make(chosen, seed) for make in makes for seed in seeds]


def _identity(experiment: Experiment) -> dict[str, Any]:
    """What the scores of a search depend on besides its hyperparameters."""
    setting = experiment.setting
    return {
        "task": experiment.task,
        "teacher": f"{experiment.teacher[0]} {experiment.teacher[1].key}",
        "student": f"{experiment.student[0]} {experiment.student[1].key}",
        "data": sources.fingerprint(setting.data, tasks.folds(experiment.task)[0])[:12],
        "batch_size": setting.batch_size,
        "max_length": setting.max_length,
        "train_limit": setting.train_limit,
        "weight_decay": setting.weight_decay,
        "warmup_ratio": setting.warmup_ratio,
        **{name: setting.method.get(name, default) for name, default in METHOD_DEFAULTS.items()},
    }


def _command(given: argparse.Namespace, experiment: Experiment, seeds: Sequence[int], chosen: Parameters) -> str:
    """The command line that trains some settings."""
    same = ("preset", "data", "task", "teacher", "student", "batch_size", "max_length", "train_limit", "projection")
    kept = {name: getattr(given, name) for name in (*same, "margin", "boundary_scale", "storage", "threads")}
    kept["preset"] = None if given.preset == "paper" else given.preset  # what holds anyway is left out
    kept["threads"] = None if given.threads == 1 else given.threads
    settings = ",".join(f"{name}={value}" for name, value in chosen.items())
    return report.ready_command(
        MODULE, {**kept, "task": experiment.task, "seeds": [str(seed) for seed in seeds], "settings": settings}
    )


def _table(given: argparse.Namespace, how: options.RunOptions, setting: Setting, seeds: Sequence[int]) -> int:
    """A table of the paper with its published settings; in the miniature preset with those of miniature models."""
    table = doktra_tables.get(given.table)
    mini = given.preset == "mini"
    wanted = doktra_tables.chosen_tasks(table, options.listed("tasks", given.tasks, ()))
    stand_ins = _stand_ins(given, table)

    def choose(task: str, student: str) -> Parameters:
        return (None if mini else spaces.published(task, student)) or spaces.defaults(given.preset)

    recipes = doktra_tables.recipes(
        given.table,
        stand_ins,
        seeds,
        _located(setting),
        choose,
        wanted,
        MINI_ADAPTATION if mini else doktra_tables.TAPT,
    )

    def show(how: options.RunOptions, recipes: Sequence[Recipe], store: Store, console: Console) -> None:
        from orchestrator.leaderboard import doktra, rows

        # A search's winner in the same sweep has a cell's labels, too.
        found = rows.read(store.filesystem, store.root)
        found = found[found["row_key"].isin([recipe.row_key(how.sweep) for recipe in recipes])]
        if found.empty:
            console.print(f"no rows of sweep {how.sweep} in {store.root} yet")
            return
        console.print(doktra.block(doktra.compare(found, given.table, how.sweep), console))

    return sweep.run(how, with_folds(recipes), report=show)


def _stand_ins(given: argparse.Namespace, table: doktra_tables.PaperTable) -> dict[str, Stage]:
    """The models of a table by the paper's names; in the miniature preset small ones stand in for them."""
    names = list(dict.fromkeys((table.teacher, *(line.model for line in table.lines))))
    own: dict[str, str] = {}
    for text in options.listed("models", given.models, ()):
        name, model = _named(text, names)
        if own.setdefault(name, model) != model:
            raise UserError(f"--models: {name} is given twice, {own[name]} and {model}; give it once")
    found: dict[str, Stage] = {}
    for name in names:
        in_domain = name == table.teacher or name == "roberta_pm_large"
        small = DEFAULTS["mini"]["teacher" if in_domain else "student"]
        standing = own.get(name, small if given.preset == "mini" else name)
        if standing != name or name in models.MODELS:  # what the registry lacks is left out unless it is given
            found[name] = models.resolve(standing)[1]
    return found


def _named(text: str, wanted: Sequence[str]) -> tuple[str, str]:
    name, _, model = (part.strip() for part in text.partition("="))
    if name not in wanted:
        raise UserError(f"--models: {text!r} must be NAME=MODEL with a model of the table{did_you_mean(name, wanted)}")
    if not model:
        raise UserError(
            f"--models: {text!r} must be NAME=MODEL, and says only which model of the table is meant; say what stands "
            f"for it, as in {name}=FOLDER or {name}=owner/name (on the hub)"
        )
    return name, model


if __name__ == "__main__":
    options.run_command(main)
