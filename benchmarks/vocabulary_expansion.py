"""Whether an expanded vocabulary helps a distilled model in a domain with words of its own, and what it costs.

    python -m benchmarks.vocabulary_expansion [--seeds 0,1,2] [--tasks hoc,pubmedqa] [--storage runs]

VE-KD against distillation alone (the same stage in the teacher's vocabulary, without tolerance) and against
Adapt-and-Distill's four steps, on the miniature's document and question tasks. Its domain words are spelled in
syllables by the general teacher's vocabulary, and the company that they keep in the corpus tells their classes. Each
seed has pretrainings of its own, so the spread is of both.

Trains with the settings of `orchestrator.vekd --preset mini` but for :data:`CORPUS`, :data:`WEIGHTS` and
:data:`ADAPTING`, which hold for all methods, as a sweep of its own: run the same command again to go on, or with
--report-only to see it again. Nothing is asserted: it prints means with their spread and what they say, either way, and
the seconds that each method's pretraining took.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from benchmarks.doktra_transfer import Run, difference, standard_error
from orchestrator import models, options, sweep, vekd
from orchestrator.recipe import Recipe
from orchestrator.vekd_recipes import DISTILLED, EXPANDED, FOUR_STEPS, PLAIN, Experiment, Parameters, Setting, Text
from search_spaces import vekd as spaces
from trainables.data import sources, tasks
from trainables.errors import UserError
from trainables.expression import Stage
from trainables.stages import FineTune, MaskedLanguageModel, MaskedLMDistillation

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from orchestrator.engine.store import Store

#: What is fine-tuned, by method, in the order of the table.
VARIANTS: Mapping[str, str] = {
    PLAIN: "teacher",
    DISTILLED: "distillation alone",
    FOUR_STEPS: "Adapt-and-Distill",
    EXPANDED: "VE-KD",
}
#: In mini:domain the company of new words is of new words as well. Masked as all of them are, it tells nothing.
CORPUS = "mini:terms"
#: The squared difference of logits does not count, as for the released model: it is summed over the vocabulary, and
#: outweighs all else that the student could learn. The tolerance is the released script's.
WEIGHTS: Parameters = MappingProxyType({**spaces.defaults("mini"), "mse_weight": 0.0, "tolerance": 0.1})
#: Domain adaptation passes over the corpus as often as distillation does.
ADAPTING: Mapping[str, Any] = MappingProxyType(
    {name: vekd.DEFAULTS["mini"]["distilling"][name] for name in ("epochs", "batch_size", "learning_rate")}
)
#: Percent by method and run.
Scores = Mapping[str, Mapping[Run, float]]


@dataclasses.dataclass(frozen=True)
class Account:
    """What a method's pretrainings took, beyond the teacher's own.

    Attributes:
        trained: Stages that train a model, of one seed.
        prepared: Other stages: a vocabulary, a corpus in pieces.
        seconds: Of all of them, by seed.
    """

    trained: int
    prepared: int
    seconds: Mapping[int, float]


def experiment() -> Experiment:
    """The command's own of the miniature preset, on another corpus, each seed with pretrainings of its own."""
    preset = vekd.DEFAULTS["mini"]
    text = Text(CORPUS, None, preset["min_words"], preset["distil_max_length"])
    tuning = {"data": sources.MINIATURE}
    setting = Setting(text, tuning, preset["distilling"], ADAPTING, pretraining_seed=None)
    return Experiment(models.resolve(preset["teacher"]), preset["student"], setting)


def recipes(what: Experiment, task: str, seed: int, chosen: Parameters) -> dict[str, Recipe]:
    """Every method's recipe on a task."""
    return {method: what.recipe(method, task, chosen, seed) for method in VARIANTS}


def pretraining(stage: Stage, teacher: Stage) -> list[Stage]:
    """The stages of an expression between the teacher and the fine-tuning."""
    before = {one.key for one in teacher.walk()}
    return [one for one in stage.walk() if one.key not in before and not isinstance(one, FineTune)]


def accounts(wanted: Iterable[Recipe], teacher: Stage, seconds: Mapping[str, float]) -> dict[str, Account]:
    """What each method's pretrainings took.

    Args:
        wanted: All recipes; those of which a stage is not finished are left out.
        teacher: Its own stages do not count.
        seconds: Of every finished stage, by key.
    """
    found: dict[str, Account] = {}
    for recipe in wanted:
        stages = pretraining(recipe.stage, teacher)
        if not stages or any(one.key not in seconds for one in stages):
            continue
        trained = sum(isinstance(one, MaskedLanguageModel | MaskedLMDistillation) for one in stages)
        took = {recipe.seed: sum(seconds[one.key] for one in stages)}
        before = found.get(recipe.method, Account(trained, len(stages) - trained, {}))
        found[recipe.method] = dataclasses.replace(before, seconds={**before.seconds, **took})
    return found


def report(scores: Scores, costs: Mapping[str, Account]) -> str:
    """Tables and sentences.

    Raises:
        UserError: Where nothing is finished.
    """
    if not any(scores.values()):
        raise UserError("none of the runs is finished; run this without --report-only first")
    return "\n\n".join(["\n".join(_table(scores)), "\n".join(_costs(costs)), "\n".join(_sentences(scores, costs))])


