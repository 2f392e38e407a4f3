"""Ctrl-C during a Tune run: the first stops cleanly, the second at once. SIGTERM is as a first one."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from typing import Any

from ray.tune import Callback


class Interrupt(Callback):
    """Lies over Tune's own handler of SIGINT, which would kill every worker after ten seconds.

    A worker needs as long as one training step and one checkpoint take. So at the first signal nothing new is begun
    and the workers are asked to save and end by themselves; Tune's run then comes to its ordinary end. Tune installs
    its handler when a run begins and calls ``setup`` of its callbacks after that, which is the moment to go on top.

    Args:
        on_first: Called at once at the first signal.
        ask_workers: Called soon after it, outside of the signal handler; asks the workers to save and end.

    Attributes:
        seen: Whether there was a signal.
    """

    def __init__(self, on_first: Callable[[], None], ask_workers: Callable[[], None]) -> None:
        self.seen = False
        self._asked = False
        self._on_first = on_first
        self._ask_workers = ask_workers
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def setup(self, **info: Any) -> None:
        """Called by Tune at the start of its run."""
        with contextlib.suppress(ValueError):  # not in the main thread: nobody can press Ctrl-C there
            for number in self._before:
                signal.signal(number, self._handle)

    def on_step_end(self, **info: Any) -> None:
        """Called by Tune several times a second."""
        if self.seen and not self._asked:
            self._asked = True
            self._ask_workers()

    def _handle(self, number: int, frame: Any) -> None:
        if not self.seen:
            self.seen = True
            self._on_first()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt

    def restore(self) -> None:
        """Puts back the handlers from before the run."""
        with contextlib.suppress(ValueError):
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def __getstate__(self) -> dict[str, Any]:
        # Tuner pickles its callbacks for Tuner.restore, which is not used.
        return {}
