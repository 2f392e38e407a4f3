"""Turns original corpora into the JSON-lines layout that training reads: ``python -m orchestrator.prepare_data``."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import functools
import importlib.resources
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.data import tasks
from trainables.data.examples import SPLITS, Example
from trainables.data.prepare import corpus, counts, ebm_pico, fts, mind, output
from trainables.data.prepare.registry import CORPORA, corpora
from trainables.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_DESCRIPTION = """\
Turns original corpora into the JSON-lines layout that training reads:
OUT/seqcls/<name>_hf/{train,dev,test}.json and OUT/tokcls/<name>_hf/{train,dev,test}.json; where a corpus has its own
folds for cross-validation (GAD and EU-ADR, as BioBERT distributes them), they are beside the splits as folds/<n>.json.

SOURCE has one folder per task, named by the task (bc5chem, ddi, ...), with the corpus as it was distributed.
A corpus that is not there is reported, with where to get it, and the rest is prepared. Nothing half-written is
left behind; running the command again changes nothing that is already the same."""
_EPILOG = """\
examples:
  python -m orchestrator.prepare_data corpora data/blurb
  python -m orchestrator.prepare_data corpora data/blurb --tasks ncbi_disease,gad,ddi
  python -m orchestrator.prepare_data corpora data/blurb --tasks ebm_pico --partial-ebm-pico

exit code: 0 if everything asked for was prepared (without --tasks: everything that SOURCE holds), 2 if not,
130 if interrupted."""

#: Whose numbers a split is compared with, in this order; the first two print the BLURB benchmark's.
_PAPERS = ("vekd", "stilt", "doktra", "multi_teacher")
#: The paper prints 5,745: the first digit is lost (datasets.csv says so in its note).
_MISPRINTS = {("vekd", "chemprot", "test"): 15_745}


@dataclasses.dataclass
class Report:
    """What came of a run, by task."""

    prepared: dict[str, corpus.Prepared] = dataclasses.field(default_factory=dict)
    missing: dict[str, str] = dataclasses.field(default_factory=dict)
    malformed: dict[str, str] = dataclasses.field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(arguments)
    from rich.console import Console

    # Piped output is read by people and by grep: a fixed width keeps one row on one line.
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, soft_wrap=True)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = Report()
    try:
        _check_source(options.source)
        names = _asked(options.tasks)
        output.create(options.out)
        for name in names:
            _prepare(options, name, report, console)
    except UserError as error:
        errors.print(f"error: {error}", style="red", markup=False)
        return 2
    except KeyboardInterrupt:
        done = ", ".join(report.prepared) or "nothing"
        errors.print(f"interrupted: {done} prepared, nothing half-written left; run the same command again to go on")
        return 130
    if report.prepared:
        console.print(_table(report))
    _explain(report, console, errors)
    if not report.prepared and not report.malformed and not options.tasks:
        errors.print(f"error: {options.source} holds no corpus; folders named {', '.join(names)} expected", style="red")
        return 2
    return 2 if report.malformed or (report.missing and options.tasks) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.prepare_data",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SOURCE", type=Path, help="folder with one folder per original corpus")
    parser.add_argument("out", metavar="OUT", type=Path, help="folder of the layout; made if it does not exist")
    parser.add_argument("--tasks", metavar="A,B,...", help=f"only these (default: all of {', '.join(corpora())})")
    parser.add_argument(
        "--partial-ebm-pico",
        action="store_true",
        help="where EBM PICO's training split is missing, make a part of it from ebm_pico/partial_train_iob",
    )
    parser.add_argument(
        "--fts-classes",
        choices=fts.CLASSES,
        default=fts.CLASSES[0],
        help="how FinTextSen's scores become three classes: kmeans, the three closest clusters (default); sign, "
        "neutral only at 0",
    )
    parser.add_argument(
        "--mind-classes",
        choices=mind.CLASSES,
        default=mind.CLASSES[0],
        help="which articles of MIND's five categories: balanced, as many of each as of the smallest (default); all",
    )
    return parser


def _check_source(source: Path) -> None:
    if not source.is_dir():
        raise UserError(
            f"source folder {str(source)!r} does not exist; give the folder that holds the corpora's folders"
        )


def _asked(names: str | None) -> list[str]:
    """The tasks to prepare, in the order of the registry.

    Raises:
        UserError: For an unknown task, with the nearest known one.
    """
    if names is None:
        return list(corpora())
    given = [tasks.get(name.strip()) for name in names.split(",") if name.strip()]
    asked = {tasks.prepared_as(task).corpus for task in given}
    if not asked:
        raise UserError(f"--tasks {names!r} names no task; choices: {', '.join(corpora())}")
    return [name for name in corpora() if name in asked]


def _prepare(options: argparse.Namespace, name: str, report: Report, console: Console) -> None:
    """Prepares one task and says so; what is missing or malformed goes into the report."""
    task = tasks.get(name)
    reader = CORPORA[name].prepare
    if name == "ebm_pico":
        reader = functools.partial(ebm_pico.prepare, partial=options.partial_ebm_pico)
    elif name == "fts":
        reader = functools.partial(fts.prepare, classes=options.fts_classes)
    elif name == "mind":
        reader = functools.partial(mind.prepare, classes=options.mind_classes)
    started = time.monotonic()
    try:
        prepared = reader(corpus.task_folder(options.source, task), task)
        changed = output.write(options.out, task, prepared.splits, prepared.folds)
    except corpus.MissingFilesError as error:
        report.missing[name] = f"{error}. To get it: {CORPORA[name].origin}"
        console.print(f"{name:<13} not prepared: files are missing, see below", style="yellow")
    except UserError as error:
        report.malformed[name] = str(error)
        console.print(f"{name:<13} not prepared: malformed, see below", style="red")
    except OSError as error:
        raise UserError(f"{name}: {error.filename or options.out}: {error.strerror}") from error
    else:
        report.prepared[name] = prepared
        sizes = ", ".join(f"{split} {len(prepared.splits[split])}" for split in SPLITS)
        state = "written" if changed else "unchanged"
        folds = "".join(f", {count} folds" for count in prepared.folds)
        console.print(f"{name:<13} {sizes} examples{folds}, {state} ({time.monotonic() - started:.1f} s)")


def _table(report: Report) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE, title="Prepared, against the published counts", title_justify="left")
    for heading in ("task", "split"):
        table.add_column(heading, no_wrap=True)
    for heading in ("examples", "counted", "published"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("comparison")
    table.add_column("labels")
    published = published_counts()
    for name, prepared in report.prepared.items():
        task = tasks.get(name)
        for split in SPLITS:
            examples = prepared.splits[split]
            found, expected = counts.count(task, examples), published.get((name, split))
            table.add_row(
                name if split == SPLITS[0] else "",
                split,
                str(len(examples)),
                f"{found} {counts.published_unit(task)}",
                "" if expected is None else str(expected),
                _comparison(found, expected),
                _labels(task, examples),
                end_section=split == SPLITS[-1],
            )
    return table


def published_counts() -> dict[tuple[str, str], int]:
    """Published sizes of the benchmark's splits, by task and split."""
    file = importlib.resources.files("orchestrator.leaderboard").joinpath("published", "datasets.csv")
    found: dict[tuple[str, str], int] = {}
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    for paper in reversed(_PAPERS):
        for row in rows:
            for split in SPLITS:
                if row["paper"] == paper and row[split]:
                    printed = int(row[split])
                    found[row["task"], split] = _MISPRINTS.get((paper, row["task"], split), printed)
    return found


