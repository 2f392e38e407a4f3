"""Whether a calibrated domain teacher helps the general student of the miniature benchmark, and what calibration does.

    python -m benchmarks.doktra_transfer [--seeds 0,1,2] [--tasks ddi,chemprot] [--storage runs]

By default on the two tasks in which that is planted (see :mod:`trainables.data.miniature`); on the others, by
``--tasks``, true labels leave a calibrated teacher little to correct.

Trains teachers, students and distillations with the settings of `orchestrator.doktra --preset mini`, as a sweep of its
own: run the same command again to go on, or with --report-only to see it again. Nothing is asserted: it prints means
with their spread and what they say, either way.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.planted_transfer import DOMAIN, GENERAL, summary
from orchestrator import doktra, models, options, sweep
from orchestrator.doktra_recipes import Experiment, Parameters, Setting
from orchestrator.recipe import Recipe
from search_spaces import doktra as spaces
from trainables.data import miniature, sources, tasks
from trainables.errors import UserError

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from orchestrator.engine.store import Store

#: What is trained, by name, in the order of the table.
VARIANTS: Mapping[str, str] = {
    "teacher": "teacher, plain",
    "ctt": "teacher, calibrated",
    "student": "student, fine-tuned",
    "longer": "student, fine-tuned for as long",
    "penalty": "student, fine-tuned with penalty",
    "kld": "KLD",
    "ctt_kld": "CTT + KLD",
    "abd": "ABD",
    "ctt_abd": "CTT + ABD",
}
MEASURES = ("score", "ece", "l_at")
#: (task, seed) of a run.
Run = tuple[str, int]
#: Percent (of L_AT units) by measure, variant and run.
Measured = Mapping[str, Mapping[str, Mapping[Run, float]]]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two variants, of which one is expected to be above the other.

    Attributes:
        above: The variant whose measure is expected to be higher.
        below: The other one.
        up: Begins the sentence where it is so.
        down: Begins it where it is the other way round.
        against: Goes on with it.
        measure: One of :data:`MEASURES`.
        unit: Of the measure.
    """

    above: str
    below: str
    up: str
    down: str
    against: str
    measure: str = "score"
    unit: str = "points"


def _taught(below: str, against: str, above: str = "ctt_abd", teacher: str = "calibrated") -> Comparison:
    """What a teacher does for the student's score."""
    begins = f"the {teacher} teacher"
    return Comparison(above, below, f"{begins} lifts the student", f"{begins} sets the student back", against)


COMPARISONS = (
    _taught("student", "over its own fine-tuning"),
    _taught("longer", "against as many epochs of fine-tuning"),
    _taught("penalty", "against its own fine-tuning with the penalty"),
    _taught("abd", "against the plain teacher"),
    _taught("ctt_kld", "against CTT + KLD"),
    _taught("student", "over its own fine-tuning", above="abd", teacher="plain"),
    Comparison("ctt", "teacher", "calibration lifts", "calibration sets back", "the teacher's score"),
    Comparison("teacher", "ctt", "calibration lowers", "calibration raises", "the teacher's ECE", "ece"),
    Comparison("abd", "ctt_abd", "calibration lowers", "calibration raises", "the student's L_AT", "l_at", "units"),
)


@dataclasses.dataclass(frozen=True)
class Difference:
    """Mean of paired differences: the same task and seed on both sides.

    Attributes:
        mean: Of the variant that is expected above, minus the other.
        error: Standard error over tasks and seeds, as if all runs were independent; NaN for one run.
        clustered: Standard error over tasks, whose seeds share their examples; NaN for one task.
        tasks: Number of tasks.
        positive: Number of tasks whose mean difference is above zero.
        runs: Number of tasks and seeds.
    """

    mean: float
    error: float
    clustered: float
    tasks: int
    positive: int
    runs: int

    @property
    def clear(self) -> bool:
        """Whether the mean is further from zero than twice the larger of both standard errors that there are."""
        errors = [error for error in (self.error, self.clustered) if not math.isnan(error)]
        return bool(errors) and abs(self.mean) > 2 * max(errors)


def recipes(task: str, seed: int, chosen: Parameters) -> dict[str, Recipe]:
    """Every variant's recipe, with the command's own settings of the miniature preset."""
    preset = doktra.DEFAULTS["mini"]
    common = {name: preset[name] for name in ("batch_size", "max_length", "warmup_ratio")}
    setting = Setting(sources.MINIATURE, **common)
    experiment = Experiment(task, models.resolve(DOMAIN), models.resolve(GENERAL), setting)
    longer = {**chosen, "student_epochs": chosen["student_epochs"] + chosen["epochs"]}
    return {
        "teacher": experiment.teacher_recipe({**chosen, "beta1": 0.0}, seed),
        "ctt": experiment.teacher_recipe(chosen, seed),
        "student": experiment.student_recipe(chosen, seed),
        "longer": experiment.student_recipe(longer, seed),
        "penalty": experiment.student_recipe(chosen, seed, penalty=chosen["beta2"]),
        "kld": experiment.distilled_recipe(chosen, seed, calibrated=False, boundaries=False),
        "ctt_kld": experiment.distilled_recipe(chosen, seed, boundaries=False),
        "abd": experiment.distilled_recipe(chosen, seed, calibrated=False),
        "ctt_abd": experiment.distilled_recipe(chosen, seed),
    }


