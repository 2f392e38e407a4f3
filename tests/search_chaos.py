"""Kills a mini search again and again and checks that nothing is lost or repeated, and that all accounts agree.

    python -m tests.search_chaos [--kills 20] [--seed 0] [--search staged] [--prune none]

Each round takes a fresh store and runs a small search of DoKTra. At a random moment the driver and its whole Ray are
killed with SIGKILL (or only the driver, whose workers then live a moment longer); then the same command is run again,
and so on until the search has ended. Then Optuna's study and the leaderboard must agree row for row, there must be as
many trials as were asked for, and no stage that had finished may have been started again or have another result.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from orchestrator.engine.store import Store
from tests import chaos
from tests.search_agreement import agreement, studies

TRIALS = 6
SEARCH = ("--preset", "mini", "--task", "fpb", "--trials", str(TRIALS), "--seeds", "0,1", "--checkpoint-seconds", "0.3")
SWEEP = "doktra_mini"
TARGETS = ("everything", "driver", "everything")
PATIENCE = 400.0  # seconds for one start
MOST_STAGES = 9  # finished by one start before it is killed


@dataclasses.dataclass
class Report:
    """What a round saw."""

    kills: list[str] = dataclasses.field(default_factory=list)
    starts: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)


def start(storage: Path, log: Path, more: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Runs the search in a process group of its own, with a Ray of its own."""
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator.doktra", *SEARCH, *more, "--storage", str(storage)],
            cwd=chaos.ROOT,
            env={**os.environ, "RAY_ADDRESS": "local", "RAY_gcs_rpc_server_reconnect_timeout_s": "5"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill_soon(driver: subprocess.Popen[bytes], storage: Path, target: str, choice: random.Random) -> str | None:
    """Kills a search once it has finished some more stages, and a moment after.

    Returns:
        What was killed and when; None where the search ended before that.
    """
    before, more = len(chaos.finished(storage)), choice.randrange(MOST_STAGES)
    deadline = time.monotonic() + PATIENCE
    while len(chaos.finished(storage)) < before + more and time.monotonic() < deadline:
        if driver.poll() is not None:
            return None
        time.sleep(0.1)
    time.sleep(choice.random())
    try:
        children = psutil.Process(driver.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return None
    if driver.poll() is not None:
        return None
    driver.kill()
    if target == "everything":
        for child in children:
            chaos.kill_process(child)
    driver.wait()
    return f"{target} after {len(chaos.finished(storage)) - before} more stages"


def run_round(storage: Path, kills: list[str], choice: random.Random, more: tuple[str, ...]) -> Report:
    """Runs one search to its end through some kills.

    Args:
        storage: A fresh folder.
        kills: What to kill, one per start.
        choice: Of moments.
        more: Options of the search.

    Returns:
        What was seen.
    """
    report = Report()
    pending = list(kills)
    while True:
        before = chaos.finished(storage)
        log = storage.parent / f"{storage.name}-{report.starts}.log"
        driver = start(storage, log, more)
        report.starts += 1
        killed = kill_soon(driver, storage, pending.pop(0), choice) if pending else None
        report.kills += [killed] if killed else []
        try:
            code = driver.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            report.problems.append(f"the search hung; see {log}")
            driver.kill()
            return report
        for key in chaos.STARTED.findall(log.read_text(errors="replace")):
            if any(done.startswith(key) for done in before):
                report.problems.append(f"stage {key} had finished and was started again; see {log}")
        after = chaos.finished(storage)
        report.problems += [f"the result of {key} was replaced" for key in before if after.get(key) != before[key]]
        if killed is None:
            report.problems += [f"exit code {code}; see {log}"] if code else []
            break
        report.problems += _agreement(storage, ended=False)
    return dataclasses.replace(report, problems=[*report.problems, *_agreement(storage, ended=True)])


def _agreement(storage: Path, ended: bool) -> list[str]:
    journal = storage / "studies" / f"{SWEEP}.journal"
    if not journal.exists():
        return ["there is no journal"] if ended else []
    problems = agreement(Store(str(storage)), journal, SWEEP, ended) if ended or _is_whole(journal) else []
    if ended:
        for study in studies(journal):
            count = sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in study.get_trials(deepcopy=False))
            if count != TRIALS:
                problems.append(f"{study.study_name} has {count} trials, not {TRIALS}")
    return problems


def _is_whole(journal: Path) -> bool:
    """Whether the last line was written to its end; the next start sees to it."""
    return journal.read_bytes().endswith(b"\n")


def search_chaos(folder: Path, kills: int, seed: int, more: tuple[str, ...] = ()) -> list[str]:
    """Rounds until so many kills were done.

    Args:
        folder: Where to work; logs stay there.
        kills: How many.
        seed: Of the moments.
        more: Options of the search.

    Returns:
        Everything that was not as it should be.
    """
    choice = random.Random(seed)
    problems: list[str] = []
    done = 0
    for number in range(2 * kills):  # a kill can come too late, so there may be more rounds than it takes
        plan = [TARGETS[(done + i) % len(TARGETS)] for i in range(min(3, kills - done))]
        report = run_round(folder / f"round-{number}", plan, choice, more)
        done += len(report.kills)
        problems += report.problems
        print(f"{done}/{kills}: {report.starts} starts; killed {', '.join(report.kills)}: ", end="")
        print("; ".join(report.problems) or "study and leaderboard agree", flush=True)
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
    parser.add_argument("--search", choices=("joint", "staged"), default="joint")
    parser.add_argument("--prune", choices=("asha", "none"), default="asha")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="search-chaos-"))
    print(f"logs in {folder}")
    problems = search_chaos(folder, given.kills, given.seed, ("--search", given.search, "--prune", given.prune))
    print("\n".join(problems) or f"{given.kills} kills: nothing lost, nothing repeated, all accounts agree")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
