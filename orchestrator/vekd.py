"""VE-KD: vocabulary-expansion distillation on a corpus, its comparisons, and the paper's tables and figures."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import models, options, sweep, vekd_figures, vekd_search, vekd_tables
from orchestrator.recipe import Recipe, with_folds
from orchestrator.search import report
from orchestrator.search import run as searching
from orchestrator.search.phase import PRUNERS, SAMPLERS
from orchestrator.vekd_recipes import (
    DISTILLED,
    EXPANDED,
    METHODS,
    PLAIN,
    Experiment,
    Parameters,
    Setting,
    Student,
    Text,
)
from orchestrator.vekd_tables import PaperTable, Sizes
from search_spaces import vekd as spaces
from search_spaces.parameters import number
from trainables.data import corpora
from trainables.errors import UserError, did_you_mean
from trainables.expression import Stage
from trainables.stages.rules import SHORTEST
from trainables.stages.vocabulary_expansion import NEW_EMBEDDINGS, REPLACEMENTS

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.engine.store import Store

MODULE = "orchestrator.vekd"
DESCRIPTION = """\
Distils a masked-language model into a smaller one on a corpus of a domain, with the domain's pieces added to its
vocabulary (VE-KD), and fine-tunes it on the chosen tasks; beside it plain distillation on the same corpus (DistilBERT)
and the teacher. The corpus is tokenized once for all that share a vocabulary. Interrupted? Run the same command again.
With --trials, searches vocabulary size, tolerance and weights instead; with --table or --figure, runs one of the
paper's.
"""
EXAMPLES = """
python -m orchestrator.vekd --preset mini                                     # offline, minutes, on any machine
python -m orchestrator.vekd --corpus data/pubmed.tar.gz --dry-run             # BERT-base into six layers, 12 tasks
python -m orchestrator.vekd --corpus abstracts/ --vocabulary-size 40000 --tolerance 0 --tasks hoc,pubmedqa
python -m orchestrator.vekd --corpus abstracts/ --trials 32 --prune asha      # search on the macro-average on dev
python -m orchestrator.vekd --corpus abstracts/ --table 1                     # a table of the paper, ours beside it
python -m orchestrator.vekd --corpus abstracts/ --figure 4                    # how much of the corpus is enough
"""
#: Of :class:`~trainables.stages.MaskedLMDistillation`, by the option's name.
_DISTILLING = {
    "distil_epochs": "epochs",
    "distil_batch_size": "batch_size",
    "micro_batch_size": "micro_batch_size",
    "distil_learning_rate": "learning_rate",
    "new_embeddings": "new_embeddings",
    "replacement": "replacement",
}
#: Of :class:`~trainables.stages.MaskedLanguageModel`.
_ADAPTING = {
    "adapt_steps": "steps",
    "adapt_batch_size": "batch_size",
    "micro_batch_size": "micro_batch_size",
    "adapt_learning_rate": "learning_rate",
}
_OF_SEARCHES = ("space", "sampler", "sampler_seed", "prune")
_OF_STUDENTS = ("layers", "hidden_size", "heads")
#: What is not given, by preset. The miniature's lengths and rates are those of its other trainings.
DEFAULTS: Mapping[str, dict[str, Any]] = {
    "paper": {
        "teacher": "bert_base",
        "corpus": "data/pubmed",
        "tasks": vekd_tables.TASKS,
        "min_words": 128,
        "distil_max_length": 512,
        "student": Student(),
        "sizes": Sizes(),
        "distilling": {"epochs": 5, "batch_size": 240, "micro_batch_size": 30, "learning_rate": 5e-4},
        "adapting": {"steps": 100_000, "batch_size": 80, "micro_batch_size": 20, "learning_rate": 5e-4},
    },
    "mini": {
        "teacher": "mini_general",
        "corpus": "mini:domain",
        "tasks": ("hoc", "pubmedqa", "bioasq"),
        "min_words": 0,
        "distil_max_length": 32,
        "student": Student("student_l2h64", (0, 1)),
        "sizes": Sizes(
            (0, 1),
            {},
            {768: 64, 384: 32},
            {40_000: 800, 50_000: 950, 60_000: 1_100, 70_000: 1_125, 80_000: 1_150},
            heads=2,
        ),
        "distilling": {"epochs": 4, "batch_size": 32, "micro_batch_size": 32, "learning_rate": 3e-3},
        "adapting": {"steps": 400, "batch_size": 32, "micro_batch_size": 32, "learning_rate": 3e-3},
    },
}
#: Who stands for the downloaded models of the paper in the miniature preset; any other is the teacher.
_SMALL = {"biobert": "mini_domain", "pubmedbert": "mini_domain", "gpt2": "mini_gpt2", "t5_small": "mini_t5"}


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = options.bare_parser(MODULE, DESCRIPTION, EXAMPLES)
    what = made.add_argument_group("what to run")
    options.add_preset(what)
    what.add_argument("--teacher", metavar="M", help="masked-language model (bert_base; mini: mini_general)")
    what.add_argument(
        "--corpus",
        metavar="TEXT",
        help="text file, archive, folder of them, hub:owner/name, task:NAME, or mini:domain (data/pubmed; mini: that)",
    )
    what.add_argument("--min-words", type=int, metavar="N", help="leave shorter texts out (128; mini: 0)")
    what.add_argument("--tasks", metavar="T,...", help="to fine-tune on (the paper's 12; mini: hoc,pubmedqa,bioasq)")
    what.add_argument("--methods", metavar="M,...", help=f"of {', '.join(METHODS)} (finetune,distilbert,vekd)")
    options.add_data(what)
    options.add_overrides(what)
    how = made.add_argument_group("how to distil")
    how.add_argument("--vocabulary-size", metavar="N", help="pieces of the student, or base (60000; mini: 1100)")
    how.add_argument(
        "--tolerance", type=float, metavar="F", help="distillation losses below count as 0 (0.5; mini: 0.1)"
    )
    how.add_argument("--mlm-weight", type=float, metavar="F", help="alpha, of the masked-language-modelling loss (1)")
    how.add_argument("--kl-weight", type=float, metavar="F", help="of the Kullback-Leibler divergence (2)")
    how.add_argument("--cosine-weight", type=float, metavar="F", help="of the hidden states' cosine (5)")
    how.add_argument("--mse-weight", type=float, metavar="F", help="of the logits' squared difference (1)")
    how.add_argument("--temperature", type=float, metavar="F", help="of both distributions (2)")
    how.add_argument("--share", type=float, metavar="F", help="of the corpus's texts (1)")
    how.add_argument(
        "--layers", metavar="N,...", help="the teacher's that a student begins with (0,2,4,7,9,11; mini: 0,1)"
    )
    how.add_argument("--hidden-size", type=int, metavar="N", help="width of the student (the teacher's)")
    how.add_argument("--heads", type=int, metavar="N", help="attention heads of the student (the teacher's)")
    how.add_argument("--new-embeddings", choices=NEW_EMBEDDINGS, help="how new pieces' embeddings begin (mean)")
    how.add_argument("--replacement", choices=REPLACEMENTS, help="what stands for a chosen ordinary piece (bert)")
    how.add_argument("--distil-epochs", type=int, metavar="N", help="passes over the corpus (5; mini: 4)")
    how.add_argument("--distil-batch-size", type=int, metavar="N", help="sequences per step (240; mini: 32)")
    how.add_argument("--micro-batch-size", type=int, metavar="N", help="sequences at once (30; adapting 20; mini: 32)")
    how.add_argument("--distil-learning-rate", type=float, metavar="F", help="peak (5e-4; mini: 3e-3)")
    how.add_argument("--distil-max-length", type=int, metavar="N", help="pieces per sequence (512; mini: 32)")
    how.add_argument("--adapt-steps", type=int, metavar="N", help="of domain adaptation (100000; mini: 400)")
    how.add_argument("--adapt-batch-size", type=int, metavar="N", help="of domain adaptation (80; mini: 32)")
    how.add_argument("--adapt-learning-rate", type=float, metavar="F", help="of domain adaptation (5e-4; mini: 3e-3)")
    how.add_argument(
        "--pretrain-per-seed", action="store_true", help="pretrain anew for each of --seeds (once, with seed 0)"
    )
    instead = made.add_argument_group("instead")
    instead.add_argument("--trials", type=int, metavar="N", help="search, with so many trials in all")
    instead.add_argument("--space", metavar="S", help="paper, wide, mini, or a YAML file (the preset's)")
    instead.add_argument("--sampler", choices=SAMPLERS, help="how Optuna proposes (tpe)")
    instead.add_argument("--sampler-seed", type=int, metavar="N", help="of the sampler (0)")
    instead.add_argument(
        "--prune", choices=PRUNERS, help="stop hopeless pretrainings early, by their loss on text held out (none)"
    )
    instead.add_argument("--table", type=int, metavar="N", help="a table of the paper: 1, 2, 3, 4, 6, 7, 8 or 9")
    instead.add_argument("--figure", type=int, metavar="N", help="a figure of the paper: 2, 3 or 4")
    instead.add_argument("--models", metavar="NAME=M,...", help="what a model of the table is (tinybert=FOLDER)")
    options.add_how(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; see ``--help``."""
    given = options.parse(parser(), arguments)
    options.counted(given, "trials", "epochs", "train_limit", "batch_size", "hidden_size", "heads", "adapt_steps")
    options.counted(given, "distil_epochs", "distil_batch_size", "micro_batch_size", "adapt_batch_size")
    options.counted(given, "max_length", "distil_max_length", least=SHORTEST)
    options.counted(given, "min_words", least=0)
    _refuse_what_does_not_apply(given)
    preset = DEFAULTS[given.preset]
    how = options.resolve_how(given, _sweep(given))
    seeds = options.seeds(given.seeds, options.PRESETS[given.preset].seeds)
    chosen = {**spaces.defaults(given.preset), **_named(given)}
    # What is wrong with a choice is said before data and models are looked for.
    table = vekd_tables.get(given.table) if given.table is not None else None
    tasks = _tasks(given, preset["tasks"])
    figure = vekd_figures.get(given.figure, preset["sizes"], tasks) if given.figure is not None else None
    search = vekd_search.asked(given, chosen, _named(given)) if given.trials is not None else None
    methods = _methods(given)
    setting = _setting(given, preset)
    if table is not None:
        return _table(given, how, table, setting, chosen, seeds)
    experiment = Experiment(_teacher(given, preset), _student(given, preset), setting)
    if search is not None:
        return searching.run(
            how,
            search.over(experiment, tasks, seeds, how.sweep),
            compared=(),
            command=lambda best: vekd_search.command(MODULE, given, seeds, best),
            published=spaces.published() if given.preset == "paper" else None,
        )
    if figure is not None:
        wanted = vekd_figures.recipes(figure, experiment, chosen, seeds)
        return sweep.run(how, with_folds(wanted), report=functools.partial(_show_figure, figure, given.preset))
    compared = vekd_tables.compared(experiment.teacher[0], experiment.student.name, methods, tasks)
    wanted = [experiment.recipe(method, task, chosen, seed) for task in tasks for method in methods for seed in seeds]
    return sweep.run(how, with_folds(wanted), report=functools.partial(_show_table, compared))


