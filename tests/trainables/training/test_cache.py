from __future__ import annotations

from trainables.training.cache import BoundedCache


def test_what_was_used_last_stays() -> None:
    cache: BoundedCache[bytes] = BoundedCache(10, len)
    made: list[str] = []

    def get(key: str, size: int) -> bytes:
        def make() -> bytes:
            made.append(key)
            return bytes(size)

        return cache.get(key, make)

    for key, size in (("a", 4), ("b", 4), ("a", 4), ("c", 4), ("a", 4), ("b", 4)):
        get(key, size)
    assert made == ["a", "b", "c", "b"]
    assert len(get("large", 11)) == 11
    assert len(cache) == 0
