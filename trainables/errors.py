"""Errors that a user can act on: they name the value, the rule and the nearest valid choice."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Something the user gave is wrong; commands print it without a traceback and exit with 2."""


class StageError(RuntimeError):
    """A stage cannot end well however often it is tried (a NaN loss, say); it is not tried again."""


class OutOfDeviceMemory(RuntimeError):  # noqa: N818 (named for what happened)
    """A stage needed more device memory than its share; it is tried again with a larger one."""


def did_you_mean(value: str, choices: Iterable[str]) -> str:
    """Ends an error about an unknown name.

    Args:
        value: What was given.
        choices: The valid names.

    Returns:
        ``"; did you mean 'x'? (choices: ...)"`` or only the choices where none is near, or what was given is one.
    """
    known = sorted(choices)
    near = difflib.get_close_matches(value.lower(), [name.lower() for name in known], n=1, cutoff=0.6)
    listing = ", ".join(known)
    if near and value not in known:
        nearest = next(name for name in known if name.lower() == near[0])
        return f"; did you mean {nearest!r}? (choices: {listing})"
    return f"; choices: {listing}"


class CorruptEntry(RuntimeError):  # noqa: N818 (named for what happened)
    """A stored entry turned out to be unreadable when it was wanted; it has been set aside.

    Attributes:
        key: The key of the stage that must be made again.
    """

    def __init__(self, key: str, why: str) -> None:
        super().__init__(f"stored stage {key}: {why}")
        self.key = key

    def __reduce__(self) -> tuple[type[CorruptEntry], tuple[str, str]]:
        return type(self), (self.key, str(self).split(": ", 1)[1])
