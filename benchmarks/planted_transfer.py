"""Whether a grid over the miniature benchmark found the transfer that was planted in it.

    python -m orchestrator.stilt_grid --preset mini --seeds 0,1,2
    python -m benchmarks.planted_transfer [--storage runs]

Prints, for each model, the mean gain of planted, unrelated and other pairs, and the models' baselines. Exits with 1
where planted pairs do not gain, unrelated pairs do, or the domain model's baselines are not the better ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainables.data import miniature
from trainables.errors import UserError

GENERAL, DOMAIN = "mini_general", "mini_domain"
GROUPS = ("planted", "unrelated", "other")


@dataclasses.dataclass(frozen=True)
class Gain:
    """Mean gain of a group of pairs over the baselines of their targets.

    Attributes:
        mean: In points (percent).
        error: Its standard error, clustered by target task: gains of one target share its baselines and test split, so
            they are not independent. NaN for a single target.
        pairs: Number of pairs.
        runs: Number of pairs and seeds.
        positive: Share of pairs whose mean gain over seeds is above zero.
    """

    mean: float
    error: float
    pairs: int
    runs: int
    positive: float


@dataclasses.dataclass(frozen=True)
class Findings:
    """What a leaderboard shows of the planted structure.

    Attributes:
        gains: By model and group of pairs.
        baselines: Mean baseline in percent by model, over the tasks and seeds that all models have.
        problems: What is not as planted; empty where all is found.
    """

    gains: dict[str, dict[str, Gain]]
    baselines: dict[str, float]
    problems: list[str]


def group_of(intermediate: str, target: str) -> str:
    """The group that a pair belongs to: ``planted``, ``unrelated`` or ``other``."""
    if (intermediate, target) in miniature.PLANTED:
        return "planted"
    return "unrelated" if (intermediate, target) in miniature.UNRELATED else "other"


def examine(rows: Iterable[Mapping[str, Any]]) -> Findings:
    """Compares pairs with baselines of the same model and seed, and tells what is not as planted.

    Args:
        rows: Leaderboard rows; those that are not finished are left out.

    Raises:
        UserError: Where no pair can be compared with its baseline.
    """
    finished = [row for row in rows if row["status"] == "finished"]
    baselines = {
        (row["model"], row["task"], int(row["seed"])): float(row["score"])
        for row in finished
        if row["method"] == "finetune"
    }
    found: dict[str, dict[str, dict[tuple[str, str], list[float]]]] = defaultdict(lambda: defaultdict(dict))
    for row in finished:
        baseline = baselines.get((row["model"], row["task"], int(row["seed"])))
        if row["method"] == "stilt" and baseline is not None:
            pair = (str(row["intermediate"]), str(row["task"]))
            found[row["model"]][group_of(*pair)].setdefault(pair, []).append(float(row["score"]) - baseline)
    if not found:
        raise UserError(
            "the leaderboard has no finished pair with a finished baseline; run orchestrator.stilt_grid first"
        )
    gains = {
        model: {group: summary(groups[group]) for group in GROUPS if group in groups}
        for model, groups in sorted(found.items())
    }
    means = _baseline_means(baselines)
    return Findings(gains, means, _problems(gains, means))


def summary(gains: Mapping[tuple[str, str], Sequence[float]]) -> Gain:
    """Mean and clustered standard error of gains by pair (intermediate, target), one gain per seed."""
    every = [gain for values in gains.values() for gain in values]
    mean = math.fsum(every) / len(every)
    by_target: dict[str, float] = defaultdict(float)
    for (_, target), values in gains.items():
        by_target[target] += math.fsum(value - mean for value in values)
    clusters = len(by_target)
    squares = math.fsum(total**2 for total in by_target.values())
    error = math.sqrt(squares * clusters / (clusters - 1)) / len(every) if clusters > 1 else math.nan
    positive = sum(math.fsum(values) > 0 for values in gains.values()) / len(gains)
    return Gain(mean, error, len(gains), len(every), positive)


def _baseline_means(baselines: Mapping[tuple[str, str, int], float]) -> dict[str, float]:
    models = sorted({model for model, _, _ in baselines})
    places = [{(task, seed) for other, task, seed in baselines if other == model} for model in models]
    common = sorted(set.intersection(*places)) if places else []
    if not common:
        return {}
    return {model: math.fsum(baselines[model, *place] for place in common) / len(common) for model in models}


def _problems(gains: Mapping[str, Mapping[str, Gain]], baselines: Mapping[str, float]) -> list[str]:
    problems = []
    for model, groups in gains.items():
        planted, unrelated = groups.get("planted"), groups.get("unrelated")
        if planted and not planted.mean > 2 * planted.error:
            problems.append(f"{model}: planted pairs do not gain beyond twice the standard error")
        if unrelated and unrelated.mean > 2 * unrelated.error:
            problems.append(f"{model}: unrelated pairs gain beyond twice the standard error")
        if planted and unrelated and planted.mean <= unrelated.mean:
            problems.append(f"{model}: planted pairs gain no more than unrelated ones")
    if {GENERAL, DOMAIN} <= set(baselines) and baselines[DOMAIN] <= baselines[GENERAL]:
        problems.append(f"{DOMAIN}'s baselines are not above {GENERAL}'s")
    return problems


def report(findings: Findings) -> str:
    """The findings as text."""
    lines = []
    for model, groups in findings.gains.items():
        lines.append(model)
        for group, gain in groups.items():
            lines.append(
                f"  {group:<10} {gain.mean:+6.2f} points, standard error {gain.error:.2f}, {gain.pairs} pairs, "
                f"{gain.runs} runs, {gain.positive:.0%} of pairs gain"
            )
    lines.append("mean baseline: " + ", ".join(f"{model} {mean:.1f}" for model, mean in findings.baselines.items()))
    lines += [f"not as planted: {problem}" for problem in findings.problems] or ["the planted structure is found"]
    return "\n".join(lines)


def main() -> int:
    """Reads the leaderboard and prints the report."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="python -m benchmarks.planted_transfer",
    )
    parser.add_argument(
        "--storage", metavar="WHERE", help="folder or URI of the runs ($ORCHESTRATOR_STORAGE or ./runs)"
    )
    arguments = parser.parse_args()
    from orchestrator.engine.store import Store, default_location
    from orchestrator.leaderboard import rows
    from orchestrator.leaderboard.settings import comparable

    try:
        store = Store(arguments.storage or default_location())
        found = comparable(rows.read(store.filesystem, store.root))
        findings = examine(found.astype(object).where(found.notna(), None).to_dict("records"))
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(report(findings))
    return 1 if findings.problems else 0


if __name__ == "__main__":
    sys.exit(main())
