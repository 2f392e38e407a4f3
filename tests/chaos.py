"""Kills a mini grid again and again and checks that nothing is lost, repeated or changed.

    python -m tests.chaos [--kills 20] [--seed 0]

Each round takes a fresh store and runs a small grid. At a random moment the driver, a worker or the whole Ray
instance is killed with SIGKILL; then the same command is run again, and so on until the grid is complete. Its
leaderboard must equal that of an undisturbed run, score by score, and no stage that had finished may start again.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from orchestrator.engine.store import Store
from orchestrator.leaderboard import rows

GRID = (
    "--preset",
    "mini",
    "--models",
    "mini_general",
    "--tasks",
    "gad,ddi,ncbi_disease",
    "--checkpoint-seconds",
    "0.3",
)
STARTUP = 8.0  # seconds until the first stage runs
TARGETS = ("driver", "worker", "instance")
STARTED = re.compile(r"start .*\[([0-9a-f]{8})\]")
ROOT = Path(__file__).resolve().parents[1]


@dataclasses.dataclass
class Report:
    """What a round saw."""

    kills: list[str] = dataclasses.field(default_factory=list)
    starts: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Undisturbed:
    """A run that was left alone.

    Attributes:
        board: Its leaderboard; see :func:`board`.
        stages: How many stages it trained.
        seconds: How long it took.
    """

    board: dict[str, tuple[object, ...]]
    stages: int
    seconds: float


def command(storage: Path) -> list[str]:
    """The grid's command line."""
    return [sys.executable, "-m", "orchestrator.stilt_grid", *GRID, "--storage", str(storage)]


def start(storage: Path, log: Path) -> subprocess.Popen[bytes]:
    """Runs the grid in a process group of its own, with a Ray of its own."""
    with log.open("wb") as file:
        return subprocess.Popen(
            command(storage),
            cwd=ROOT,
            env={**os.environ, "RAY_ADDRESS": "local", "RAY_gcs_rpc_server_reconnect_timeout_s": "5"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill(driver: subprocess.Popen[bytes], target: str, choice: random.Random) -> str:
    """Kills a target; where there is no such process at that moment, the driver.

    Returns:
        What was killed.
    """
    try:
        children = psutil.Process(driver.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return "nothing, since it had ended"
    workers = [child for child in children if _is_worker(child)]
    if target == "worker" and workers:
        choice.choice(workers).kill()
    elif target == "instance" and children:
        for child in children:
            kill_process(child)
    else:
        target = "driver"
        driver.kill()
    return target


def kill_process(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def _is_worker(process: psutil.Process) -> bool:
    try:
        return " ".join(process.cmdline()).startswith("ray::_Inner")  # what tune.with_parameters makes of our class
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def board(storage: Path) -> dict[str, tuple[object, ...]]:
    """Scores by row; double rows cannot be, since a row's file is named by its key."""
    store = Store(str(storage))
    found = rows.read_table(store.filesystem, store.root, ["row_key", "status", "score", "dev_score", "key"])
    return {row["row_key"]: (row["status"], row["score"], row["dev_score"], row["key"]) for row in found.to_pylist()}


def finished(storage: Path) -> dict[str, int]:
    """Finished stages with the moment of their result."""
    results = (storage / "stages").glob("*/result.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in results}


def run_round(storage: Path, undisturbed: Undisturbed, kills: list[str], choice: random.Random) -> Report:
    """Runs one grid to its end through some kills.

    Args:
        storage: A fresh folder.
        undisturbed: A run that was left alone.
        kills: What to kill, one per start.
        choice: Of moments, and among workers.

    Returns:
        What was seen.
    """
    report = Report()
    pending = list(kills)
    while True:
        before = finished(storage)
        log = storage.parent / f"{storage.name}-{report.starts}.log"
        driver = start(storage, log)
        report.starts += 1
        if pending:
            target = pending.pop(0)
            left = 1 - len(before) / undisturbed.stages
            after = choice.uniform(0.1, 0.9) * (STARTUP + (undisturbed.seconds - STARTUP) * left)
            try:
                driver.wait(timeout=after)
            except subprocess.TimeoutExpired:
                report.kills.append(f"{kill(driver, target, choice)} after {after:.1f} s")
        try:
            code = driver.wait(timeout=300)
        except subprocess.TimeoutExpired:
            report.problems.append(f"the driver hung; see {log}")
            driver.kill()
            return report
        text = log.read_text(errors="replace")
        for key in STARTED.findall(text):
            if any(done.startswith(key) for done in before):
                report.problems.append(f"stage {key} had finished and was started again; see {log}")
        after_all = finished(storage)
        report.problems += [f"the result of {key} was replaced" for key in before if after_all.get(key) != before[key]]
        if code == 0:  # complete; kills that are left come in the next round
            break
        if code > 0 and not report.kills:
            report.problems.append(f"exit code {code} without a kill; see {log}")
            return report
        if report.starts > len(kills) + 3:
            report.problems.append(f"not complete after {report.starts} starts; see {log}")
            return report
    report.problems += _differences(undisturbed.board, board(storage))
    return report


def _differences(wanted: dict[str, tuple[object, ...]], found: dict[str, tuple[object, ...]]) -> list[str]:
    problems = [f"row {key} is missing" for key in wanted.keys() - found.keys()]
    problems += [f"row {key} is too much" for key in found.keys() - wanted.keys()]
    problems += [
        f"row {key}: {found[key]}, not {wanted[key]}" for key in wanted if found.get(key, wanted[key]) != wanted[key]
    ]
    return problems


def chaos(folder: Path, kills: int, seed: int) -> list[str]:
    """Rounds until so many kills were done.

    Args:
        folder: Where to work; logs stay there.
        kills: How many.
        seed: Of targets and moments.

    Returns:
        Everything that was not as it should be.
    """
    choice = random.Random(seed)
    undisturbed = folder / "undisturbed"
    begun = time.monotonic()
    code = start(undisturbed, folder / "undisturbed.log").wait(timeout=600)
    if code != 0:
        return [f"the undisturbed run ended with {code}; see {folder / 'undisturbed.log'}"]
    alone = Undisturbed(board(undisturbed), len(finished(undisturbed)), time.monotonic() - begun)
    print(f"undisturbed: {len(alone.board)} rows in {alone.seconds:.0f} s", flush=True)
    problems: list[str] = []
    done = 0
    for number in range(2 * kills):  # a kill can come too late, so there may be more rounds than it takes
        plan = [TARGETS[(done + i) % len(TARGETS)] for i in range(min(4, kills - done))]
        report = run_round(folder / f"round-{number}", alone, plan, choice)
        done += len(report.kills)
        problems += report.problems
        print(f"{done}/{kills}: {report.starts} starts; killed {', '.join(report.kills)}: ", end="")
        print("; ".join(report.problems) or "equal to the undisturbed run", flush=True)
        if problems or done >= kills:
            break
    if done < kills:
        problems.append(f"only {done} of {kills} kills were done")
    return problems


def main() -> int:
    """Runs the script; exit code 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"logs in {folder}")
    problems = chaos(folder, given.kills, given.seed)
    print("\n".join(problems) or f"{given.kills} kills: nothing lost, nothing repeated, nothing changed")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