def _sweep(given: argparse.Namespace) -> str:
    """A figure's rows differ in what a table's have in common, so they are not put into one sweep."""
    return f"vekd_{given.preset}" + (f"_figure{given.figure}" if given.figure is not None else "")


def _refuse_what_does_not_apply(given: argparse.Namespace) -> None:
    """Refuses options of one way to use the command where another is asked for, instead of ignoring them."""
    ways = [name for name in ("trials", "table", "figure") if getattr(given, name) is not None]
    if len(ways) > 1:
        raise UserError(f"{' and '.join(f'--{name}' for name in ways)} are different runs; give one of them")
    if given.trials is None:
        _refuse(given, "without --trials", "they are of a search", *_OF_SEARCHES)
    if given.table is None:
        _refuse(given, "without --table", "give --teacher", "models")
    else:
        _refuse(given, "to --table", "--models NAME=M says what a model of the table is", "teacher", *_OF_STUDENTS[1:])
    if ways:
        _refuse(given, f"to --{ways[0]}", "it has its own", "methods")
    if given.figure in vekd_figures.FIGURES:
        figure = vekd_figures.FIGURES[given.figure]
        own = dict.fromkeys([figure.along, *(name for curve in figure.curves for name in curve.changes)])
        fixed = [name for name in own if not (name == "tolerance" and any(curve.tolerant for curve in figure.curves))]
        _refuse(given, f"to --figure {given.figure}", "the figure has its own values", *fixed)


