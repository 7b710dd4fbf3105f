"""Assignment that skips the rows whose nearest centre cannot have changed (low dimension)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from kmgpu.kernels.cpu.compiled import njit
from kmgpu.kernels.cpu.nearest import nearest_rows, padded
from kmgpu.kernels.cpu.rows import STEP, Rows, frozen, groups
from kmgpu.threads import Workers


@njit(nogil=True, cache=True)
def follow(centers, reference, before, squared, gamma, c, drift):
    """Centres minus the reference, and how far their movement loosens the bounds.

    Parameters
    ----------
    centers : ndarray of shape (k, d), float64
    reference : ndarray of shape (d,), dtype of the computation, read-only
    before : ndarray of the shape of c, or of no rows
        What an earlier call wrote to c, if there was one.
    squared : bool
    gamma : float
    c : ndarray of shape (at least k, d), written
    drift : ndarray of shape (k + 1,), float64, updated
    """
    k, d = centers.shape
    moved = np.zeros(k)
    for j in range(k):
        for q in range(d):
            c[j, q] = centers[j, q] - reference[q]
            if before.shape[0]:
                step = abs(np.float64(c[j, q]) - np.float64(before[j, q]))
                moved[j] += step * step if squared else step
        if squared:
            moved[j] = np.sqrt(moved[j])
    furthest, first, second = 0, -1.0, 0.0
    for j in range(k):
        if moved[j] > first:
            furthest, first, second = j, moved[j], max(first, 0.0)
        else:
            second = max(second, moved[j])
    for j in range(k):
        other = second if j == furthest else first
        drift[j + 1] += (moved[j] + other) * (1 + 2 * np.float64(gamma))


class RowBounds:
    """Labels of rows for a sequence of centres, with one bound a row.

    When a row was last visited, ``gap`` = (distance to the second nearest centre) - (distance to
    the nearest). Later its own centre j has moved by at most U, every other one by at most D, so
    the row keeps its label while ``gap > U + D`` (Hamerly, "Making k-means even faster", SDM 2010).
    With ``drift[j]``, the sum of U + D over all iterations, ``slack = gap + drift[j]`` at the visit
    is compared with the present ``drift[j]``: settled rows are only read, never rewritten.

    Rounding. A computed distance is ``(1 + e)`` times that of the rounded row and centre with
    ``|e| <= gamma = (d + 4) eps`` (d + 2 roundings of non-negative terms in any order, halved and
    one more by the square root). A label is certain to be the one a full search computes if
    ``second (1 - gamma) > best (1 + gamma)`` for the true distances; each is known within
    another factor ``1 ± gamma``, hence ``1 ± 3 gamma`` in the gap, and ``1 + gamma`` on drifts.
    Squares that underflow lose at most ``sqrt(d * smallest normal)``, called ``tiny``.

    Parameters
    ----------
    data : Rows
    n_clusters : int
    squared : bool
        Squared Euclidean costs, or else Manhattan costs.
    workers : Workers
    algorithm : {"auto", "dense", "elkan"}
        "dense" visits every row at every assignment; bounds cost too little to be left out else.
    """

    def __init__(
        self, data: Rows, n_clusters: int, squared: bool, workers: Workers, algorithm: str = "auto"
    ) -> None:
        self.data = data
        self.labels = np.full(data.n, -1, np.int32)
        self._squared, self._dense = squared, algorithm == "dense"
        self._l1 = None if squared else True
        self._workers = workers
        info: Any = np.finfo(data.dtype)
        self._gamma = data.dtype.type((data.d + 4) * info.eps)
        self._tiny = data.dtype.type(4 * np.sqrt(data.d * float(info.tiny)))
        self._slack = np.full(data.n, -np.inf, np.float32)
        # after an infinity for rows that have no label yet
        self._drift = np.zeros(n_clusters + 1)
        self._drift[0] = np.inf
        self._centers: np.ndarray | None = None

    def assign(self, centers: np.ndarray, visit: Callable) -> None:
        """Set ``labels`` to the nearest centres.

        Parameters
        ----------
        centers : ndarray of shape (n_clusters, n_features), float64
        visit : callable
            ``visit(group, lo, block, rows, old)`` for every range of rows, in any order but each
            group in its own order: ``lo + rows`` changed label, from ``old`` (-1: none yet).
        """
        c = self._shifted(centers)
        data = self.data
        if self._dense:
            self._slack[:] = -np.inf
        drift = frozen(self._drift)
        limit = drift.astype(np.float32)
        limit = frozen(np.where(limit < drift, np.nextafter(limit, np.float32(np.inf)), limit))

        def work(item: tuple[int, int, int]) -> None:
            group, begin, end = item
            rows, old = self._workers.scratch("moved", (2, STEP), np.int32)
            for lo, hi in data.steps(begin, end):
                block = data.block(lo, hi)
                changed = nearest_rows(
                    block, data.reference, c, self._l1, self._gamma, self._tiny, drift, limit,
                    self.labels[lo:hi], self._slack[lo:hi], rows, old,
                )  # fmt: skip
                if changed:
                    visit(group, lo, block, rows[:changed], old[:changed])

        self._workers.map(work, groups(data.n))

    def forget(self, rows: np.ndarray) -> None:
        """Visit these rows at the next assignment, whatever their bounds say."""
        self._slack[rows] = -np.inf

    def _shifted(self, centers: np.ndarray) -> np.ndarray:
        """Padded centres minus the reference; adds their movement to the drifts."""
        k, d = centers.shape
        c = np.full((padded(k), d), np.inf, self.data.dtype)
        before = c[:0] if self._centers is None else self._centers
        follow(centers, self.data.reference, before, self._squared, self._gamma, c, self._drift)
        self._centers = c
        return frozen(c)
