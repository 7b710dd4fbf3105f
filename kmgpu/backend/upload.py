"""From host memory to a GPU through two pinned buffers, which are given back at the end.

CuPy's own way stages a whole array in pinned memory, rounded up to a power of two, and keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self

import array_api_compat as compat
import numpy as np

from kmgpu.backend.arrays import Array, Place, asarray, place_of, to_host
from kmgpu.backend.threads import Workers

BUFFER_BYTES = 64 << 20
# below, CuPy's staging buffer is no larger than what it holds for its own numbers
LEAST_BYTES = 1 << 20
# what one thread copies at a time: more than the other threads take to wake
THREAD_BYTES = 1 << 22


def uploaded(x: Array, place: Place) -> Array:
    """`x` at `place`; what CuPy takes from the host goes through two buffers of 64 MB at most.

    Parameters
    ----------
    x : array of any library, of any strides
    place : Place

    Returns
    -------
    array
        Of the dtype of `x`, byte order apart; `x` itself where it is there already. Work on the
        current stream waits for it.
    """
    (there,) = uploaded_blocks((x,), place)
    return there


def uploaded_blocks(blocks: Iterable[Array], place: Place) -> Iterator[Array]:
    """Each of `blocks` at `place`, in turn.

    A block is copied by a stream of its own, for which the current stream waits when the block is
    handed out. The copy of the next one has begun by then, so it is on its way while the GPU works,
    up to what the buffers hold: two blocks are on the GPU at a time. The buffers are freed when the
    iterator ends or is closed.

    Parameters
    ----------
    blocks : iterable of array
        Of any library, dtypes, shapes and strides. The memory of a block may be reused once the
        next one is asked for.
    place : Place
    """
    if not compat.is_cupy_namespace(place.xp):
        yield from (asarray(block, place) for block in blocks)
        return
    with _Copies(place) as copies:
        before: _Coming | None = None
        for block in blocks:
            coming = copies.begun(block)
            if before is not None:
                yield copies.handed_out(before)
            before = coming
        if before is not None:
            yield copies.handed_out(before)


class _Coming(NamedTuple):
    """A block on its way, and the event after which it is there; None where it is there."""

    array: Array
    there: Any


class _Copies:
    """A stream for copies to one GPU and the buffers they pass through."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stream: Any = None
        self._buffers: list[np.ndarray] = []
        self._passed: list[Any] = []  # events: what a buffer held last has left it
        self._turn = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._place.current():
            if self._stream is not None:
                self._stream.synchronize()  # the buffers must not be freed under a copy
        self._buffers, self._passed, self._stream = [], [], None

    def begun(self, block: Array) -> _Coming:
        """The block, its memory free to be reused, on its way to the GPU."""
        if place_of(block).on_gpu:
            return _Coming(asarray(block, self._place), None)
        host = to_host(block)
        if host.nbytes < LEAST_BYTES:
            return _Coming(asarray(host, self._place), None)
        if host.ndim == 2 and host.flags.f_contiguous and not host.flags.c_contiguous:
            turned = self._copied(host.T)
            return turned._replace(array=turned.array.T)
        return self._copied(host)

    def handed_out(self, coming: _Coming) -> Array:
        """The block; the current stream waits for it."""
        if coming.there is not None:
            import cupy

            with self._place.current():
                cupy.cuda.get_current_stream().wait_event(coming.there)
        return coming.array

    def _copied(self, host: np.ndarray) -> _Coming:
        import cupy

        with self._place.current():
            self._prepare(host.nbytes)
            there = cupy.empty(host.shape, host.dtype.newbyteorder("="))
            # the memory of `there` may still be in use by what the current stream has yet to do
            self._stream.wait_event(cupy.cuda.get_current_stream().record())
            try:
                self._fill(there, host)
            except BaseException:
                self._stream.synchronize()  # nobody may get this memory while it is written to
                raise
            return _Coming(there, self._stream.record())

    def _prepare(self, n_bytes: int) -> None:
        """Make the stream, and two buffers for arrays of so many bytes."""
        import cupy

        if self._stream is None:
            self._stream = cupy.cuda.Stream(non_blocking=True)
            self._passed = [cupy.cuda.Event(disable_timing=True) for _ in range(2)]
        if not self._buffers or self._buffers[0].nbytes < min(n_bytes // 2, BUFFER_BYTES):
            self._stream.synchronize()
            self._buffers = []
            self._buffers = [_buffer(min(BUFFER_BYTES, -(-n_bytes // 2))) for _ in range(2)]

    def _fill(self, there: Array, host: np.ndarray) -> None:
        at = there.data
        for part in _parts(host, self._buffers[0].nbytes // there.dtype.itemsize):
            taken = part.size * there.dtype.itemsize
            buffer, passed = self._buffers[self._turn], self._passed[self._turn]
            passed.synchronize()
            staged = buffer[:taken].view(there.dtype).reshape(part.shape)
            _copy(staged, part)
            at.copy_from_host_async(buffer.ctypes.data, taken, self._stream)
            passed.record(self._stream)
            at = at + taken  # += would move the array itself
            self._turn = 1 - self._turn


def _buffer(n_bytes: int) -> np.ndarray:
    """Pinned memory outside of CuPy's pool, or, where there is none, pageable memory."""
    import cupy

    try:
        memory = cupy.cuda.PinnedMemoryPointer(cupy.cuda.PinnedMemory(n_bytes), 0)
    except cupy.cuda.runtime.CUDARuntimeError:
        return np.empty(n_bytes, np.uint8)
    return np.frombuffer(memory, np.uint8, n_bytes)


def _parts(host: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """`host` in parts of at most `most` elements that follow each other in C order."""
    if host.size <= most:
        yield host
    elif host.ndim > 1 and host.flags.c_contiguous:
        yield from _parts(host.reshape(-1), most)
    elif step := most // host[0].size:
        for start in range(0, len(host), step):
            yield host[start : start + step]
    else:
        for row in host:
            yield from _parts(row, most)


def _copy(to: np.ndarray, part: np.ndarray) -> None:
    """``to[...] = part``, by several threads."""

    def copy(start: int, stop: int) -> None:
        np.copyto(to[start:stop], part[start:stop])

    Workers().map_rows(copy, len(part), max(1, len(part) * THREAD_BYTES // to.nbytes))
