"""What blocks leave beside themselves in a process that works on them task after task."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from threading import Lock
from typing import Any

MOST_BYTES = 1 << 29  # in one process


class Kept:
    """Caches of blocks in this process, by source and block, of bounded size.

    A block may be worked on here in one pass and elsewhere in the next. A cache counts only if the
    pass before was made here, so it is what the last call has left, or empty. Where memory is
    used up, caches of other sources go, and then nothing more is kept.

    Parameters
    ----------
    most_bytes : int
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._kept: dict[tuple[str, int], tuple[int, dict[str, Any], int]] = {}
        self._bytes = 0
        self._lock = Lock()

    @contextmanager
    def beside(self, source: str, block: int, number: int) -> Iterator[MutableMapping[str, Any]]:
        """The cache of a block in the pass of that number; kept unless the call fails."""
        before, cache, _ = self._take((source, block)) or (number - 1, {}, 0)
        if before != number - 1:
            cache = {}
        yield cache
        self._put((source, block), number, cache)

    def drop(self, source: str) -> None:
        """Forget the blocks of a source."""
        with self._lock:
            for key in [key for key in self._kept if key[0] == source]:
                self._remove(key)

    def _take(self, key: tuple[str, int]) -> tuple[int, dict[str, Any], int] | None:
        with self._lock:
            return self._remove(key)

    def _remove(self, key: tuple[str, int]) -> tuple[int, dict[str, Any], int] | None:
        found = self._kept.pop(key, None)
        self._bytes -= found[2] if found else 0
        return found

    def _put(self, key: tuple[str, int], number: int, cache: dict[str, Any]) -> None:
        size = bytes_of(cache)
        with self._lock:
            self._remove(key)
            others = [other for other in self._kept if other[0] != key[0]]
            while others and self._bytes + size > self._most:
                self._remove(others.pop(0))
            if cache and self._bytes + size <= self._most:
                self._kept[key] = number, cache, size
                self._bytes += size


def bytes_of(kept: Any) -> int:
    """Bytes of the arrays in dictionaries, lists, tuples and attributes of objects."""
    if hasattr(kept, "nbytes"):
        return int(kept.nbytes)
    if isinstance(kept, dict):
        kept = list(kept.values())
    elif not isinstance(kept, list | tuple):
        kept = list(getattr(kept, "__dict__", {}).values())
    return sum(map(bytes_of, kept))
