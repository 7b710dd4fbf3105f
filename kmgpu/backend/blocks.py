"""Work on rows block by block: how large a block is, and what happens when memory runs out.

Every algorithm iterates rows through `over_blocks`, so one place halves the blocks.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from kmgpu.backend.arrays import Array, Place, itemsize
from kmgpu.backend.devices import device_name
from kmgpu.backend.gpus import GB, bytes_a_row, free_bytes, is_out_of_memory, room_for
from kmgpu.backend.machine import free_memory
from kmgpu.backend.threads import Workers, single_threaded_blas

CPU_BLOCK_BYTES = 1 << 21
GPU_BLOCK_BYTES = 1 << 28
# a smaller block does not fill a GPU: where another library holds the memory, asking for this much
# finds out whether there is more
LEAST_GPU_BLOCK_BYTES = 1 << 25
# what is kept of a small X, bytes
LEAST_KEPT_BYTES = 256 << 20
# with fewer blocks, threads start too late to help
FEWEST_BLOCKS = 8
T = TypeVar("T")


class OutOfMemory(MemoryError):
    """Not even the smallest block fits; the text is what the array library said."""


def block_bytes(place: Place, memory_budget: int | None) -> int:
    """Bytes that the temporary arrays of one block may take.

    Without a budget: on a CPU what its caches hold, on a GPU enough rows to fill it, but no more
    than an eighth of the memory that is free.
    """
    if memory_budget is not None:
        return memory_budget
    if not place.on_gpu:
        return CPU_BLOCK_BYTES
    return max(LEAST_GPU_BLOCK_BYTES, min(GPU_BLOCK_BYTES, free_bytes(place) // 8))


def kept_bytes(n_bytes: int, memory_budget: int | None) -> int:
    """Bytes that an engine on the CPU may keep for a whole fit, such as bounds, beside the data.

    Parameters
    ----------
    n_bytes : int
        Bytes of the data.
    memory_budget : int or None
        None means the bytes of the data or 256 MB, whichever is larger, but no more than half of
        the memory that is free now, limits of cgroups and of ``ulimit -v`` counted.
    """
    if memory_budget is not None:
        return memory_budget
    return min(max(n_bytes, LEAST_KEPT_BYTES), free_memory() // 2)


def row_blocks(n_rows: int, row_bytes: int, budget: int) -> Iterator[tuple[int, int]]:
    """Ranges ``(start, stop)`` covering `n_rows`, each within `budget` bytes, at least one row."""
    step = max(1, budget // max(1, row_bytes))
    return ((start, min(n_rows, start + step)) for start in range(0, n_rows, step))


def over_blocks(
    blocks: Iterable[tuple[Any, ...]], function: Callable[..., Any], on_host: bool
) -> list[Any]:
    """`function` of every block, in order; by several threads where the host computes.

    Parameters
    ----------
    blocks : iterable of tuple
        The arguments of `function`, of which the last two are a range ``start, stop`` of rows.
    function : callable
        Where memory runs out in it, it is called again for half the rows, and from then on for
        no more rows than that; so there may be more results than blocks.
    on_host : bool

    Raises
    ------
    OutOfMemory
        When memory runs out for a single row.
    """
    blocks = list(blocks)
    halving = _Halving(function)
    if not on_host or len(blocks) < FEWEST_BLOCKS:
        found = [halving(*block) for block in blocks]
    else:
        workers = Workers()
        with single_threaded_blas():
            found = workers.map(lambda block: halving(*block), blocks)
    return [piece for pieces in found for piece in pieces]


class _Halving:
    """Calls a function for ranges of rows, of fewer rows once memory has run out."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._most = sys.maxsize
        self._lock = Lock()

    def __call__(self, *block: Any) -> list[Any]:
        *which, start, stop = block
        pieces: list[Any] = []
        while not pieces or start < stop:
            end = min(stop, start + self._most)
            piece, shortage = _attempt(self._function, *which, start, end)
            if shortage is None:
                pieces.append(piece)
                start = end
            elif end - start <= 1:
                raise OutOfMemory(shortage)
            else:
                with self._lock:
                    self._most = min(self._most, (end - start) // 2)
        return pieces


def _attempt(function: Callable[..., Any], *block: Any) -> tuple[Any, str | None]:
    """What `function` returns, or the words in which it ran out of memory.

    The error itself is dropped here, as its traceback holds the arrays of the failed attempt.
    """
    try:
        return function(*block), None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None, " ".join(str(error).split())


@contextmanager
def working_at(place: Place, x: Array, n_clusters: int) -> Iterator[None]:
    """Compute at `place` inside the ``with`` block; say what would fit if memory runs out.

    Settings of `numpy.seterr` do not hold inside, where overflow is expected and checked for.

    Raises
    ------
    MemoryError
        With the bytes needed, those free, and the remedies.
    """
    try:
        with place.current(), np.errstate(all="ignore"):
            yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # a kept error must not keep arrays alive
        raise MemoryError(_shortage(error, place, x, n_clusters)) from None


def falling_back(device: str | None, place: Place, home: Place, work: Callable[[Place], T]) -> T:
    """``work(place)``; where "auto" chose a GPU and its memory runs out, ``work(home)``.

    Warns
    -----
    RuntimeWarning
        With the error, before it goes on at `home`.
    """
    try:
        return work(place)
    except MemoryError as error:
        if device != "auto" or home.on_gpu or not place.on_gpu:
            raise
        why = str(error)
    warnings.warn(f"device='auto' goes on with the CPU: {why}", RuntimeWarning, stacklevel=3)
    return work(home)


def _shortage(error: Exception, place: Place, x: Array, n_clusters: int) -> str:
    n, d = x.shape
    size = itemsize(x)
    centers = 8 * n_clusters * d
    needed = room_for((n, d), size) + 4 * centers
    free = elsewhere = ""
    if place.on_gpu:
        left = free_bytes(place)
        fitting = max(0, left - 4 * centers - room_for((0, d), size))
        rows = fitting // bytes_a_row(d, size)
        free = f"{left / GB:.3g} GB are free there now, enough for about {rows:,} such rows. "
        elsewhere = ", or device='cpu'"
    return (
        f"not enough memory on {device_name(place)} for X of shape {(n, d)} and n_clusters="
        f"{n_clusters}: about {needed / GB:.3g} GB are needed, {n * d * size / GB:.3g} GB of "
        f"them for X itself. {free}Free some, pass a smaller memory_budget, use fewer rows or "
        f"clusters{elsewhere}. ({' '.join(str(error).split())})"
    )
