"""Whether what is planted for several teachers and for transfer data is found in the miniature benchmark.

    python -m orchestrator.multi_teacher --preset mini --seeds 0,1,2
    python -m orchestrator.transfer_data --preset mini --seeds 0,1,2
    python -m benchmarks.teachers_and_transfer [--storage runs]

Reads the leaderboard; trains nothing, asserts nothing. Differences are paired by seed (and set of teachers), with the
standard error of their mean over seeds.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.engine.store import Store, default_location
from orchestrator.leaderboard import rows
from trainables.errors import UserError
from trainables.stages.multi_teacher import STRATEGIES

#: Pairs of transfer sets of which the first is expected to teach more; None is the untrained student.
TRANSFER = (
    ("distill_boolq", "untrained"),
    ("distill_boolq", "distill_boolq_random"),
    ("distill_boolq_random", "untrained"),
    ("distill_pubmedqa", "distill_boolq"),
    ("distill_boolq", "finetune_boolq"),
)
Row = Mapping[str, Any]


def strategies(found: Sequence[Row]) -> Iterator[str]:
    """Every strategy against a random teacher, over all sets of teachers and the largest alone."""
    distilled = [row for row in found if row["teachers"] and len(row["teachers"]) > 1]
    if not distilled:
        yield "no rows of orchestrator.multi_teacher; run it first (see --help)"
        return
    largest = max(len(row["teachers"]) for row in distilled)
    for what, some in (
        (f"over all sets of teachers, {len({tuple(row['teachers']) for row in distilled})} of them", distilled),
        (f"all {largest} teachers", [row for row in distilled if len(row["teachers"]) == largest]),
    ):
        yield f"accuracy on test against a random teacher, {what}:"
        by_place = {(row["method"], tuple(row["teachers"]), row["seed"], row["model"]): row["score"] for row in some}
        for method in sorted({row["method"] for row in some}, key=STRATEGIES.index):
            pairs: dict[int, list[float]] = {}
            for (own, *place), score in by_place.items():
                other = by_place.get(("random_teacher", *place))
                if own == method and method != "random_teacher" and other is not None:
                    pairs.setdefault(int(place[1]), []).append(score - other)
            if pairs:
                yield f"  {method:<16}{_mean([statistics.fmean(values) for values in pairs.values()])}"


def transfer(found: Sequence[Row]) -> Iterator[str]:
    """Pairs of transfer sets, teacher by teacher, in AUROC."""
    teachers = sorted({row["teachers"][0] for row in found if row["method"].startswith("distill_")})
    if not teachers:
        yield "no rows of orchestrator.transfer_data; run it first (see --help)"
        return
    for teacher in teachers:
        yield f"AUROC on test, points, teacher {teacher}:"
        auroc: dict[str, dict[int, float]] = {}
        for row in found:
            if row["auroc"] is not None and (not row["teachers"] or row["teachers"][0] == teacher):
                auroc.setdefault(row["method"], {})[row["seed"]] = row["auroc"]
        for one, other in TRANSFER:
            first, second = auroc.get(one, {}), auroc.get(other, {})
            changes = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
            if changes:
                yield f"  {one + ' against ' + other:<44}{_mean(changes)}"


def _mean(values: Sequence[float]) -> str:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    spread = "" if math.isnan(error) else f" +- {error:.2f}"
    return f"{statistics.fmean(values):+.2f}{spread}, {len(values)} seeds"


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", help="where the runs are ($ORCHESTRATOR_STORAGE or ./runs)")
    parser.add_argument("--multi-teacher", default="multi_teacher_mini", metavar="SWEEP", help="name of that sweep")
    parser.add_argument("--transfer-data", default="transfer_data_mini", metavar="SWEEP", help="name of that sweep")
    given = parser.parse_args(arguments)
    store = Store(given.storage or default_location())
    try:
        table = [row for row in rows.read_table(store.filesystem, store.root).to_pylist() if row["score"] is not None]
    except (OSError, UserError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    for part, sweep in ((strategies, given.multi_teacher), (transfer, given.transfer_data)):
        for line in part([row for row in table if row["sweep"] == sweep and "/" not in row["task"]]):
            print(line)
        print()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
