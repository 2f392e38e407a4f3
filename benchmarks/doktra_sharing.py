"""What sharing saves: the wall time of a whole search against that of the same search with nothing shared.

    python -m benchmarks.doktra_sharing [--trials 64] [--task ddi] [--unshared-first]

A joint search over the paper's sets, with the learning rates of the miniature models, is run twice in one process and
one Ray: as it is, and with every trial's stages made its own (another key, the same work). Random sampling proposes the
same trials to both. The pretrained models are no part of the question, so they are made before and copied to both.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from orchestrator import doktra, models, options, sweep
from orchestrator.doktra_recipes import Experiment, Parameters, Setting
from orchestrator.engine import run as engine
from orchestrator.engine.resources import Shares
from orchestrator.engine.store import Store
from orchestrator.recipe import Recipe
from orchestrator.search import run as searching
from orchestrator.search.phase import Make, Phase, Search
from orchestrator.search.report import settings
from search_spaces import doktra as spaces
from search_spaces.space import Choices, Space
from trainables.data import sources, tasks
from trainables.errors import UserError
from trainables.stages import ActivationBoundaryDistillation

SWEEP = "sharing"
SEED = 0
#: Added to a trial's clipping threshold per trial: another key, and the same number in single precision.
APART = 1e-12


@dataclasses.dataclass(frozen=True)
class Searched:
    """A search that has come to its end.

    Attributes:
        seconds: Wall time of the whole search.
        recipes: Of its trials, by number.
        results: ``result.json`` of every stage that it ran, by key; the pretrained models are not among them.
    """

    seconds: float
    recipes: Mapping[int, Recipe]
    results: Mapping[str, Mapping[str, Any]]

    @property
    def work(self) -> float:
        """Seconds of all its stages in their workers."""
        return sum(map(_seconds, self.results.values()))

    def scores(self, metric: str) -> dict[int, float]:
        """A metric of every trial's root stage."""
        return {number: self.results[one.stage.key]["metrics"][metric] for number, one in self.recipes.items()}


def space() -> Space:
    """The paper's sets, with learning rates of miniature models: as many of them in each dimension."""
    mini = spaces.MINI.dimensions
    rates = {
        "teacher_learning_rate": Choices((spaces.MINI_DEFAULTS["teacher_learning_rate"],)),
        "student_learning_rate": mini["student_learning_rate"],
        "learning_rate": mini["learning_rate"],
    }
    return Space("paper_mini_rates", {**spaces.PAPER.dimensions, **rates}, spaces.PARAMETERS)


def apart(stage: ActivationBoundaryDistillation, trial: int) -> ActivationBoundaryDistillation:
    """The same work as a trial's own: nothing that it trains has the key of another trial's."""
    clip_norm = 1.0 + (trial + 1) * APART
    outputs = stage.teacher_outputs
    fine_tuned: tuple[Any, Any] = (stage.student, outputs.teacher)
    student, teacher = (dataclasses.replace(one, clip_norm=clip_norm) for one in fine_tuned)
    outputs = dataclasses.replace(outputs, teacher=teacher)
    return dataclasses.replace(stage, student=student, teacher_outputs=outputs, clip_norm=clip_norm)


def run(experiment: Experiment, trials: int, storage: str, make: Make) -> Searched:
    """Runs a search in a storage that has the pretrained models.

    Args:
        experiment: What is searched; its own recipe is that of the winner.
        trials: How many.
        storage: A folder.
        make: Makes a trial's recipe.

    Raises:
        UserError: Where it did not come to its end.
    """
    store = Store(storage)
    before = store.storage.names("stages")
    metric = tasks.get(experiment.task).metric
    search = Search(SWEEP, (Phase("joint", space(), make),), trials, (SEED,), metric, sampler="random", pruner="none")
    begun = time.perf_counter()
    code = searching.run(_how(storage), search, compared=(), command=settings)
    seconds = time.perf_counter() - begun
    if code:
        raise UserError("the search did not come to its end, so there is nothing to compare")
    recipes = map(Recipe.from_json, store.sweeps()[SWEEP])
    results = store.results(key for key in store.storage.names("stages") if key not in before)
    return Searched(seconds, {one.trial: one for one in recipes if one.trial is not None}, results)


def make_pretrained(experiment: Experiment, storage: str) -> list[str]:
    """Makes both pretrained models; one short trial warms up what is read from disk for the first time.

    Returns:
        Keys of what the models consist of.
    """
    short = {**spaces.defaults("mini"), "teacher_epochs": 1, "student_epochs": 1, "epochs": 2}
    code = sweep.run(_how(storage), [experiment.distilled_recipe(short, SEED)], report=lambda *_: None)
    if code:
        raise UserError("the pretrained models could not be made, so there is nothing to search with")
    pretrained = (experiment.teacher[1], experiment.student[1])
    return list(dict.fromkeys(stage.key for model in pretrained for stage in model.walk() if stage.stored))


def _how(storage: str) -> options.RunOptions:
    return options.RunOptions(storage, SWEEP, Shares(), "best", dry_run=False, report_only=False)


