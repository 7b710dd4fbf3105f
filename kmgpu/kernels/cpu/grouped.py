"""Manhattan assignment with bounds to groups of centres, for many features.

Elkan ("Using the triangle inequality to accelerate k-means", ICML 2003) where a bound for every
row and centre fits the memory budget, else Yinyang (Ding et al., ICML 2015): one bound for every
row and group of centres. The triangle inequality is all they need, so they hold for L1.
"""

from collections.abc import Callable

import numpy as np

from kmgpu.kernels.cpu.grouped_kernels import prune_rows, search_rows
from kmgpu.kernels.cpu.nearest import padded
from kmgpu.kernels.cpu.rows import STEP, Rows, frozen, groups, own_costs
from kmgpu.threads import Workers

DENSE_SHARE = 0.35
PROBE = 512


class GroupBounds:
    """Labels of rows for a sequence of centres, in Manhattan distance.

    ``lower[i, g]`` holds (a lower bound of the distance of row i to every centre of group g but its
    own) + (the sum until then of the largest movements in the group), so that it is rewritten only
    where a distance is computed anew; ``upper[i]`` likewise holds the distance to the own centre
    minus the movement of that centre so far, ``slack`` what ``bounds.RowBounds`` describes. Where a
    probe of some rows says that the bounds settle too few pairs, all are computed block by block.

    Rounding. Both ways of summing add at most ``d / 32 + 72`` roundings to one term, so
    ``gamma = (d / 32 + 72) eps``; ``1 ± 3 gamma`` on stored bounds then keeps every label
    that a full search could choose (see ``bounds.RowBounds``). Stored float32 values take another
    2^-21, four times what their own rounding and that of the later comparison can lose.

    Parameters
    ----------
    data : Rows
    n_clusters : int
    workers : Workers
    budget : int
        Bytes for ``lower``, which has at least one column.
    algorithm : {"auto", "dense", "elkan"}
        Choose between distances and bounds; or force one of them.
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
        self._gamma = (data.d / 32 + 72) * float(data.eps)
        n_groups = max(1, min(n_clusters, budget // (4 * data.n)))
        edges = np.arange(n_groups + 1, dtype=np.int64) * n_clusters // n_groups
        self._edges = frozen(edges)
        self._lower = np.empty((data.n, n_groups), np.float32)
        self._upper = np.empty(data.n, np.float32)
        self._slack = np.full(data.n, -np.inf, np.float32)
        self._group_drift = np.zeros(n_groups)
        self._own_drift = np.zeros(n_clusters)
        self._pair_drift = np.zeros(n_clusters)
        self._centers: np.ndarray | None = None

    def assign(self, centers: np.ndarray, visit: Callable) -> None:
        """Set ``labels`` to the nearest centres; parameters as in ``RowBounds.assign``."""
        first = self._centers is None
        c = self._shifted(centers)
        kernel = search_rows if first or self._searches(c) else prune_rows
        drifts = [frozen(a) for a in (self._group_drift, self._own_drift, self._pair_drift)]

        def work(item: tuple[int, int, int]) -> None:
            group, begin, end = item
            _, rows, old = self._workers.scratch("moved", (3, STEP), np.int32)
            for lo, hi in self.data.steps(begin, end):
                block = self.data.block(lo, hi)
                changed = kernel(
                    block, self.data.reference, c, True, self._edges, self._gamma, *drifts,
                    self.labels[lo:hi], self._lower[lo:hi], self._upper[lo:hi],
                    self._slack[lo:hi], rows, old,
                )  # fmt: skip
                if changed:
                    visit(group, lo, block, rows[:changed], old[:changed])

        self._workers.map(work, groups(self.data.n))

    def forget(self, rows: np.ndarray) -> None:
        """Compute all distances of these rows at the next assignment."""
        self._slack[rows] = -np.inf
        self._lower[rows] = -np.inf

    def _searches(self, c: np.ndarray) -> bool:
        """Whether to compute every distance: as told, or where the bounds settle too few pairs."""
        if self._algorithm != "auto":
            return self._algorithm == "dense"
        return self._open_share(c) > DENSE_SHARE

    def _open_share(self, c: np.ndarray) -> float:
        """Share of (row, group) pairs that the bounds leave open, in some rows."""
        data = self.data
        rows = np.arange(0, data.n, max(1, data.n // PROBE))
        x = frozen(data.take(rows) - data.reference)
        own = np.empty(len(rows))
        centers = frozen(c.astype(np.float64))
        own_costs(x, centers, self.labels[rows], False, own)
        open_ = self._lower[rows] - self._group_drift <= own[:, None]
        return float(open_.mean())

    def _shifted(self, centers: np.ndarray) -> np.ndarray:
        """Padded centres minus the reference; adds their movement to the drifts."""
        data, (k, d) = self.data, centers.shape
        c = np.full((padded(k), d), np.inf, data.dtype)
        c[:k] = centers - data.reference
        if self._centers is not None:
            up = 1 + 2 * self._gamma
            moved = np.abs(c[:k].astype(np.float64) - self._centers[:k]).sum(1) * up
            order = np.argsort(moved)
            others = np.full(k, moved[order[-1]])
            others[order[-1]] = moved[order[-2]] if k > 1 else 0.0
            self._own_drift += moved
            self._pair_drift += (moved + others) * up
            self._group_drift += np.maximum.reduceat(moved, self._edges[:-1])
        self._centers = c
        return frozen(c)