def _refuse(given: argparse.Namespace, way: str, instead: str, *names: str) -> None:
    for name in names:
        if getattr(given, name) is not None:
            raise UserError(f"--{name.replace('_', '-')} does not apply {way}; {instead}")


def _named(given: argparse.Namespace) -> dict[str, Any]:
    """The hyperparameters that are given, each checked."""
    found = {name: getattr(given, name) for name in spaces.PARAMETERS}
    if found["vocabulary_size"] is not None:  # a number, or a word
        found["vocabulary_size"] = number(str(found["vocabulary_size"]))
    return {
        name: spaces.PARAMETERS[name].check(value, f"--{name.replace('_', '-')}: ")
        for name, value in found.items()
        if value is not None
    }


def _tasks(given: argparse.Namespace, default: Sequence[str]) -> tuple[str, ...]:
    return options.task_names("tasks", given.tasks, default)


def _methods(given: argparse.Namespace) -> tuple[str, ...]:
    chosen = options.listed("methods", given.methods, (PLAIN, DISTILLED, EXPANDED))
    for name in chosen:
        if name not in METHODS:
            raise UserError(f"--methods: unknown method {name!r}{did_you_mean(name, METHODS)}")
    return chosen


def _student(given: argparse.Namespace, preset: Mapping[str, Any]) -> Student:
    """The student; one that is not the preset's has a name that says its size."""
    known: Student = preset["student"]
    layers = _layers(given, known.layers)
    made = dataclasses.replace(known, layers=layers, hidden_size=given.hidden_size, heads=given.heads)
    if len(made.layers) == len(known.layers) and given.hidden_size is None:
        return made
    width = f"h{given.hidden_size}" if given.hidden_size is not None else ""
    return dataclasses.replace(made, name=f"student_l{len(made.layers)}{width}")


