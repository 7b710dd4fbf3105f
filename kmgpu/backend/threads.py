"""Worker threads for functions that release the GIL: how many, and one pool of them a process."""

from __future__ import annotations

import os
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from numbers import Integral
from queue import SimpleQueue
from threading import Lock, local
from typing import Any

import numpy as np

from kmgpu.backend.blas import limit_of_openmp, one_blas_thread_here
from kmgpu.backend.blas import single_threaded_blas as single_threaded_blas
from kmgpu.backend.machine import usable_cpus

_chosen: int | None = None


def set_num_threads(n: int | None) -> None:
    """Set how many threads fits and predictions on the CPU use, in this process from now on.

    Parameters
    ----------
    n : int or None
        Taken as it is, even above the number of CPUs; 1 starts no thread. None returns to the
        default, see `get_num_threads`.

    Notes
    -----
    Results do not depend on the number of threads. Processes that joblib or multiprocessing start
    anew do not know of `n`; there OMP_NUM_THREADS counts, which joblib sets for its workers.

    A process must not fork while another of its threads is inside BLAS: OpenBLAS itself then waits
    for ever. Fork before threads fit, or start processes by "spawn" or "forkserver".

    Examples
    --------
    >>> import kmgpu
    >>> kmgpu.set_num_threads(2)
    >>> kmgpu.get_num_threads()
    2
    >>> kmgpu.set_num_threads(None)
    """
    global _chosen
    if n is not None and (isinstance(n, bool) or not isinstance(n, Integral)):
        msg = f"n must be an integer, or None for the default; got {n!r} ({type(n).__name__})."
        raise TypeError(msg)
    if n is not None and n < 1:
        msg = f"n={n} must be at least 1, or None for the default."
        raise ValueError(msg)
    _chosen = None if n is None else int(n)


def get_num_threads() -> int:
    """Return how many threads a fit that begins now in the calling thread uses on the CPU.

    Returns
    -------
    int
        What `set_num_threads` was given; by default the least of the CPUs of the process (its
        affinity and the quotas of its cgroups), OMP_NUM_THREADS, LOKY_MAX_CPU_COUNT (joblib's) and
        the limits of OpenMP in the calling thread, which `threadpoolctl.threadpool_limits` sets.
    """
    if _chosen is not None:
        return _chosen
    asked = _environment("OMP_NUM_THREADS"), _environment("LOKY_MAX_CPU_COUNT"), limit_of_openmp()
    return min([usable_cpus(), *(n for n in asked if n)])


def _environment(name: str) -> int:
    """The first number of a variable; 0 without one, or one that says nothing."""
    try:
        return max(0, int(os.environ.get(name, "").split(",")[0]))
    except ValueError:
        return 0


class Workers:
    """Threads for functions that release the GIL.

    Parameters
    ----------
    n_threads : int or None
        None means `get_num_threads`.
    """

    def __init__(self, n_threads: int | None = None) -> None:
        self.n_threads = n_threads or get_num_threads()
        self._own = local()

    def scratch(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """Return an array that the calling thread keeps under that name; its content is junk.

        It is freed with the `Workers`.
        """
        array = getattr(self._own, name, None)
        if array is None or array.shape != shape or array.dtype != dtype:
            array = np.empty(shape, dtype)
            setattr(self._own, name, array)
        return array

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """Return ``[function(item) for item in items]``, by several threads, this one among them.

        After an exception no further item is begun, and the exception comes out of here.
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

        tasks = [_Task(work) for _ in range(min(self.n_threads, len(todo)) - 1)]
        try:
            if tasks:
                _pool.offer(tasks)
            work()
        except BaseException:
            todo.clear()
            raise
        finally:
            for task in tasks:
                task.finish()
        for task in tasks:
            task.check()
        return results

    def map_rows(self, function: Callable[[int, int], Any], n: int, size: int) -> list[Any]:
        """``function(start, stop)`` over consecutive ranges of `size` of n rows, in order."""
        starts = range(0, n, size)
        return self.map(lambda start: function(start, min(n, start + size)), starts)


class _Task:
    """Work that a thread of the pool may begin until its owner has finished it.

    Memory may run out anywhere, in Python's own bookkeeping too: what the owner waits for and what
    it learns is made beforehand, and only set later.
    """

    __slots__ = ("_begun", "_ended", "_error", "_work")

    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work
        self._begun, self._ended = Lock(), Lock()
        self._ended.acquire()
        self._error: BaseException | None = MemoryError("a worker thread ran out of memory")

    def run(self) -> None:
        """Do the work, unless the owner was faster."""
        if not self._begun.acquire(blocking=False):
            return
        try:
            self._work()  # type: ignore[misc]
            self._error = None
        except BaseException as error:
            self._error = error
        finally:
            self._ended.release()

    def finish(self) -> None:
        """Withdraw the work or, where it has begun, wait for its end.

        Waking a thread takes longer than many a task: what has not begun need not.
        """
        if self._begun.acquire(blocking=False):
            self._work = self._error = None
        else:
            self._ended.acquire()

    def check(self) -> None:
        """Raise what the work raised."""
        error, self._error = self._error, None  # whoever keeps the error keeps no task
        if error is not None:
            raise error


class _Pool:
    """Threads that wait for tasks, started when they are first needed and then kept.

    They are started below `threading`. A thread of `threading` is waited for until it signals that
    it runs, and that signal never comes if memory runs out in between; and the interpreter would
    wait for such threads at its end, or refuse them in a thread that outlives the main one.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._tasks: SimpleQueue[_Task] = SimpleQueue()
        self._n_threads = 0

    def offer(self, tasks: list[_Task]) -> None:
        """Let threads begin the tasks; if no thread can be started, their owner does them."""
        with self._lock:
            while self._n_threads < len(tasks):
                try:
                    start_new_thread(_serve, (self._tasks,))
                except (RuntimeError, MemoryError):  # a limit, or the interpreter shuts down
                    break
                self._n_threads += 1
        for task in tasks[: self._n_threads]:
            self._tasks.put(task)


def _serve(tasks: SimpleQueue[_Task]) -> None:
    """The loop of a thread of the pool."""
    with suppress(Exception):  # where memory runs out, threads do without
        np.seterr(all="ignore")  # the thread's own
        one_blas_thread_here()
    while True:
        try:  # noqa: SIM105 (`suppress` is a call, which may run out of memory itself)
            tasks.get().run()
        except BaseException:  # out of memory before the task began: its owner does it
            pass


_pool = _Pool()


def _forget_threads() -> None:
    global _pool
    _pool = _Pool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
