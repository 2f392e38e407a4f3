"""What a running search shows above its stages: the best trial so far, the trials under way, how many are to come."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.engine.schedule import Node
from orchestrator.search import choice, report

if TYPE_CHECKING:
    from optuna.study import Study
    from rich.console import RenderableType

_SHOWN = 8  # trials under way; a cluster has more
_RECENT = 20  # ends of trials from which the time left is told
_FRESH = 0.5  # seconds for which a look at the search is good enough


@dataclasses.dataclass(frozen=True)
class SearchProgress:
    """Where a search stands.

    Attributes:
        target: Trials wanted of the current phase.
        ended: That count: a repeat is no trial more, and one that failed in an earlier run is tried again.
        complete: Trials of the current phase that have a score.
        pruned: That were stopped early.
        failed: That failed.
        running: The trials under way: number, and how far each is.
        best: Score in percent, number and hyperparameters of the best trial so far.
        phase: The current phase; empty where there is but one.
    """

    target: int
    ended: int
    complete: int
    pruned: int
    failed: int
    running: Sequence[tuple[int, str]] = ()
    best: tuple[float, int, Mapping[str, Any]] | None = None
    phase: str = ""


class SearchPanel:
    """The :class:`~orchestrator.engine.progress.Panel` of a search.

    Args:
        progress: Asked where the search stands, in the driver's thread only: drawing uses what was last seen.
        clock: Monotonic seconds.
    """

    def __init__(self, progress: Callable[[], SearchProgress], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = progress
        self._clock = clock
        self._ends: deque[float] = deque(maxlen=_RECENT)  # when the last trials of this run ended
        self._lines: list[str] = []
        self._seen = progress()
        self._look()

    def ended(self, study: Study, number: int, phase: str | None = None) -> None:
        """A trial ended; the study knows how.

        Args:
            study: Of its phase.
            number: Optuna's number of the trial.
            phase: What to call its study where there are several; by its name unless given.
        """
        self._ends.append(self._clock())
        prefix = f"trial {number} of {phase or study.study_name}" if self._seen.phase else f"trial {number}"
        self._lines.append(f"{prefix}: {outcome(study, number)}")
        self._look()

    # --- Panel -----------------------------------------------------------------------------------------------

    def scored(self, node: Node) -> None:
        """Nothing: a search counts trials."""

    def news(self) -> list[str]:
        """A line per trial that ended."""
        if self._clock() - self._looked >= _FRESH:
            self._look()
        lines, self._lines = self._lines, []
        return lines

    def line(self) -> str:
        """How many trials have ended, of how many."""
        seen = self._seen
        of = f" of {seen.phase}" if seen.phase else ""
        return f"{min(seen.ended, seen.target)}/{seen.target} trials{of}"

    def seconds_left(self, stages: float | None) -> float | None:
        """For the trials of this phase that are still to end, as long as there was lately between the ends of two.

        Trials that are not proposed yet have no stages, so these do not count here; and what came before the first end
        (pretrained models, the first teachers) will not come again.
        """
        seen = self._seen
        left = seen.target - seen.ended
        if left <= 0:
            return stages  # the winner's other rows, say
        if len(self._ends) < 2:
            return None
        return left * (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)

    def render(self, busy: Sequence[str]) -> RenderableType:
        """The best trial, the counts, and a line per trial under way."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        seen = self._seen
        head = Table.grid(padding=(0, 2))
        head.add_column(no_wrap=True)
        head.add_column(overflow="fold")
        if seen.best is None:
            head.add_row("best so far", Text("no trial is complete yet", style="dim"))
        else:
            value, number, params = seen.best
            text = (
                Text().append(f"{value:.2f}", style="bold green").append(f"  trial {number}  {report.settings(params)}")
            )
            head.add_row("best so far", text)
        counts = f"{seen.complete} complete, {seen.pruned} pruned, {seen.failed} failed, {len(seen.running)} running"
        phase = f"  (phase: {seen.phase})" if seen.phase else ""
        head.add_row("trials", f"{counts}, of {seen.target}{phase}")
        running = Table.grid(padding=(0, 2))
        for number, how_far in seen.running[:_SHOWN]:
            running.add_row(Text(f"trial {number}"), Text(how_far))
        more = len(seen.running) - _SHOWN
        lines = [Text(f"and {more} more trials", style="dim")] if more > 0 else []
        return Group(head, running, *lines, Text())

    # --- inside ----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._seen = self._ask()
        self._looked = self._clock()


def outcome(study: Study, number: int) -> str:
    """How a trial ended: ``78.31 (best 79.02 of trial 7) beta2=0.5 gamma=0.8``, or ``pruned at epoch 2``."""
    trial = study.get_trials(deepcopy=False)[number]
    if trial.state.name == "COMPLETE" and trial.value is not None:
        best = report.best(study)
        beside = (
            "the best so far"
            if best is None or best.number == number
            else f"best {best.value:.2f} of trial {best.number}"
        )
        return f"{trial.value:.2f} ({beside}) {report.settings(trial.params)}"
    if trial.state.name == "PRUNED":
        if trial.last_step is None:
            return "pruned"
        value = trial.intermediate_values[trial.last_step]
        step = choice.watched(study)[1].replace("epoch", f"epoch {trial.last_step}", 1)
        return f"pruned at {step} ({value:.2f})"
    return "failed" if trial.state.name == "FAIL" else trial.state.name.lower()