def measured(rows: Iterable[Mapping[str, Any]], wanted: Mapping[str, tuple[str, Run]]) -> Measured:
    """What the leaderboard says of some runs.

    Args:
        rows: Leaderboard rows; those that are not finished or not wanted are left out.
        wanted: Variant and run by the row's key: two variants may have the same labels (both teachers are finetune).
    """
    found: dict[str, dict[str, dict[Run, float]]] = {measure: {} for measure in MEASURES}
    for row in rows:
        if row["status"] != "finished" or row["row_key"] not in wanted:
            continue
        variant, run = wanted[row["row_key"]]
        for measure in MEASURES:
            if row[measure] is not None:
                found[measure].setdefault(variant, {})[run] = float(row[measure])
    return found


def difference(above: Mapping[Run, float], below: Mapping[Run, float]) -> Difference | None:
    """Mean paired difference over the runs that both have; None where there is none."""
    by_task: dict[tuple[str, str], list[float]] = {}
    for run in sorted(above.keys() & below.keys()):
        by_task.setdefault(("", run[0]), []).append(above[run] - below[run])
    if not by_task:
        return None
    gain = summary(by_task)
    positive = sum(math.fsum(values) > 0 for values in by_task.values())
    error = standard_error([value for values in by_task.values() for value in values])
    return Difference(gain.mean, error, gain.error, len(by_task), positive, gain.runs)


def standard_error(values: Sequence[float]) -> float:
    """Of the mean; NaN for a single value."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def report(found: Measured) -> str:
    """Tables and sentences.

    Raises:
        UserError: Where nothing is finished.
    """
    if not any(found["score"].values()):
        raise UserError("none of the runs is finished; run this without --report-only first")
    parts = [
        _table("test score, percent: mean over seeds +- standard error", found["score"], VARIANTS),
        _table("ECE of the teacher on test, percent", found["ece"], ("teacher", "ctt")),
        _table("L_AT on test after refinement, units", found["l_at"], ("abd", "ctt_abd")),
        "\n".join(_sentences(found)),
    ]
    return "\n\n".join(parts)


def _table(title: str, values: Mapping[str, Mapping[Run, float]], variants: Iterable[str]) -> str:
    names = list(dict.fromkeys(task for runs in values.values() for task, _ in runs))
    names.sort(key=list(tasks.TASKS).index)
    lines = [title, " " * 34 + "".join(f"{name:>13}" for name in (*names, "all"))]
    for variant in variants:
        runs = values.get(variant, {})
        cells = [_cell([value for (task, _), value in runs.items() if task == name]) for name in names]
        lines.append(f"  {VARIANTS[variant]:<32}" + "".join(f"{cell:>13}" for cell in (*cells, _cell(_seeds(runs)))))
    return "\n".join(lines)


def _seeds(runs: Mapping[Run, float]) -> list[float]:
    """Each seed's mean over tasks; seeds that lack a task are left out, since tasks differ more than seeds."""
    names = {task for task, _ in runs}
    by_seed: dict[int, list[float]] = {}
    for (_, seed), value in runs.items():
        by_seed.setdefault(seed, []).append(value)
    return [statistics.fmean(values) for values in by_seed.values() if len(values) == len(names)]


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    error = standard_error(values)
    return f"{statistics.fmean(values):.1f}" + ("" if math.isnan(error) else f" +- {error:.1f}")


def _sentences(found: Measured) -> Iterable[str]:
    for one in COMPARISONS:
        values = found[one.measure]
        gap = difference(values.get(one.above, {}), values.get(one.below, {}))
        if gap is None:
            continue
        says, mean = (one.up, gap.mean) if gap.mean >= 0 else (one.down, -gap.mean)
        positive = gap.positive if gap.mean >= 0 else gap.tasks - gap.positive
        errors = f"+- {gap.error:.2f} {one.unit} (+- {gap.clustered:.2f} clustered by task)"
        where = f"on {positive} of {gap.tasks} tasks, {gap.runs} runs"
        begins = "" if gap.clear else "within the noise, "
        yield f"{begins}{says} {one.against} by {mean:.2f} {errors}, {where}"


def parser() -> argparse.ArgumentParser:
    """The benchmark's options."""
    made = options.bare_parser(
        "benchmarks.doktra_transfer", __doc__.partition("\n")[0], "python -m benchmarks.doktra_transfer --tasks ddi"
    )
    what = made.add_argument_group("what to run")
    what.add_argument("--seeds", metavar="N,...", help="seeds (0,1,2)")
    what.add_argument("--tasks", metavar="T,...", help="tasks that label texts (those with planted noise: fpb, fts)")
    options.add_how(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is not finished, and reports."""
    given = parser().parse_args(arguments)
    how = options.resolve_how(given, "doktra_transfer")
    chosen = spaces.defaults("mini")
    names = options.task_names("tasks", given.tasks, miniature.MISLABELLED)
    sought = {
        (variant, (task, seed)): recipe
        for seed in options.seeds(given.seeds, (0, 1, 2))
        for task in names
        for variant, recipe in recipes(task, seed, chosen).items()
    }
    wanted = {recipe.row_key(how.sweep): place for place, recipe in sought.items()}

    def show(how: options.RunOptions, _: Sequence[Recipe], store: Store, console: Console) -> None:
        from orchestrator.leaderboard import rows

        found = rows.read_table(store.filesystem, store.root, ["row_key", "status", *MEASURES]).to_pylist()
        settings = ", ".join(f"{name} {value:g}" for name, value in chosen.items())
        text = f"{GENERAL} taught by {DOMAIN}: {settings}\n\n{report(measured(found, wanted))}"
        console.print(text, soft_wrap=True, markup=False, highlight=False)

    return sweep.run(how, list(sought.values()), report=show)


if __name__ == "__main__":
    options.run_command(main)
