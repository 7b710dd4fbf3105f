"""Manhattan assignment of many features: bounds to groups of centres skip most distances.

Where a bound for every row and centre fits the memory budget, these are the bounds of Elkan ("Using
the triangle inequality to accelerate k-means", ICML 2003). Else centres that follow each other form
a centre group, and there is one bound for every row and centre group (Yinyang: Ding et al., ICML
2015). Both need the triangle inequality alone, so they hold for Manhattan distance.
"""

from collections.abc import Callable

import numpy as np

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.lowdim.nearest import padded
from kmgpu.kernels.cpu.lowlevel.rows import (
    CONVERTED,
    Rereading,
    Rows,
    frozen,
    label_ranges,
    own_costs,
    unseen,
)
from kmgpu.kernels.cpu.lowlevel.tile_costs import l1_of
from kmgpu.kernels.cpu.medians.grouped_kernels import Centers, prune_rows, search_rows
from kmgpu.kernels.cpu.medians.rounding import EPS, rounding_of

DENSE_SHARE = 0.35  # of open (row, centre group) pairs, above which computing all costs less
PROBE = 512  # rows that tell the share


class CenterGroupBounds(Rereading):
    """Labels of rows for a sequence of centres, in Manhattan distance.

    - ``lower[i, g]`` is a lower bound of the distances of row i to the centres of centre group g,
      its own centre left out, plus the largest movements of that group until then. So it is
      rewritten only where a distance is computed again.
    - ``upper[i]`` is an upper bound of the distance to the own centre, minus the movement of that
      centre until then.
    - ``gaps[i]`` is the gap of `lowdim.bounds.RowBounds`.

    Where a probe of some rows finds that bounds settle too few pairs, `search_rows` computes all
    distances; else `prune_rows` computes those that the bounds leave open.

    Rounding. Bounds are of the true distances, between rows and float64 centres. Distances are
    computed from rows and centres that are rounded about the reference. Both ways of summing add at
    most ``d / 32 + 72`` roundings to one term; the costs of `lowlevel.exact`, which define labels,
    add at most ``d + 2`` of float64. ``gamma`` counts both, and ``1 ± 3 gamma`` in stored bounds
    then keeps every label that those costs could choose. Rounding about the reference changes a
    distance by at most half an eps of the lengths of row and centre; `rounding.error_of` adds that.
    Where the nearest two centres of a row stay open, `lowlevel.exact` ranks them. Stored float32
    values take another 2^-21, and 2^-126 where they underflow.

    Parameters
    ----------
    data : Rows
    n_clusters : int
    workers : Workers
    budget : int
        Bytes for labels and bounds; there is one centre group at least.
    algorithm : {"auto", "dense", "elkan"}
        Choose between distances and bounds; or force one of them.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,), int32
    lower : ndarray of shape (n_samples, n_center_groups), float32
    upper : ndarray of shape (n_samples,), float32
    """

    def __init__(
        self,
        data: Rows,
        n_clusters: int,
        workers: Workers,
        budget: int,
        algorithm: str = "auto",
    ) -> None:
        self.data = data
        self.labels = np.full(data.n, -1, np.int32)
        self._workers, self._algorithm = workers, algorithm
        self._rounding = rounding_of(data)
        n_center_groups = max(1, min(n_clusters, budget // (4 * data.n) - 3))
        edges = np.arange(n_center_groups + 1, dtype=np.int64) * n_clusters // n_center_groups
        self._edges = frozen(edges)
        self.lower = np.empty((data.n, n_center_groups), np.float32)
        self.upper = np.empty(data.n, np.float32)
        self._gaps = np.full(data.n, -np.inf, np.float32)
        self._group_drift = np.zeros(n_center_groups)
        self._own_drift = np.zeros(n_clusters)
        self._pair_drift = np.zeros(n_clusters)
        self._centers: np.ndarray | None = None

    def assign(self, centers: np.ndarray, visit: Callable = unseen) -> None:
        """Set ``labels`` to the nearest centres; parameters as in ``RowBounds.assign``."""
        first = self._centers is None
        c = self.placed(centers)
        kernel = search_rows if first or self._searches(c) else prune_rows

        def label(block: np.ndarray, lo: int, hi: int, rows: np.ndarray, old: np.ndarray) -> int:
            return kernel(
                block, self.data.reference, l1_of(False), c, self._rounding, self._edges,
                self.labels[lo:hi], self.lower[lo:hi], self.upper[lo:hi],
                self._gaps[lo:hi], rows, old,
            )  # fmt: skip

        label_ranges(self.data, self._workers, label, visit)

    def forget(self, rows: np.ndarray) -> None:
        """Make the next assignment compute all distances of these rows."""
        self._gaps[rows] = -np.inf
        self.lower[rows] = -np.inf

    def _searches(self, c: Centers) -> bool:
        """Whether to compute every distance: if asked to, or if bounds settle too few pairs."""
        if self._algorithm != "auto":
            return self._algorithm == "dense"
        return self._open_share(c) > DENSE_SHARE

    def _open_share(self, c: Centers) -> float:
        """Share of (row, centre group) pairs that the bounds leave open, among some rows."""
        data = self.data
        rows = np.arange(0, data.n, max(1, data.n // PROBE))
        own = np.empty(len(rows))
        step = max(1, CONVERTED // data.d)
        for lo in range(0, len(rows), step):
            some = rows[lo : lo + step]
            own_costs(data.take(some), c.exact, self.labels[some], False, own[lo : lo + step])
        open_ = self.lower[rows] - self._group_drift <= own[:, None]
        return float(open_.mean())

    def placed(self, centers: np.ndarray) -> Centers:
        """The centres as kernels read them. Also adds their movement to the drifts."""
        data, (k, d) = self.data, centers.shape
        near = np.full((padded(k), d), np.inf, data.dtype)
        up = 1 + (d + 4) * EPS
        with np.errstate(over="ignore"):  # rows of infinite bounds are ranked by `exact`
            near[:k] = centers - data.reference
            lengths = np.abs(near[:k]).sum(1, dtype=np.float64) * up
            if self._centers is not None:
                moved = centers - self._centers
                self._drift(np.abs(moved, out=moved).sum(1) * up)
        if data.dtype == np.float64 and not np.isfinite(lengths).all():
            lengths[:] = np.inf  # an infinite difference may be less than another one
        self._centers = centers.copy()
        drifts = self._group_drift, self._own_drift, self._pair_drift
        return Centers(*(frozen(a) for a in (centers, near, lengths, *drifts)))

    def _drift(self, moved: np.ndarray) -> None:
        """Add how far every centre has moved to the drifts."""
        furthest = int(np.argmax(moved))
        rest = np.delete(moved, furthest)
        others = np.full(len(moved), moved[furthest])
        others[furthest] = rest.max(initial=0.0)
        self._own_drift += moved
        self._pair_drift += (moved + others) * (1 + 4 * EPS)
        self._group_drift += np.maximum.reduceat(moved, self._edges[:-1])