def _table(scores: Scores) -> Iterator[str]:
    names = list(dict.fromkeys(task for runs in scores.values() for task, _ in runs))
    names.sort(key=list(tasks.TASKS).index)
    yield "test score, percent: mean over seeds +- standard deviation"
    yield " " * 24 + "".join(f"{name:>15}" for name in (*names, "all"))
    for method, said in VARIANTS.items():
        runs = scores.get(method, {})
        by_task = [[value for (task, _), value in sorted(runs.items()) if task == name] for name in names]
        by_seed = [list(values) for values in zip(*by_task, strict=False)]
        cells = [*map(_spread, by_task), _spread([statistics.fmean(values) for values in by_seed])]
        yield f"  {said:<22}" + "".join(f"{cell:>15}" for cell in cells)


def _costs(costs: Mapping[str, Account]) -> Iterator[str]:
    yield "pretraining of the student, beyond its teacher's: mean over seeds +- standard deviation"
    yield f"{'trainings':>39}{'other stages':>15}{'seconds':>15}"
    for method, said in VARIANTS.items():
        if method in costs:
            one = costs[method]
            yield f"  {said:<22}{one.trained:>15}{one.prepared:>15}{_spread(list(one.seconds.values())):>15}"


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    deviation = f" +- {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{deviation}"


def _sentences(scores: Scores, costs: Mapping[str, Account]) -> Iterator[str]:
    for other in (DISTILLED, FOUR_STEPS):
        gap = difference(scores.get(EXPANDED, {}), scores.get(other, {}))
        if gap is not None:
            noise = "" if gap.clear else "within the noise, "
            way = "above" if gap.mean >= 0 else "below"
            errors = f"+- {gap.error:.2f} (+- {gap.clustered:.2f} clustered by task)"
            where = f"better on {gap.positive} of {gap.tasks} tasks, {gap.runs} runs"
            yield f"{noise}VE-KD is {way} {VARIANTS[other]} by {abs(gap.mean):.2f} points {errors}, {where}"
        for task in dict.fromkeys(task for task, _ in scores.get(EXPANDED, {})):
            pairs = [
                value - scores[other][run]
                for run, value in sorted(scores[EXPANDED].items())
                if run[0] == task and run in scores.get(other, {})
            ]
            if pairs:
                yield f"  {task}: {statistics.fmean(pairs):+.2f} +- {standard_error(pairs):.2f}, {len(pairs)} seeds"
    if EXPANDED in costs and FOUR_STEPS in costs:
        own, four = (statistics.fmean(costs[method].seconds.values()) for method in (EXPANDED, FOUR_STEPS))
        yield (
            f"VE-KD trains {costs[EXPANDED].trained} model where Adapt-and-Distill trains {costs[FOUR_STEPS].trained}, "
            f"in {own / four:.0%} of its seconds"
        )


def parser() -> argparse.ArgumentParser:
    """The benchmark's options."""
    made = options.bare_parser(
        "benchmarks.vocabulary_expansion",
        __doc__.partition("\n")[0],
        "python -m benchmarks.vocabulary_expansion --tasks hoc",
    )
    what = made.add_argument_group("what to run")
    what.add_argument("--seeds", metavar="N,...", help="seeds (0,1,2)")
    what.add_argument("--tasks", metavar="T,...", help="tasks (the document and question tasks: hoc,pubmedqa,bioasq)")
    options.add_how(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is not finished, and reports."""
    given = parser().parse_args(arguments)
    how = options.resolve_how(given, "vocabulary_expansion")
    chosen = WEIGHTS
    what = experiment()
    names = options.task_names("tasks", given.tasks, vekd.DEFAULTS["mini"]["tasks"])
    sought = [
        ((method, (task, seed)), recipe)
        for seed in options.seeds(given.seeds, (0, 1, 2))
        for task in names
        for method, recipe in recipes(what, task, seed, chosen).items()
    ]
    wanted = {recipe.row_key(how.sweep): place for place, recipe in sought}

    def show(how: options.RunOptions, _: Sequence[Recipe], store: Store, console: Console) -> None:
        from orchestrator.leaderboard import rows

        scores: dict[str, dict[Run, float]] = {}
        for row in rows.read_table(store.filesystem, store.root, ["row_key", "status", "score"]).to_pylist():
            if row["status"] == "finished" and row["row_key"] in wanted:
                method, run = wanted[row["row_key"]]
                scores.setdefault(method, {})[run] = float(row["score"])
        teacher = what.teacher[1]
        keys = {one.key for _, recipe in sought for one in pretraining(recipe.stage, teacher)}
        results = {key: result for key in keys if (result := store.result(key)) is not None}
        seconds = {key: float(result["cost"]["seconds"]) for key, result in results.items()}
        text = report(scores, accounts([recipe for _, recipe in sought], teacher, seconds))
        settings = ", ".join(f"{name} {value:g}" for name, value in chosen.items())
        console.print(
            f"{what.teacher[0]} taught {what.student.name}: {settings}\n\n{text}",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )

    return sweep.run(how, [recipe for _, recipe in sought], report=show)


if __name__ == "__main__":
    options.run_command(main)