def _layers(given: argparse.Namespace, default: tuple[int, ...]) -> tuple[int, ...]:
    found = []
    for text in options.listed("layers", given.layers, [str(layer) for layer in default]):
        if not text.isdecimal():
            raise UserError(f"--layers: {text!r} is no whole number of at least 0; give a list such as 0,2,4")
        found.append(int(text))
    return tuple(found)


def _setting(given: argparse.Namespace, preset: Mapping[str, Any]) -> Setting:
    """What all recipes have in common, with data and corpus that are there."""
    corpus = options.either(given.corpus, preset["corpus"])
    data = options.data_source(options.either(given.data, options.PRESETS[given.preset].data))
    text = Text(
        _located(corpus),
        None if corpora.is_path(corpus) else data if corpus.startswith("task:") else None,
        options.either(given.min_words, preset["min_words"]),
        options.either(given.distil_max_length, preset["distil_max_length"]),
    )
    return Setting(
        text,
        {"data": data, **options.overrides(given)},
        {**preset["distilling"], **_given(given, _DISTILLING)},
        {**preset["adapting"], **_given(given, _ADAPTING)},
        None if given.pretrain_per_seed else 0,
    )


def _given(given: argparse.Namespace, names: Mapping[str, str]) -> dict[str, Any]:
    """The fields that options set, by field."""
    found = {field: getattr(given, name) for name, field in names.items()}
    return {field: value for field, value in found.items() if value is not None}


def _located(corpus: str) -> str:
    """A corpus's name; of a file or folder its absolute path, since workers have a current folder of their own."""
    if not corpus.strip():
        raise UserError(f"--corpus={corpus!r} names nothing; give a text file, a folder of them, or mini:domain")
    if not corpora.is_path(corpus):
        return corpus
    path = Path(corpus).expanduser()
    if not path.exists():
        raise corpora.missing(corpus, [Path.cwd()])
    return str(path.resolve())


