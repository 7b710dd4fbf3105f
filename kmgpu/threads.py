"""Worker threads for functions that release the GIL, and BLAS held to one thread a worker."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController


def usable_cpus() -> int:
    """Return the number of CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """Threads for functions that release the GIL.

    Parameters
    ----------
    n_threads : int or None
        None means the usable CPUs.
    """

    def __init__(self, n_threads: int | None = None) -> None:
        self.n_threads = n_threads or usable_cpus()
        self._pool: ThreadPoolExecutor | None = None
        self._own = threading.local()

    def scratch(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an array that the calling thread keeps under that name; its content is junk."""
        array = getattr(self._own, name, None)
        if array is None or array.shape != shape or array.dtype != dtype:
            array = np.empty(shape, dtype)
            setattr(self._own, name, array)
        return array

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Return ``[function(item) for item in items]``, by several threads, this one among them.

        After an exception no further item is begun.
        """
        todo = deque(enumerate(items))
        results: list[Any] = [None] * len(todo)

        def work() -> None:
            while todo:
                try:
                    place, item = todo.popleft()
                except IndexError:  # another thread has just taken the last one
                    return
                try:
                    results[place] = function(item)
                except BaseException:
                    todo.clear()
                    raise

        helpers = min(self.n_threads, len(todo)) - 1
        if helpers > 0 and self._pool is None:
            self._pool = ThreadPoolExecutor(self.n_threads - 1)
        others = [self._pool.submit(work) for _ in range(helpers)] if self._pool else []
        try:
            work()
        finally:
            # waking a thread takes longer than many a task: what has not begun need not
            begun = [other for other in others if not other.cancel()]
            wait(begun)
        for other in begun:
            other.result()
        return results

    def map_rows(self, function: Callable[[int, int], Any], n: int, size: int) -> list[Any]:
        """``function(start, stop)`` over consecutive ranges of `size` of n rows, in order."""
        starts = range(0, n, size)
        return self.map(lambda start: function(start, min(n, start + size)), starts)


@cache
def _controller() -> ThreadpoolController:
    # finding the loaded libraries takes milliseconds, setting a limit microseconds
    return ThreadpoolController()


class _SingleBlas:
    """The limit belongs to the process: its first user sets it, its last restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limiter: Any = None

    def enter(self) -> None:
        with self._lock:
            if self._users == 0:
                self._limiter = _controller().limit(limits=1, user_api="blas")
            self._users += 1

    def leave(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limiter.restore_original_limits()


_SINGLE = _SingleBlas()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread inside the block; safe when blocks of several threads overlap."""
    _SINGLE.enter()
    try:
        yield
    finally:
        _SINGLE.leave()
