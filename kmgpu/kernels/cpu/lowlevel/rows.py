"""What the engines share: rows as floats, fixed ranges of them, and the costs of given labels."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.lowlevel.compiled import njit

RANGES = 32  # of rows, at most: sums over rows are sums of so many sums
LEAST_RANGE = 2048  # rows
MOST_ROWS = 1 << 16  # of one block
CONVERTED = 1 << 16  # numbers of one block, where rows must be converted
SAMPLE = 512  # rows that choose a reference
SAMPLED = 1 << 20  # bytes of one copy of sampled features
# lengths whose squares float32 holds, also those of the differences that it resolves
SHORTEST = float(np.sqrt(np.finfo(np.float32).tiny) / np.finfo(np.float32).eps)
LONGEST = float(np.sqrt(np.finfo(np.float32).max) / 8)


class Rows:
    """Read-only rows in a floating dtype; rows of other dtypes are converted block by block.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        C-contiguous rows of the dtype of the computation, see `working_dtype`, are used in place.
    most_ranges : int
        See `row_ranges`.

    Attributes
    ----------
    in_place : bool
        Whether `block` copies nothing.
    row_ranges : tuple of (index, lo, hi)
        Fixed ranges of rows. Every sum over rows is a sum of the sums of these.
    reference : ndarray of shape (n_features,), dtype of the computation
        Coordinatewise upper median of some rows. Fast costs are computed from ``x - reference``,
        so that data far from the origin lose nothing.
    """

    def __init__(self, X: np.ndarray, most_ranges: int = RANGES) -> None:
        self.n, self.d = X.shape
        self.stored = frozen(X)
        self.dtype = working_dtype(X)
        self.in_place = bool(X.flags.c_contiguous) and X.dtype == self.dtype
        self.eps = float(np.finfo(self.dtype).eps)
        self.row_ranges = row_ranges(self.n, most_ranges)

    @cached_property
    def reference(self) -> np.ndarray:
        reference = np.empty(self.d, self.dtype)
        for features, sample in sampled_features(self.stored, SAMPLE, self.dtype):
            reference[features] = np.sort(sample, axis=0)[len(sample) // 2]
        return frozen(reference)

    def turn_to(self, X: np.ndarray) -> None:
        """Read the rows from here on, which are the same; see `let_go`."""
        self.stored = frozen(X)

    def let_go(self) -> None:
        """Hold the rows no longer, until `turn_to`."""
        self.stored = None  # type: ignore[assignment]

    def block(self, lo: int, hi: int) -> np.ndarray:
        """Rows ``lo`` to ``hi`` as a read-only C-contiguous float array; a view where possible."""
        if self.in_place:
            return self.stored[lo:hi]
        return frozen(np.ascontiguousarray(self.stored[lo:hi], dtype=self.dtype))

    def ranges(self, lo: int, hi: int) -> Iterable[tuple[int, int]]:
        """Split the rows lo to hi into blocks so short that scratch memory stays small."""
        step = MOST_ROWS if self.in_place else max(256, min(MOST_ROWS, CONVERTED // self.d))
        return ((a, min(a + step, hi)) for a in range(lo, hi, step))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Chosen rows as a read-only float array."""
        return frozen(self.stored[rows].astype(self.dtype, copy=False))


class Rereading:
    """Bounds that wait between assignments without the rows, which are given to them again."""

    data: Rows
    _workers: Workers

    def turn_to(self, X: np.ndarray, workers: Workers) -> None:
        """Read the rows from here on, which are the same; see `let_go`."""
        self.data.turn_to(X)
        self._workers = workers

    def let_go(self) -> None:
        """Hold neither the rows nor what threads keep, until `turn_to`."""
        self.data.let_go()
        self._workers = None  # type: ignore[assignment]