def _teacher(given: argparse.Namespace, preset: Mapping[str, Any]) -> tuple[str, Stage]:
    text = options.either(given.teacher, preset["teacher"])
    found = options.model_names("teacher", text, ())
    if len(found) > 1:
        raise UserError(f"--teacher={text!r} names {len(found)} models; give one model, and run the command for each")
    return next(iter(found.items()))


def _table(
    given: argparse.Namespace,
    how: options.RunOptions,
    table: PaperTable,
    setting: Setting,
    chosen: Parameters,
    seeds: Sequence[int],
) -> int:
    """A table of the paper; in the miniature preset with miniature models."""
    sizes: Sizes = DEFAULTS[given.preset]["sizes"]
    if table.generative:
        _refuse(given, f"to --table {table.number}", "it hides pieces in a way of its own (appendix E)", "replacement")
    if given.layers is not None:
        sizes = dataclasses.replace(sizes, layers=_layers(given, sizes.layers), others={})
    wanted = vekd_tables.recipes(table, _stand_ins(given, table), seeds, setting, chosen, _tasks(given, ()), sizes)
    return sweep.run(how, with_folds(wanted), report=functools.partial(_show_table, table))


def _stand_ins(given: argparse.Namespace, table: PaperTable) -> dict[str, Stage]:
    """The downloaded models of a table by the paper's names; in the miniature preset small ones stand in for them."""
    own: dict[str, str] = {}
    for text in options.listed("models", given.models, ()):
        name, _, model = (part.strip() for part in text.partition("="))
        if name not in table.models:
            raise UserError(
                f"--models: {text!r} must be NAME=MODEL with a model of the table{did_you_mean(name, table.models)}"
            )
        if not model:
            raise UserError(f"--models: {text!r} says only which model is meant; say what stands for it: {name}=FOLDER")
        own[name] = model
    found = {}
    for name in table.models:
        small = _SMALL.get(name, DEFAULTS["mini"]["teacher"])
        found[name] = models.resolve(own.get(name, small if given.preset == "mini" else name))[1]
    return found


def _show_table(
    table: PaperTable, how: options.RunOptions, recipes: Sequence[Recipe], store: Store, console: Console
) -> None:
    """Prints a table of what was asked for, from the leaderboard."""
    from orchestrator.leaderboard import rows, vekd

    frame = rows.read(store.filesystem, store.root)
    frame = frame[frame["row_key"].isin([recipe.row_key(how.sweep) for recipe in recipes])]
    if frame.empty:
        console.print(f"no rows of sweep {how.sweep} in {store.root} yet")
        return
    console.print(vekd.block(vekd.compare(frame, table, how.sweep), console))


def _show_figure(
    figure: vekd_figures.PaperFigure,
    preset: str,
    how: options.RunOptions,
    recipes: Sequence[Recipe],
    store: Store,
    console: Console,
) -> None:
    """Prints the points of a figure, from the leaderboard."""
    from orchestrator.leaderboard import rows
    from orchestrator.leaderboard.vekd import figures

    frame = rows.read(store.filesystem, store.root)
    frame = frame[frame["row_key"].isin([recipe.row_key(how.sweep) for recipe in recipes])]
    if frame.empty:
        console.print(f"no rows of sweep {how.sweep} in {store.root} yet")
        return
    console.print(figures.block(figures.draw(frame, figure, how.sweep)))
    picture = {
        "figure": figure.number,
        "preset": None if preset == "paper" else preset,
        "tasks": None if figure.tasks == DEFAULTS[preset]["tasks"] else figure.tasks,
        "sweep": how.sweep,
        "storage": how.storage,
        "png": "figure.png",
    }
    line = report.ready_command("orchestrator.leaderboard", picture).replace("leaderboard", "leaderboard vekd", 1)
    console.print(f"as a picture: {line}", soft_wrap=True, markup=False, highlight=False)


if __name__ == "__main__":
    options.run_command(main)
