"""A cache that is bounded by bytes: worker processes are reused for many stages and share their prepared data."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class BoundedCache(Generic[T]):
    """Keeps what was used last, up to a total size.

    Args:
        limit: Bytes in all. A single entry above it is made anew each time.
        measure: Bytes of an entry.
    """

    def __init__(self, limit: int, measure: Callable[[T], int]) -> None:
        self._limit = limit
        self._measure = measure
        self._entries: OrderedDict[Hashable, T] = OrderedDict()
        self._total = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The entry of a key, made where it is not there (any more)."""
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key]
        entry = make()
        self._entries[key] = entry
        self._total += self._measure(entry)
        while self._total > self._limit:
            _, dropped = self._entries.popitem(last=False)
            self._total -= self._measure(dropped)
        return entry
