"""BLAS and OpenMP libraries: their limits on threads, and BLAS held to one thread a worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from threading import RLock
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    # finding the loaded libraries takes milliseconds, setting a limit microseconds
    return ThreadpoolController()


def limit_of_openmp() -> int:
    """Return the least number of threads that OpenMP libraries use in this thread; 0: no limit."""
    found = (lib.num_threads for lib in _controller().lib_controllers if lib.user_api == "openmp")
    return min(filter(None, found), default=0)


@cache
def _by_thread() -> ThreadpoolController:
    """The BLAS libraries whose limits are the calling thread's own: OpenBLAS over OpenMP."""
    return _controller().select(internal_api="openblas").select(threading_layer="openmp")


def one_blas_thread_here() -> None:
    """Limit BLAS to one thread in the calling thread for good, if limits are per thread."""
    for library in _by_thread().lib_controllers:
        library.set_num_threads(1)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread inside the block; safe when blocks of several threads overlap."""
    hold, here = _hold, _by_thread()
    with here.limit(limits=1) if here.lib_controllers else nullcontext():
        hold.enter()
        try:
            yield
        finally:
            hold.leave()


class _Hold:
    """Every other BLAS library held to one thread, as nobody else notices.

    Such limits are the process's. Another thread's `threadpool_limits` that began during ours
    would find one thread and restore that when ours is long over. So while ours holds,
    threadpoolctl reads what it would find without us, and what it sets takes effect when the last
    of our blocks ends. Its rule that one thread at a time may set a limit does not bind us: blocks
    end in any order.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.seen: dict[str, int] = {}  # what others read, by library; empty while nothing is held
        self._users = 0
        self._held: list[tuple[Any, Callable[[Any, int], None]]] = []

    def enter(self) -> None:
        with self.lock:
            if self._users == 0:
                for library, put in self._libraries():
                    self.seen[library.filepath] = library.get_num_threads()
                    put(library, 1)
            self._users += 1

    def leave(self) -> None:
        with self.lock:
            self._users -= 1
            if self._users == 0:
                self.release()

    def release(self) -> None:
        """Give every library back the number that others have read or set meanwhile."""
        for library, put in self._libraries():
            if library.filepath in self.seen:
                put(library, self.seen.pop(library.filepath))

    def _libraries(self) -> list[tuple[Any, Callable[[Any, int], None]]]:
        """The libraries whose limits are the process's, and what sets the number of each."""
        if not self._held:
            own = {library.filepath for library in _by_thread().lib_controllers}
            for library in _controller().select(user_api="blas").lib_controllers:
                kind: Any = type(library)
                if library.filepath not in own and library.get_num_threads():
                    self._held.append((library, _watched(kind)))
        return self._held


@cache
def _watched(kind: Any) -> Callable[[Any, int], None]:
    """What really sets numbers of threads; from now on others of that kind get and set by `_hold`.

    Parameters
    ----------
    kind : subclass of threadpoolctl.LibController
    """
    get, put = kind.get_num_threads, kind.set_num_threads

    def get_num_threads(library: Any) -> Any:
        with _hold.lock:
            return _hold.seen[library.filepath] if library.filepath in _hold.seen else get(library)

    def set_num_threads(library: Any, number: int) -> Any:
        with _hold.lock:
            if library.filepath not in _hold.seen:
                return put(library, number)
            _hold.seen[library.filepath] = number
            return None

    kind.get_num_threads, kind.set_num_threads = get_num_threads, set_num_threads
    return getattr(kind, "_real_set_num_threads", put)  # since 3.8 `put` obeys one thread alone


_hold = _Hold()


def _release_in_child() -> None:
    """Release in a forked child: no block will end there, and the lock may be held for ever."""
    global _hold
    forked, _hold = _hold, _Hold()
    forked.lock = _hold.lock
    forked.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_in_child)
