"""A source in this process: blocks of rows, one after the other, each uploaded where needed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any
from zlib import crc32

import numpy as np

from kmgpu.backend.arrays import HOST, Array, Place, asarray
from kmgpu.backend.upload import uploaded_blocks
from kmgpu.sources.base import Block, Source
from kmgpu.sources.row_blocks import RowBlocks

PIECE_BYTES = 1 << 26  # of the rows of one block

Passing = Callable[[Iterator[Block], int | None], Iterator[Block]]


class Stream(Source):
    """The rows of `RowBlocks`, cut anew into blocks of one size.

    So results do not depend on how the data happen to be cut. The number of threads does not
    matter either: one block is worked on at a time, by functions that use several threads.

    Parameters
    ----------
    data : RowBlocks
    place : Place, default=the host
    sample_weight : ndarray of shape (n_samples,), float64, optional
    block_rows : int, optional
        Rows of a block, the last one apart; by default `PIECE_BYTES` of them.

    Attributes
    ----------
    n_passes : int
        How often all rows have been read.
    passing : callable
        ``passing(blocks, n_samples)`` gives the blocks of a pass, in their order, while it shows
        them to whoever waits. It may be replaced.
    """

    def __init__(
        self,
        data: RowBlocks,
        place: Place = HOST,
        sample_weight: np.ndarray | None = None,
        block_rows: int | None = None,
    ) -> None:
        self.place, self.n_features, self.dtype = place, data.n_features, data.dtype
        self.weighted = sample_weight is not None
        self.n_passes = 0
        self.passing: Passing = lambda blocks, _: blocks
        self._data, self._weight = data, sample_weight
        row_bytes = max(1, self.n_features * self.dtype.itemsize)
        self._block_rows = block_rows or max(1, PIECE_BYTES // row_bytes)
        self._n_samples = data.n_samples
        self._starts: list[int] = []  # of the blocks as they were given
        self._seen: list[tuple[int, int]] = []  # rows and checksum of every block
        self._caches: list[dict[str, Any]] = []

    @property
    def n_samples(self) -> int:
        if self._n_samples is None:
            self.map(_nothing)
        assert self._n_samples is not None
        return self._n_samples

    def map(self, function: Callable[..., Any], *broadcast: Any) -> list[Any]:
        with self.place.current():
            return [function(block, *broadcast) for block in self._pass()]

    def fold(
        self, function: Callable[..., Any], merge: Callable[[Any, Any], Any], *broadcast: Any
    ) -> Any:
        with self.place.current():
            return reduce(merge, (function(block, *broadcast) for block in self._pass()))

    def rowwise(self, function: Callable[..., Any], *broadcast: Any) -> Array:
        return np.concatenate(self.map(function, *broadcast))

    def where(self, row: int) -> str:
        if len(self._starts) <= 1:
            return f"row {row}"
        block = bisect_right(self._starts, row) - 1
        return f"row {row - self._starts[block]} of block {block} (row {row} of all)"

    def _pass(self) -> Iterator[Block]:
        return self.passing(self._blocks(), self._n_samples)

    def _blocks(self) -> Iterator[Block]:
        """The blocks of one pass, compared with those of earlier passes."""
        first, start = not self.n_passes, 0
        if first:  # also after a first pass that was broken off
            self._seen, self._caches = [], []
        pieces = self._recognised(first)
        for index, rows in enumerate(uploaded_blocks(pieces, self.place)):
            stop = start + rows.shape[0]
            weight = None if self._weight is None else self._weights(start, stop)
            yield Block(rows, weight, index, start, self._caches[index])
            start = stop
        self._ended(start)
        self.n_passes += 1

    def _recognised(self, first: bool) -> Iterator[np.ndarray]:
        start = 0
        for index, rows in enumerate(self._pieces()):
            self._recognise(index, start, rows, first)
            yield rows
            start += len(rows)

    def _recognise(self, index: int, start: int, rows: np.ndarray, first: bool) -> None:
        mark = len(rows), crc32(rows[[0, len(rows) // 2, -1]].tobytes())
        if first:
            self._seen.append(mark)
            self._caches.append({})
        elif index >= len(self._seen) or mark != self._seen[index]:
            self._refuse(f"rows {start} to {start + len(rows) - 1} are others")

    def _ended(self, n_rows: int) -> None:
        if n_rows == 0:
            found = "" if self._n_samples is None else f" at pass {self.n_passes + 1}"
            msg = f"X gives no rows{found}; a minimum of 1 is required at every pass."
            raise ValueError(msg)
        if self._n_samples is not None and n_rows != self._n_samples:
            self._refuse(f"it gives {n_rows} rows now, {self._n_samples} were announced")
        if self._weight is not None and len(self._weight) != n_rows:
            self._wrong_weights(n_rows)
        self._n_samples = n_rows

    def _refuse(self, what: str) -> None:
        msg = (
            f"X is not the same at every pass: {what} (pass {self.n_passes + 1}). A fit reads its "
            f"data several times; give the same rows in the same order each time."
        )
        raise ValueError(msg)

    def _weights(self, start: int, stop: int) -> Array:
        assert self._weight is not None
        if stop > len(self._weight):
            self._wrong_weights(f"at least {stop}")
        return asarray(self._weight[start:stop], self.place)

    def _wrong_weights(self, n_rows: int | str) -> None:
        assert self._weight is not None
        msg = (
            f"sample_weight.shape == {self._weight.shape}, but X has {n_rows} rows: "
            f"one weight a row."
        )
        raise ValueError(msg)

    def _pieces(self) -> Iterator[np.ndarray]:
        """The rows in blocks of `_block_rows`; views of the given blocks where possible."""
        size, n_waiting, start = self._block_rows, 0, 0
        waiting: list[np.ndarray] = []
        self._starts = []
        for block in self._data.blocks():
            self._starts.append(start)
            start += len(block)
            at = 0
            while len(block) - at >= size - n_waiting:
                part = block[at : at + size - n_waiting]
                at += len(part)
                yield np.concatenate([*waiting, part]) if waiting else part
                waiting, n_waiting = [], 0
            if at < len(block):
                waiting.append(block[at:] if self._data.lasting else np.array(block[at:]))
                n_waiting += len(block) - at
        if waiting:
            yield np.concatenate(waiting) if len(waiting) > 1 else waiting[0]


def _nothing(block: Block) -> None:
    """Look at no row, to count them."""
