"""Ctrl-C during a Tune run: the first stops cleanly, the second at once. SIGTERM is as a first one."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from typing import Any

from ray.tune import Callback


class Interrupt(Callback):
    """Lies over Tune's own handler of SIGINT.

    Tune installs one when a run begins; it stops the run, and at the first signal puts the previous one back. Tune
    calls ``setup`` of its callbacks after installing it, which is the moment to go on top.

    Args:
        on_first: Called at once at the first Ctrl-C.

    Attributes:
        seen: Whether there was one.
    """

    def __init__(self, on_first: Callable[[], None]) -> None:
        self.seen = False
        self._on_first = on_first
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def setup(self, **info: Any) -> None:
        """Called by Tune at the start of its run."""
        tunes = signal.getsignal(signal.SIGINT)

        def handle(number: int, frame: Any) -> None:
            if self.seen and number == signal.SIGINT:
                raise KeyboardInterrupt
            if self.seen:
                return
            self.seen = True
            self._on_first()
            if callable(tunes):
                tunes(signal.SIGINT, frame)
            self._install(handle)

        self._install(handle)

    def restore(self) -> None:
        """Puts back the handlers from before the run."""
        with contextlib.suppress(ValueError):
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _install(self, handle: Callable[[int, Any], None]) -> None:
        with contextlib.suppress(ValueError):  # not in the main thread: nobody can press Ctrl-C there
            for number in self._before:
                signal.signal(number, handle)

    def __getstate__(self) -> dict[str, Any]:
        # Tuner pickles its callbacks for Tuner.restore, which is not used.
        return {}
