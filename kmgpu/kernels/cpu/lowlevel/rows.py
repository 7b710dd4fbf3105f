"""What the engines share: rows as floats, and fixed groups of them."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.lowlevel.compiled import njit

GROUPS = 32
STEP = 1 << 16
CONVERTED = 1 << 16
SAMPLE = 512
SAMPLED = 1 << 20
# between these lengths float32 holds the squares, and those of differences that it resolves
SHORTEST = float(np.sqrt(np.finfo(np.float32).tiny) / np.finfo(np.float32).eps)
LONGEST = float(np.sqrt(np.finfo(np.float32).max) / 8)


class Rows:
    """Read-only rows in a floating dtype, converted block by block where they are stored otherwise.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        float32 and float64 are used in place; what float32 holds exactly by its dtype becomes
        that, anything else float64, as does float32 whose squares it cannot hold.
    most_groups : int
        See `groups`.

    Attributes
    ----------
    in_place : bool
        Whether `block` copies nothing.
    groups : tuple of (group, lo, hi)
        Fixed ranges of rows; what is summed over rows is summed by them.
    reference : ndarray of shape (n_features,), dtype of the computation
        Coordinatewise upper median of some rows. Costs are computed on ``x - reference``, so that
        data far from the origin lose nothing.
    """

    def __init__(self, X: np.ndarray, most_groups: int = GROUPS) -> None:
        self.n, self.d = X.shape
        self.stored = X.view()
        self.stored.flags.writeable = False
        self.dtype = working_dtype(X)
        self.in_place = bool(X.flags.c_contiguous) and X.dtype == self.dtype
        self.eps = float(np.finfo(self.dtype).eps)
        self.groups = groups(self.n, most_groups)
        reference = np.empty(self.d, self.dtype)
        for features, sample in sampled_features(X, SAMPLE, self.dtype):
            reference[features] = np.sort(sample, axis=0)[len(sample) // 2]
        self.reference = frozen(reference)

    def block(self, lo: int, hi: int) -> np.ndarray:
        """Rows ``lo`` to ``hi`` as a read-only C-contiguous float array; a view where possible."""
        if self.in_place:
            return self.stored[lo:hi]
        return frozen(np.ascontiguousarray(self.stored[lo:hi], dtype=self.dtype))

    def steps(self, lo: int, hi: int) -> Iterable[tuple[int, int]]:
        """Split a group into ranges short enough for scratch memory to stay small."""
        step = STEP if self.in_place else max(256, min(STEP, CONVERTED // self.d))
        return ((a, min(a + step, hi)) for a in range(lo, hi, step))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Chosen rows as a read-only float array."""
        return frozen(self.stored[rows].astype(self.dtype, copy=False))


def _sample(X: np.ndarray) -> np.ndarray:
    return X[:: max(1, len(X) // min(SAMPLE, max(16, SAMPLED // (8 * X.shape[1]))))]


def working_dtype(X: np.ndarray) -> np.dtype:
    """float32 where it holds all of X by its dtype, and the squares of most rows; else float64.

    What the other rows lose by it is found out, row by row, and ranked in float64.
    """
    narrow = X.dtype == np.float32 or X.dtype.itemsize <= 2
    if X.dtype == np.float32:
        sample = _sample(X)
        longest = max(float(sample.max()), -float(sample.min()))
        narrow = SHORTEST < longest < LONGEST / np.sqrt(X.shape[1])
    return np.dtype(np.float32 if narrow else np.float64)


def sampled_features(
    X: np.ndarray, n_rows: int, dtype: Any = np.float64
) -> Iterator[tuple[slice, np.ndarray]]:
    """Every k-th row, `n_rows` to twice as many: some features at a time, as copies of `dtype`.

    A copy takes about `SAMPLED` bytes, however wide X is.
    """
    sample = X[:: max(1, len(X) // n_rows)]
    some = max(1, SAMPLED // (len(sample) * np.dtype(dtype).itemsize))
    for first in range(0, X.shape[1], some):
        features = slice(first, first + some)
        yield features, np.array(sample[:, features], dtype)


def frozen(a: np.ndarray) -> np.ndarray:
    """A read-only view: compiled functions then see one type only, and compile once."""
    a = a.view()
    a.flags.writeable = False
    return a


@lru_cache(maxsize=64)  # a process may meet any number of row counts
def groups(n: int, most: int = GROUPS) -> tuple[tuple[int, int, int], ...]:
    """(group, lo, hi): at most ``most`` ranges of rows that depend on the arguments alone."""
    count = max(1, min(most, GROUPS, n // 2048))
    edges = [g * n // count for g in range(count + 1)]
    return tuple((g, edges[g], edges[g + 1]) for g in range(count))


def weight_of(sample_weight: np.ndarray | None) -> np.ndarray:
    """Read-only float64 weights; an empty array stands for "all one"."""
    if sample_weight is None:
        return frozen(np.empty(0))
    return frozen(np.ascontiguousarray(sample_weight, dtype=np.float64))


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def own_costs(x, centers, labels, squared, out):
    """Float64 cost of every row at its own centre.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), float32 or float64
    centers : ndarray of shape (n_clusters, n_features), float64
    labels : ndarray of shape (m,), int32
    squared : bool
        Squared Euclidean distance, or else Manhattan distance.
    out : ndarray of shape (m,), float64, written
    """
    for i in range(x.shape[0]):
        j = labels[i]
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
    """Cost of every row at its centre, (n_samples,), float64; see `own_costs`."""
    out = np.empty(data.n)
    centers = frozen(np.ascontiguousarray(centers))

    def work(item: tuple[int, int, int]) -> None:
        for lo, hi in data.steps(item[1], item[2]):
            own_costs(data.block(lo, hi), centers, labels[lo:hi], squared, out[lo:hi])

    workers.map(work, data.groups)
    return out
