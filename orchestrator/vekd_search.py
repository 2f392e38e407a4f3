"""VE-KD's search: a trial is one pretraining and what is fine-tuned from it, its value the macro-average on dev."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator import options
from orchestrator.recipe import Recipe
from orchestrator.search import report
from orchestrator.search.phase import Make, Phase, Search, Watch
from orchestrator.vekd_averages import macro_average
from orchestrator.vekd_recipes import EXPANDED, Experiment, Parameters
from search_spaces import vekd as spaces
from search_spaces.space import Choices, Space
from trainables.data import corpora, sources
from trainables.data import tasks as registry

#: Losses on text held out. Two trials are compared only where they have the corpus in the same pieces: the loss of a
#: vocabulary says nothing of another's (:attr:`trainables.stages.MaskedLMDistillation.schedule`).
WATCH = Watch("dev/loss", -1.0, "held-out loss, negative", "epoch of pretraining")
_DEFAULTS = {"sampler": "tpe", "sampler_seed": 0, "prune": "none"}
#: Options that the command of the best settings repeats.
_REPEATED = (
    "preset",
    "teacher",
    "corpus",
    "min_words",
    "tasks",
    "data",
    *options.OVERRIDES,
    "layers",
    "hidden_size",
    "heads",
    "new_embeddings",
    "replacement",
    "distil_epochs",
    "distil_batch_size",
    "micro_batch_size",
    "distil_learning_rate",
    "distil_max_length",
    "pretrain_per_seed",
    "storage",
    "threads",
)


@dataclasses.dataclass(frozen=True)
class Asked:
    """What the command line says of a search.

    Attributes:
        space: What is searched; hyperparameters that are given stand still.
        trials: In all.
        how: Sampler, its seed, and pruner.
    """

    space: Space
    trials: int
    how: Mapping[str, Any]

    def over(self, experiment: Experiment, tasks: Sequence[str], seeds: Sequence[int], name: str) -> Search:
        """The search of an experiment's settings.

        Args:
            experiment: Teacher, student and setting.
            tasks: That are fine-tuned on.
            seeds: Of the fine-tunings.
            name: Of the sweep.
        """
        first, *others = (_make(experiment, task) for task in tasks)
        metrics = {task: registry.get(task).metric for task in tasks}
        return Search(
            name=f"{name}.{experiment.teacher[0]}.{experiment.student.name}",
            phases=(Phase("joint", self.space, first, others=tuple(others)),),
            trials=self.trials,
            seeds=tuple(seeds),
            metric=metrics[tasks[0]],
            metrics=metrics,
            summary=macro_average,
            watch=WATCH,
            sampler=self.how["sampler"],
            pruner=self.how["prune"],
            sampler_seed=self.how["sampler_seed"],
            identity=_identity(experiment, tasks),
        )


def asked(given: argparse.Namespace, chosen: Parameters, named: Mapping[str, Any]) -> Asked:
    """Reads the options of a search.

    Args:
        given: The parsed command line.
        chosen: All hyperparameters where the space does not have them.
        named: Those that were given; they stand still.

    Raises:
        UserError: For an unknown space, a wrong file, and a grid over a range without steps.
    """
    base = spaces.get(options.either(given.space, given.preset), base=given.preset)
    still = {name: Choices((value,)) for name, value in {**chosen, **named}.items() if name in named}
    space = dataclasses.replace(base, dimensions={**base.dimensions, **still})
    how = {name: options.either(getattr(given, name), default) for name, default in _DEFAULTS.items()}
    if how["sampler"] == "grid":
        space.grid()  # says which dimension has no end of values
    return Asked(space, given.trials, how)


def _make(experiment: Experiment, task: str) -> Make:
    return functools.partial(_recipe, experiment, task)


def _recipe(experiment: Experiment, task: str, chosen: Parameters, seed: int, **labels: Any) -> Recipe:
    return experiment.recipe(EXPANDED, task, chosen, seed, **labels)


def _identity(experiment: Experiment, tasks: Sequence[str]) -> dict[str, Any]:
    """What the scores of a search depend on besides its hyperparameters."""
    setting = experiment.setting
    text, tuning = setting.text, dict(setting.fine_tuning)
    data = str(tuning.pop("data"))
    return {
        "tasks": list(tasks),
        "teacher": f"{experiment.teacher[0]} {experiment.teacher[1].key}",
        "student": f"{experiment.student.name} {experiment.student.fields()}",
        "corpus": corpora.fingerprint(text.corpus, text.data)[:12],
        "min_words": text.min_words,
        "pieces_per_sequence": text.max_length,
        "data": [sources.fingerprint(data, registry.folds(task)[0])[:12] for task in tasks],
        "fine_tuning": tuning,
        "distilling": dict(setting.distilling),
        "pretraining_seed": setting.pretraining_seed,
    }


def command(module: str, given: argparse.Namespace, seeds: Sequence[int], best: Parameters) -> str:
    """The command line that trains some settings, beside plain distillation and the teacher."""
    kept = {name: getattr(given, name) for name in _REPEATED}
    kept["preset"] = None if given.preset == "paper" else given.preset  # what holds anyway is left out
    kept["threads"] = None if given.threads == 1 else given.threads
    return report.ready_command(module, {**kept, **best, "seeds": [str(seed) for seed in seeds]})
