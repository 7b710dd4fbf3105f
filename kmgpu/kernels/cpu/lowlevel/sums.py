"""Sums of rows by cluster about an origin amid the data, and means that lose digits beside it."""

from collections.abc import Callable

import numpy as np

from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.rows import CONVERTED, frozen
from kmgpu.kernels.departed import lost_too_much as plain_lost

ORIGIN_ROWS = 128  # that choose an origin, up to twice as many;
ORIGIN_NUMBERS = 1 << 19  # fewer, but 16, where they have more numbers
HIDDEN = 2.0**-40  # of the origin's squared length: shorter means keep less than 32 bits beside it

lost_too_much = njit(nogil=True, cache=True)(plain_lost)


def origin_of(X: np.ndarray) -> np.ndarray:
    """An origin for sums of the rows of X, and products with them, (n_features,), float64.

    It is the upper median of some rows where these lie far from zero; else it is zero: then rows
    are multiplied without a copy, and sums of few rows are exact more often.
    """
    n, d = X.shape
    sample = X[:: max(1, n // min(ORIGIN_ROWS, max(16, ORIGIN_NUMBERS // d)))].astype(np.float64)
    middle = np.partition(sample, len(sample) // 2, axis=0)[len(sample) // 2].copy()
    with np.errstate(over="ignore", invalid="ignore"):
        if not middle @ middle > ((sample - middle) ** 2).sum(axis=1).mean():
            middle[:] = 0.0
    return middle


@njit(nogil=True, cache=True)
def add_rows(X, ref, weight, rows, labels, sign, sums):
    """Add ``sign * weight * (X - ref)`` of some rows to the sums of their clusters, in order.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64, read-only
    ref : ndarray of shape (n_features,), float32 or float64
    weight : ndarray of shape (n_samples,) or (0,), float64, read-only
    rows : ndarray of shape (m,), int64
    labels : ndarray of shape (m,), int32
    sign : float
    sums : ndarray of shape (n_clusters, n_features), float64, added to
    """
    for e in range(rows.shape[0]):
        i = rows[e]
        factor = sign * (weight[i] if weight.size else 1.0)
        x = X[i]
        total = sums[labels[e]]
        for p in range(x.shape[0]):
            total[p] += factor * (np.float64(x[p]) - np.float64(ref[p]))


def about_zero(
    take: Callable[[np.ndarray], np.ndarray],
    weight: np.ndarray,
    labels: np.ndarray,
    sizes: np.ndarray,
    masses: np.ndarray,
    origin: np.ndarray,
    centers: np.ndarray,
) -> None:
    """Replace means so near zero that they keep few bits beside a distant origin of sums.

    Their clusters are added up again about zero.

    Parameters
    ----------
    take : callable
        ``take(rows)`` gives rows by their numbers, (m, n_features), float32 or float64.
    weight : ndarray of shape (n,) or (0,), float64
        Empty: all one.
    labels : ndarray of shape (n,), int32
    sizes, masses : ndarrays of shape (n_clusters,), int64 and float64
    origin : ndarray of shape (n_features,), float64
    centers : ndarray of shape (n_clusters, n_features), float64, updated
    """
    if not origin.any():
        return
    lengths = np.einsum("jp,jp->j", centers, centers)
    hidden = (lengths < HIDDEN * (origin @ origin)) & (sizes > 0)
    if not hidden.any():
        return
    rows = np.flatnonzero(hidden[labels])
    sums, step = np.zeros_like(centers), max(256, CONVERTED // len(origin))
    for first in range(0, len(rows), step):
        some = rows[first : first + step]
        x, part = frozen(take(some)), frozen(weight[some] if weight.size else weight)
        zero = np.zeros(origin.shape, x.dtype)
        add_rows(x, zero, part, np.arange(len(some)), labels[some], 1.0, sums)
    centers[hidden] = sums[hidden] / masses[hidden, None]
