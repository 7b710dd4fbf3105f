"""Assignment that skips the rows whose nearest centre cannot have changed (low dimension)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.lowdim.nearest import FARTHEST, nearest_rows, padded
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.rows import Rereading, Rows, frozen, label_ranges, unseen
from kmgpu.kernels.cpu.lowlevel.tile_costs import l1_of

ONE_SUM = 64  # features; more are added as sums of sums, so that rounding stays small


@njit(nogil=True, cache=True)
def follow(centers, first, reference, squared, tiny, exact, c, loose, drift, capped, limit):
    """Place the centres about the reference, and add their movement to the drifts.

    Parameters
    ----------
    centers : ndarray of shape (k, d), float64
    first : bool
        Whether there was no earlier call.
    reference : ndarray of shape (d,), dtype of the computation, read-only
    squared : bool
    tiny : float
        How much of a movement may be lost where squares underflow.
    exact : ndarray of shape (at least k, d), float64, updated
        The centres of the earlier call become these.
    c : ndarray of shape (at least k, d), dtype of the computation, written
        Cut off where the dtype cannot hold a centre, so always finite.
    loose : ndarray of shape (at least k,), float64, written
        What rounding x and the centres may take off the gap of a row of that label, beyond a share
        of its two distances; see `RowBounds`.
    drift : ndarray of shape (k + 1,), float64, updated
        Entry j + 1 is the drift of centre j.
    capped, limit : ndarrays of shape (k + 1,), float64 and float32, written
        The drifts, at most `FARTHEST`; and rounded up.
    """
    k, d = centers.shape
    kind = c.dtype.type
    most = np.finfo(c.dtype).max
    moved = np.zeros(k)
    for j in range(k):
        length, still = 0.0, True
        for q in range(d):
            apart = centers[j, q] - np.float64(reference[q])
            c[j, q] = kind(max(min(apart, most), -most))
            length += apart * apart if squared else abs(apart)
            if not first and centers[j, q] != exact[j, q]:
                still = False
                step = abs(centers[j, q] - exact[j, q])
                moved[j] += step * step if squared else step
            exact[j, q] = centers[j, q]
        if squared:
            length, moved[j] = np.sqrt(length), np.sqrt(moved[j])
        moved[j] += 0.0 if still else tiny
        loose[j] = 2 * np.finfo(c.dtype).eps * length
    furthest, most_moved, second = 0, -1.0, 0.0
    for j in range(k):
        if moved[j] > most_moved:
            furthest, most_moved, second = j, moved[j], max(most_moved, 0.0)
        else:
            second = max(second, moved[j])
    for j in range(k):
        other = second if j == furthest else most_moved
        drift[j + 1] += (moved[j] + other) * (1 + (d + 8) * np.finfo(np.float64).eps)
    for j in range(k + 1):
        capped[j] = min(drift[j], FARTHEST)
        near = np.float32(drift[j])
        limit[j] = near if near >= drift[j] else np.nextafter(near, np.float32(np.inf))


class RowBounds(Rereading):
    """Labels of rows for a sequence of centres, with one bound a row.

    When a row was last visited, ``gap`` = (distance to the second nearest centre) - (distance to
    the nearest). Later its own centre j has moved by at most U, every other one by at most D, so
    the row keeps its label while ``gap > U + D`` (Hamerly, "Making k-means even faster", SDM 2010).
    ``drift[j]`` is the sum of U + D over all iterations. What is stored in ``gaps`` is the gap plus
    ``drift[j]`` at the visit, and the row is settled while that exceeds the present ``drift[j]``.
    So settled rows are only read, never rewritten.

    Rounding. With u the unit roundoff of the computation, a computed distance is
    ``1 + e, |e| <= (d + 2) u`` times that of the rounded row and centre (d + 2 roundings of
    non-negative terms). Rounding x - r and c - r, r the reference, changes the distance by at most
    ``u (|x - r| + |c - r|)``. By the triangle inequality ``|c - r|`` is at most the distance plus
    ``|x - r|``, and ``|x - r|`` at most the distance to the nearest centre plus its ``|c - r|``. So
    the gap errs by less than ``gamma = 2 (d + 8) u`` times the two distances, plus
    ``loose = 4 u |c - r|`` of the nearest. Squares that underflow hide at most ``tiny``. Rows whose
    gap is not certain after all this are ranked by float64 costs, which err by less.

    Parameters
    ----------
    data : Rows
    n_clusters : int
    squared : bool
        Squared Euclidean costs, or else Manhattan costs.
    workers : Workers
    algorithm : {"auto", "dense", "elkan"}
        "dense" visits every row at every assignment; otherwise bounds are used, as they cost
        little.
    """

    def __init__(
        self, data: Rows, n_clusters: int, squared: bool, workers: Workers, algorithm: str = "auto"
    ) -> None:
        self.data = data
        self.labels = np.full(data.n, -1, np.int32)
        self._squared, self._dense = squared, algorithm == "dense"
        self._l1 = l1_of(squared)
        self._pieces = True if data.d > ONE_SUM else None
        self._workers = workers
        info: Any = np.finfo(data.dtype)
        self._gamma = data.dtype.type((data.d + 8) * info.eps)
        least = float(info.tiny)
        self._tiny = data.dtype.type(4 * (np.sqrt(data.d * least) if squared else data.d * least))
        self._gaps = np.full(data.n, -np.inf, np.float32)
        self._drift = np.zeros(n_clusters + 1)
        self._drift[0] = np.inf  # of rows that have no label yet
        # what `follow` writes, and beyond the centres what `nearest_rows` wants there
        shape, far = (padded(n_clusters), data.d), np.finfo(data.dtype).max / 4
        self._exact, self._c = np.full(shape, np.inf), np.full(shape, far, data.dtype)
        self._loose, self._capped = np.full(shape[0], np.inf), np.empty(n_clusters + 1)
        self._limit, self._first = np.empty(n_clusters + 1, np.float32), True

    def assign(self, centers: np.ndarray, visit: Callable = unseen) -> None:
        """Set ``labels`` to the nearest centres.

        Parameters
        ----------
        centers : ndarray of shape (n_clusters, n_features), float64, C-contiguous
        visit : callable
            See `lowlevel.rows.label_ranges`.
        """
        data = self.data
        follow(
            centers, self._first, data.reference, self._squared, float(self._tiny),
            self._exact, self._c, self._loose, self._drift, self._capped, self._limit,
        )  # fmt: skip
        self._first = False
        c, loose, exact = frozen(self._c), frozen(self._loose), frozen(self._exact)
        drift, limit = frozen(self._capped), frozen(self._limit)
        if self._dense:
            self._gaps[:] = -np.inf

        def label(block: np.ndarray, lo: int, hi: int, rows: np.ndarray, old: np.ndarray) -> int:
            return nearest_rows(
                block, data.reference, c, self._l1, self._pieces, self._gamma, self._tiny,
                loose, exact, drift, limit, self.labels[lo:hi], self._gaps[lo:hi], rows, old,
            )  # fmt: skip

        label_ranges(data, self._workers, label, visit)

    def forget(self, rows: np.ndarray) -> None:
        """Visit these rows at the next assignment, whatever their bounds say."""
        self._gaps[rows] = -np.inf
