"""The engine of k-medians: exact Manhattan assignment by bounds, exact medians by selection."""

from threading import Lock

import numpy as np

from kmgpu.backend.blocks import kept_bytes
from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.lowdim import one_bound_pays
from kmgpu.kernels.cpu.lowdim.bounds import RowBounds
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.relocation import Relocations
from kmgpu.kernels.cpu.lowlevel.rows import Rows, costs_at, row_ranges, weight_of
from kmgpu.kernels.cpu.medians.grouped import CenterGroupBounds
from kmgpu.kernels.cpu.medians.refit import MedianRefit

MOST_ROOM = 1 << 25  # bytes of the values that one refit copies at a time
CANCELLED = 1e-5  # a loss that has fallen below this share is summed over the rows again


@njit(nogil=True, cache=True)
def count_moves(weight, rows, old, labels, counts, touched):
    """Follow cluster sizes, and which clusters are touched, after some rows changed label.

    Parameters
    ----------
    weight : ndarray of shape (m,) or (0,), float64, read-only
    rows, old : ndarrays of shape (p,), int32
        The rows, and the labels that they had; -1: none.
    labels : ndarray of shape (m,), int32
    counts : ndarray of shape (k,), int64, updated
        Numbers of rows of positive weight.
    touched : ndarray of shape (k,), bool, updated

    Returns
    -------
    changed : int
        Rows of positive weight among them.
    """
    changed = 0
    for p in range(rows.shape[0]):
        i, o = rows[p], old[p]
        if weight.shape[0] and weight[i] <= 0:
            continue
        changed += 1
        counts[labels[i]] += 1
        touched[labels[i]] = True
        if o >= 0:
            counts[o] -= 1
            touched[o] = True
    return changed


@njit(nogil=True, cache=True, fastmath={"contract", "reassoc"})
def gain(x, weight, centers, rows, old, labels):
    """Change of the Manhattan loss when rows go from cluster ``old`` to their label, float64.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), float32 or float64, read-only
    weight : ndarray of shape (m,) or (0,), float64, read-only
    centers : ndarray of shape (k, n_features), float64
    rows, old : ndarrays of shape (p,), int32
        Rows of x, and the clusters that they leave.
    labels : ndarray of shape (m,), int32
    """
    s = 0.0
    for p in range(rows.shape[0]):
        i, o = rows[p], old[p]
        j = labels[i]
        t = 0.0
        for q in range(x.shape[1]):
            v = np.float64(x[i, q])
            t += abs(v - centers[j, q]) - abs(v - centers[o, q])
        s += t * weight[i] if weight.shape[0] else t
    return s


class Medians:
    """Half-steps of k-medians on NumPy arrays.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Any real dtype; float32 and float64 are used in place, others converted block by block.
    sample_weight : ndarray of shape (n_samples,) or None
    n_clusters : int
    memory_budget : int or None
        Bytes for bounds; None means the size of the data or 256 MB, whichever is larger.
    algorithm : {"auto", "dense", "elkan"}
        Choose between distances and bounds; or force one of them.
    n_threads : int or None

    Attributes
    ----------
    labels : ndarray of shape (n_samples,), int32
    sizes : ndarray of shape (n_clusters,), int64
    bounds : RowBounds or CenterGroupBounds
    """

    def __init__(
        self,
        X: np.ndarray,
        sample_weight: np.ndarray | None,
        n_clusters: int,
        *,
        memory_budget: int | None = None,
        algorithm: str = "auto",
        n_threads: int | None = None,
    ) -> None:
        self._data = data = Rows(X)
        self._weight = weight_of(sample_weight)
        self._workers = Workers(n_threads)
        budget = kept_bytes(X.nbytes, memory_budget)
        room = min(budget // 5, MOST_ROOM)
        self.bounds: RowBounds | CenterGroupBounds
        if one_bound_pays(False, n_clusters, data.d):
            self.bounds = RowBounds(data, n_clusters, False, self._workers, algorithm)
        else:
            self.bounds = CenterGroupBounds(
                data, n_clusters, self._workers, budget - room, algorithm
            )
        self._refit = MedianRefit(data, self._weight, n_clusters, room, self._workers)
        self.sizes = np.zeros(n_clusters, np.int64)
        self._touched = np.ones(n_clusters, bool)
        self._known: tuple[np.ndarray, float] | None = None  # centres, and the loss there
        self._relocations = Relocations(self._weight)

    @property
    def labels(self) -> np.ndarray:
        return self.bounds.labels

    def assign(self, centers: np.ndarray, labels: np.ndarray | None = None) -> tuple[float, int]:
        """Label every row with its nearest centre; returns (loss, number of changed labels).

        `labels` is ignored: the pass is needed to build bounds.
        """
        del labels
        self._centers = np.array(centers, dtype=np.float64, order="C")
        known = self._known
        loss = known[1] if known and np.array_equal(known[0], self._centers) else None
        gains, changed = np.zeros(len(row_ranges(self._data.n))), 0
        one_at_a_time = Lock()  # counts for every thread would take more memory

        def visit(
            index: int, lo: int, block: np.ndarray, rows: np.ndarray, old: np.ndarray
        ) -> None:
            nonlocal changed
            labels, weight = self.labels[lo : lo + len(block)], self._weight[lo : lo + len(block)]
            with one_at_a_time:
                changed += count_moves(weight, rows, old, labels, self.sizes, self._touched)
            if loss is not None:
                gains[index] += gain(block, weight, self._centers, rows, old, labels)

        self.bounds.assign(self._centers, visit)
        change = float(gains.sum())
        if loss is None or not loss + change > CANCELLED * loss:
            loss, change = self._loss(), 0.0
        loss += change
        self._known = self._centers, loss
        return loss, changed + self._relocations.correction(self.labels)

    def refit(self) -> tuple[np.ndarray, float]:
        """Weighted coordinatewise medians of the clusters; returns (centers, loss)."""
        medians = self._refit.medians_of(self.labels, self.sizes, self._touched, self._centers)
        self._touched[:] = False
        self._known = medians, self._refit.loss()
        return medians.copy(), self._known[1]

    def costs(self) -> np.ndarray:
        """Manhattan distance of every row to its centre, shape (n_samples,), float64."""
        return costs_at(self._data, self._centers, self.labels, False, self._workers)

    def move(self, rows: np.ndarray, clusters: np.ndarray) -> None:
        """Relabel a few rows."""
        rows = np.asarray(rows, dtype=np.int64)
        for row, cluster in zip(rows.tolist(), clusters, strict=True):
            old = int(self.labels[row])
            self.labels[row] = cluster
            self._relocations.note(row, old, int(cluster))
            if not self._weight.size or self._weight[row] > 0:
                self.sizes[old] -= 1
                self.sizes[cluster] += 1
                self._touched[[old, cluster]] = True
        self._known = None
        self.bounds.forget(rows)

    def _loss(self) -> float:
        costs = self.costs()
        if self._weight.size:
            costs *= self._weight
        return float(costs.sum())