def working_dtype(X: np.ndarray) -> np.dtype:
    """The dtype to compute in: float32 or float64.

    float32 where X is float32 and the squares of most rows fit, or where float32 holds every number
    of the dtype of X. A row that is too long for it is found out and ranked in float64.
    """
    narrow = X.dtype == np.float32 or X.dtype.itemsize <= 2
    if X.dtype == np.float32:
        n_rows = min(SAMPLE, max(16, SAMPLED // (8 * X.shape[1])))
        sample = X[:: max(1, len(X) // n_rows)]
        longest = max(float(sample.max()), -float(sample.min()))
        narrow = SHORTEST < longest < LONGEST / np.sqrt(X.shape[1])
    return np.dtype(np.float32 if narrow else np.float64)


def sampled_features(
    X: np.ndarray, n_rows: int, dtype: Any = np.float64
) -> Iterator[tuple[slice, np.ndarray]]:
    """Copies, of `dtype`, of every k-th row: some features at a time, about `SAMPLED` bytes each.

    There are `n_rows` to twice as many sampled rows, or all if X has fewer.
    """
    sample = X[:: max(1, len(X) // n_rows)]
    some = max(1, SAMPLED // (len(sample) * np.dtype(dtype).itemsize))
    for first in range(0, X.shape[1], some):
        features = slice(first, first + some)
        yield features, np.array(sample[:, features], dtype)


def frozen(a: np.ndarray) -> np.ndarray:
    """A read-only view. Numba compiles read-only and writable arrays apart; so it compiles once."""
    a = a.view()
    a.flags.writeable = False
    return a


@lru_cache(maxsize=64)  # a process may meet any number of row counts
def row_ranges(n: int, most: int = RANGES) -> tuple[tuple[int, int, int], ...]:
    """Split n rows into ranges ``(index, lo, hi)`` that depend on the arguments alone."""
    count = max(1, min(most, RANGES, n // LEAST_RANGE))
    edges = [i * n // count for i in range(count + 1)]
    return tuple((i, edges[i], edges[i + 1]) for i in range(count))


def weight_of(sample_weight: np.ndarray | None) -> np.ndarray:
    """Weights as compiled functions take them, float64, read-only: empty where all are one."""
    if sample_weight is None:
        return frozen(np.empty(0))
    return frozen(np.ascontiguousarray(sample_weight, dtype=np.float64))


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def own_costs(x, centers, labels, squared, out):
    """Write the float64 cost of every row at its own centre.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), float32 or float64, read-only
    centers : ndarray of shape (n_clusters, n_features), float64, read-only
    labels : ndarray of shape (m,), int32
    squared : bool
        Squared Euclidean distance, or else Manhattan distance.
    out : ndarray of shape (m,), float64, written
    """
    for i in range(x.shape[0]):
        j = labels[i]  # no views of rows: where rows are short, they would take most of the time
        s = 0.0
        if squared:
            for q in range(x.shape[1]):
                v = np.float64(x[i, q]) - centers[j, q]
                s += v * v
        else:
            for q in range(x.shape[1]):
                s += abs(np.float64(x[i, q]) - centers[j, q])
        out[i] = s


def costs_at(
    data: Rows, centers: np.ndarray, labels: np.ndarray, squared: bool, workers: Workers
) -> np.ndarray:
    """Cost of every row at its own centre, shape (n_samples,), float64, by several threads."""
    out = np.empty(data.n)
    centers = frozen(np.ascontiguousarray(centers))

    def work(item: tuple[int, int, int]) -> None:
        for lo, hi in data.ranges(item[1], item[2]):
            own_costs(data.block(lo, hi), centers, labels[lo:hi], squared, out[lo:hi])

    workers.map(work, data.row_ranges)
    return out


def unseen(*_: Any) -> None:
    """A `visit` of `label_ranges` for those who ask for labels alone."""


def label_ranges(
    data: Rows, workers: Workers, label: Callable[..., int], visit: Callable[..., None]
) -> None:
    """Label all rows, range by range, by several threads.

    Parameters
    ----------
    data : Rows
    workers : Workers
    label : callable
        ``label(block, lo, hi, rows, old)`` labels the rows lo to hi - 1, which `block` holds. It
        writes those whose label changed, less lo, to `rows`, and the label that each had, -1 for
        none, to `old`; it returns how many.
    visit : callable
        Called as ``visit(index, lo, block, rows, old)`` where labels changed; `index` is that of
        the range of rows. Calls of one range come in the order of its rows; ranges may mix.
    """
    longest = min(MOST_ROWS, max(hi - lo for _, lo, hi in data.row_ranges))

    def work(item: tuple[int, int, int]) -> None:
        index, begin, end = item
        rows, old = workers.scratch("moved", (2, longest), np.int32)
        for lo, hi in data.ranges(begin, end):
            block = data.block(lo, hi)
            changed = label(block, lo, hi, rows, old)
            if changed:
                visit(index, lo, block, rows[:changed], old[:changed])

    workers.map(work, data.row_ranges)
