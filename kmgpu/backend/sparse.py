"""Sparse rows as the algorithm reads them: CSR in canonical form, float32 or float64."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csc_array, csr_array

# nonzeros that are looked at in one go where there is no budget for it
CHUNK = 1 << 18


class SparseRows(csr_array):
    """Rows in CSR: indices ascend in each row, none twice; `data` are float32 or float64."""

    @cached_property
    def columns(self) -> csc_array:
        """The same matrix by columns: a copy, made once."""
        return self.tocsc()

    @cached_property
    def squares(self) -> np.ndarray:
        """Squared length of every row, (n_samples,), float64."""
        return self._added(np.square)

    @cached_property
    def absolutes(self) -> np.ndarray:
        """Sum of absolute values of every row, (n_samples,), float64."""
        return self._added(np.abs)

    def sizes(self, squared: bool) -> np.ndarray:
        return self.squares if squared else self.absolutes

    def block(self, start: int, stop: int) -> csr_array:
        """Rows start:stop on the same memory."""
        first, last = self.indptr[start], self.indptr[stop]
        return compressed(
            self.data[first:last],
            self.indices[first:last],
            self.indptr[start : stop + 1] - first,
            self.shape[1],
        )

    def ranges(self, row_bytes: int, nonzero_bytes: int, budget: int) -> Iterator[tuple[int, int]]:
        """Ranges ``(start, stop)`` of rows, each within `budget` bytes, at least one row."""
        return ranges(self.indptr, row_bytes, nonzero_bytes, budget)

    def _added(self, function: Any) -> np.ndarray:
        sums = np.empty(self.shape[0])
        for start, stop in self.ranges(0, 1, CHUNK):
            block = self.block(start, stop)
            with np.errstate(over="ignore"):
                sums[start:stop] = row_sums(function(block.data.astype(np.float64)), block)
        return sums


def scaled_rows(x: SparseRows) -> tuple[SparseRows, np.ndarray]:
    """Every row divided by its Euclidean length, and the numbers of rows of zeros."""
    sizes = np.diff(x.indptr)
    member = np.repeat(np.arange(x.shape[0]), sizes)
    most = np.zeros(x.shape[0])
    np.maximum.at(most, member, np.abs(x.data).astype(np.float64))
    with np.errstate(all="ignore"):
        data = x.data.astype(np.float64) / np.where(most == 0, 1.0, most)[member]
        # bincount adds one after the other, as the dense rows are added
        length = np.sqrt(np.bincount(member, data * data, minlength=x.shape[0]))
        data = (data / np.where(most == 0, 1.0, length)[member]).astype(x.dtype)
    made = SparseRows((data, x.indices, x.indptr), shape=x.shape)
    return made, np.flatnonzero(most == 0)


class Block(NamedTuple):
    """Some rows, and the size of each: squared length or sum of absolute values, float64."""

    rows: csr_array
    sizes: np.ndarray

    def take(self, which: np.ndarray) -> Block:
        return Block(self.rows[which], self.sizes[which])


def ranges(
    indptr: np.ndarray, row_bytes: int, nonzero_bytes: int, budget: int
) -> Iterator[tuple[int, int]]:
    """Ranges of rows (or columns) of a compressed matrix within `budget` bytes; at least one."""
    taken = indptr.astype(np.int64) * nonzero_bytes
    taken += np.arange(len(indptr), dtype=np.int64) * row_bytes
    start, n = 0, len(indptr) - 1
    while start < n:
        stop = int(np.searchsorted(taken, taken[start] + budget, side="right")) - 1
        stop = min(n, max(stop, start + 1))
        yield start, stop
        start = stop


def row_sums(values: np.ndarray, rows: csr_array) -> np.ndarray:
    """Sums of `values`, one for each nonzero of `rows`, over every row; added in their order."""
    n, d = rows.shape
    ones = np.ones(d)
    return compressed(values, rows.indices, rows.indptr, d) @ ones if n else np.empty(0)


def canonical(x: Any) -> SparseRows:
    """`x` (any SciPy format, any real dtype) as `SparseRows`; on the same memory where possible.

    Entries stored more than once are added in their order and in their dtype, as ``toarray`` adds
    them. The caller's matrix is left as it is.
    """
    if isinstance(x, SparseRows):
        return x
    rows = csr_array(x, copy=False)
    if rows.dtype == np.float16:  # SciPy adds and multiplies none
        rows = rows.astype(np.float32)
    if not rows.has_canonical_format:
        rows = _added_up(rows)
    narrow = rows.dtype.kind == "f" and rows.dtype.itemsize <= 4
    data = rows.data.astype(np.float32 if narrow else np.float64, copy=False)
    made = SparseRows((data, rows.indices, rows.indptr), shape=rows.shape, copy=False)
    made.has_canonical_format = True
    return made


def _added_up(rows: csr_array) -> csr_array:
    """A copy in canonical form. SciPy's own sort is unstable: three equal indices change order."""
    count = np.diff(rows.indptr)
    stored = int(rows.indptr[-1])
    row = np.repeat(np.arange(rows.shape[0]), count)
    order = np.lexsort((rows.indices[:stored], row))
    made = csr_array(
        (rows.data[:stored][order], rows.indices[:stored][order], rows.indptr.copy()),
        shape=rows.shape,
    )
    made.has_sorted_indices = True
    made.sum_duplicates()
    return made


def compressed(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, d: int) -> csr_array:
    """Canonical CSR on these arrays. SciPy's constructor would copy a part of a larger array."""
    made = csr_array((len(indptr) - 1, d), dtype=data.dtype)
    made.data, made.indices, made.indptr = data, indices, indptr
    made.has_canonical_format = True
    return made