def _comparison(found: int, expected: int | None) -> str:
    if expected is None:
        return ""
    return "equal" if found == expected else f"{found - expected:+d} ({(found - expected) / expected:+.2%})"


def _labels(task: tasks.Task, examples: Sequence[Example]) -> str:
    """Counts by label; NER's B and I say nothing that the count of mentions does not."""
    found = counts.by_label(task, examples)
    if task.kind == "ner":
        return ""
    if task.multi_label:
        return " ".join(map(str, found.values()))
    shown = {label: number for label, number in found.items() if label != "O"}
    return ", ".join(f"{label.rpartition('-')[2]} {number}" for label, number in shown.items())


def _notes(report: Report) -> Iterator[str]:
    """Why a split's count is not the published one, or what else sets it apart."""
    published = published_counts()
    for name, prepared in report.prepared.items():
        for split, note in prepared.notes.items():
            if counts.count(tasks.get(name), prepared.splits[split]) != published.get((name, split)):
                yield f"{name} {split}: {note}"


def _explain(report: Report, console: Console, errors: Console) -> None:
    for note in _notes(report):
        console.print(note, markup=False)
    for name, message in report.missing.items():
        console.print(f"{name} was not prepared: {message}", style="yellow", markup=False)
    for name, message in report.malformed.items():
        errors.print(f"error: {name} was not prepared: {message}", style="red", markup=False)


if __name__ == "__main__":
    sys.exit(main())