def predicted(shared: Searched) -> float:
    """How many times as long all trials take without sharing, by the seconds of the shared stages alone."""
    everyone = (stage.key for one in shared.recipes.values() for stage in one.stage.walk())
    return sum(_seconds(shared.results[key]) for key in everyone if key in shared.results) / shared.work


def distinct(recipes: Iterable[Recipe], found: Collection[str]) -> dict[str, str]:
    """Distinct sub-expressions, their kind by their key.

    Args:
        recipes: Of all trials.
        found: Keys of the stages that were there before, which are left out.
    """
    stages = (stage for one in recipes for stage in one.stage.walk() if stage.stored and stage.key not in found)
    return {stage.key: type(stage).__name__ for stage in stages}


def report(shared: Searched, unshared: Searched, found: Collection[str], metric: str) -> str:
    """Counts, seconds and ratios as text.

    Args:
        shared: The search as it is.
        unshared: The same with every trial's stages made its own.
        found: Keys of the pretrained models.
        metric: That of the trials' scores, as results name it.
    """
    ours, theirs = (distinct(one.recipes.values(), found) for one in (shared, unshared))
    lines = [f"{'':32}{'shared':>18}{'nothing shared':>18}", f"{'':32}{'distinct   run':>18}{'distinct   run':>18}"]
    for kind in (*dict.fromkeys(ours.values()), None):
        cells = []
        for wanted, searched in ((ours, shared), (theirs, unshared)):
            ran = [key for key in searched.results if kind in (None, wanted.get(key, "other"))]
            cells.append(f"{sum(kind in (None, one) for one in wanted.values()):>12}{len(ran):>6}")
        lines.append(f"{kind or 'all':32}{''.join(cells)}")
    equal = "are exactly" if ours.keys() == shared.results.keys() else "ARE NOT"
    lines.append(f"the stages run {equal} the distinct sub-expressions of the trials")
    scores = unshared.scores(metric)
    same = sum(score == scores.get(trial) for trial, score in shared.scores(metric).items())
    lines += [
        f"{len(shared.recipes)} and {len(unshared.recipes)} trials, {same} with the same {metric} in both",
        "",
        f"{'':32}{'shared':>12}{'not shared':>12}{'ratio':>8}",
        _times("seconds of the whole search", shared.seconds, unshared.seconds),
        _times("seconds of its stages, added up", shared.work, unshared.work),
        f"ratio that the shared stages' own seconds predict: {predicted(shared):.2f}",
    ]
    return "\n".join(lines)


def _times(what: str, shared: float, unshared: float) -> str:
    return f"{what:32}{shared:12.1f}{unshared:12.1f}{unshared / shared:8.2f}"


def _seconds(result: Mapping[str, Any]) -> float:
    return float(result["cost"]["seconds"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints."""
    parser = options.bare_parser(
        "benchmarks.doktra_sharing", __doc__.partition("\n")[0], "python -m benchmarks.doktra_sharing --trials 16"
    )
    parser.add_argument("--trials", type=int, default=64, metavar="N", help="of each search (64)")
    parser.add_argument("--task", default="ddi", metavar="T", help="task of the miniature benchmark (ddi)")
    parser.add_argument("--train-limit", type=int, metavar="N", help="training examples at most")
    parser.add_argument("--unshared-first", action="store_true", help="run the search with nothing shared first")
    given = parser.parse_args(arguments)
    options.counted(given, "trials", "train_limit")
    preset = doktra.DEFAULTS["mini"]
    common = {name: preset[name] for name in ("batch_size", "max_length", "warmup_ratio")}
    setting = Setting(sources.MINIATURE, train_limit=given.train_limit, **common)
    teacher, student = models.resolve(preset["teacher"]), models.resolve(preset["student"])
    experiment = Experiment(tasks.get(given.task).name, teacher, student, setting)

    def make_apart(chosen: Parameters, seed: int, **labels: Any) -> Recipe:
        recipe = experiment.distilled_recipe(chosen, seed, **labels)
        stage: Any = recipe.stage
        return dataclasses.replace(recipe, stage=apart(stage, labels["trial"]))

    makes: dict[str, Make] = {"shared": experiment.distilled_recipe, "not shared": make_apart}
    order = list(reversed(makes)) if given.unshared_first else list(makes)
    found: dict[str, Searched] = {}
    with tempfile.TemporaryDirectory() as folder, engine.connected():
        pretrained = make_pretrained(experiment, f"{folder}/pretrained")
        for name in order:
            for key in pretrained:
                shutil.copytree(f"{folder}/pretrained/stages/{key}", f"{folder}/{name}/stages/{key}")
            print(f"\n--- {name} ---", flush=True)
            found[name] = run(experiment, given.trials, f"{folder}/{name}", makes[name])
    metric = f"dev/{tasks.get(given.task).metric}"
    print(
        f"\n{given.trials} trials on {given.task}, {order[0]} first; {space().size} combinations: {space().describe()}"
    )
    print()
    print(report(found["shared"], found["not shared"], pretrained, metric))
    return 0


if __name__ == "__main__":
    options.run_command(main)
