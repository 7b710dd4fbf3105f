"""The engine of k-means of few features: bounds on rows, sums of clusters kept up to date."""

import numpy as np

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.lowdim.bounds import RowBounds
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.relocation import Relocations
from kmgpu.kernels.cpu.lowlevel.rows import Rows, costs_at, frozen, weight_of
from kmgpu.kernels.cpu.lowlevel.sums import about_zero, lost_too_much, origin_of

MOST_SUMS = 1 << 26  # bytes of the sums of all ranges of rows


@njit(nogil=True, cache=True)
def transfer(x, origin, weight, rows, old, labels, sums, mass, counts):
    """Move rows between clusters: update the sums of ``weight * (x - origin)``.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), float32 or float64, read-only
    origin : ndarray of shape (n_features,), dtype of x, read-only
    weight : ndarray of shape (m,) or (0,), float64, read-only
        Empty: all one.
    rows, old : ndarrays of shape (p,), int32
        Rows of x, and the cluster that each leaves, -1 for none.
    labels : ndarray of shape (m,), int32
        The clusters that rows enter.
    sums : ndarray of shape (k, n_features), float64, updated
    mass : ndarray of shape (k, 4), float64, updated
        Of each cluster: its weight; the weight that left it; the sum of weight times squared length
        over rows that came from no cluster; that of weight times length over rows that left.
    counts : ndarray of shape (k,), int64, updated

    Returns
    -------
    changed : int
        Rows of positive weight among them.
    """
    changed = 0
    for p in range(rows.shape[0]):
        i, o = np.uint64(rows[p]), old[p]
        j = np.uint64(labels[i])
        u = weight[i] if weight.size else 1.0
        if u > 0:
            changed += 1
            counts[j] += 1
            mass[j, 0] += u
            squares = 0.0
            if o >= 0:
                for q in range(x.shape[1]):
                    v = np.float64(x[i, q]) - np.float64(origin[q])
                    squares += v * v
                    sums[j, q] += u * v
                    sums[o, q] -= u * v
                counts[o] -= 1
                mass[o, 0] -= u
                mass[o, 1] += u
                mass[o, 3] += u * np.sqrt(squares)
            else:
                for q in range(x.shape[1]):
                    v = np.float64(x[i, q]) - np.float64(origin[q])
                    squares += v * v
                    sums[j, q] += u * v
                mass[j, 2] += u * squares
    return changed


@njit(nogil=True, cache=True)
def settle(gained, gained_mass, gained_counts, sums, mass, counts, origin, refit, centers):
    """Merge the changes of all ranges of rows, refit if asked, return the loss; O(k d) a range.

    Parameters
    ----------
    gained, gained_mass, gained_counts : ndarrays of shape (r, k, d), (r, k, 4) and (r, k)
        Changes of the next three, as `transfer` leaves them; r, the number of ranges, may be 0.
    sums, mass, counts : ndarrays of shape (k, d), (k, 4) and (k,), updated
        float64, float64 and int64; see `transfer`.
    origin : ndarray of shape (d,), float64
    refit : bool
        Whether centres of clusters that hold rows become their means.
    centers : ndarray of shape (k, d), float64, updated

    Returns
    -------
    total, loss : float
        Weighted sums of the squared distances of rows to the origin, and to their centres.
    """
    total, less = 0.0, 0.0
    for j in range(counts.size):
        for g in range(gained.shape[0]):
            counts[j] += gained_counts[g, j]
            for q in range(4):
                mass[j, q] += gained_mass[g, j, q]
            for q in range(origin.size):
                sums[j, q] += gained[g, j, q]
        if counts[j] == 0:
            mass[j, 0] = 0.0
            for q in range(origin.size):
                sums[j, q] = 0.0
        total += mass[j, 2]
        for q in range(origin.size):
            if refit and counts[j] > 0:
                centers[j, q] = origin[q] + sums[j, q] / mass[j, 0]
            at = centers[j, q] - origin[q]
            less += at * (mass[j, 0] * at - 2 * sums[j, q])
    return total, total + less


class LowDimMeans:
    """Half-steps of k-means on NumPy arrays of few features.

    The sums of every cluster are kept in float64, and only rows that change cluster change them.
    All rows are counted again after three changes a row on average, and where nearly all of a
    cluster, or rows from far away, have left it. The loss follows from the sums:
    ``sum w |x|^2 - 2 sum S_j . c_j + sum W_j |c_j|^2``. It is summed over the rows only where this
    difference cancels.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Any real dtype; float32 and float64 are used in place, others converted block by block.
    sample_weight : ndarray of shape (n_samples,) or None
    n_clusters : int
    memory_budget : int or None
        Bytes beyond 12 a row and the centres; the sums of ranges of rows take half of them at most.
    algorithm : {"auto", "dense", "elkan"}
        "dense" visits every row at every assignment.
    n_threads : int or None

    Attributes
    ----------
    labels : ndarray of shape (n_samples,), int32
    sizes : ndarray of shape (n_clusters,), int64
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
        room = MOST_SUMS if memory_budget is None else min(memory_budget // 2, MOST_SUMS)
        self._data = Rows(X, max(1, room // (8 * n_clusters * (X.shape[1] + 4))))
        self._weight = weight_of(sample_weight)
        self._workers = Workers(n_threads)
        self._bounds = RowBounds(self._data, n_clusters, True, self._workers, algorithm)
        self._k = n_clusters
        self._about = frozen(origin_of(X).astype(self._data.dtype))
        self._origin = self._about.astype(np.float64)
        self._nothing = tuple(part[:0] for part in self._statistics())
        self._centers = np.zeros((n_clusters, self._data.d))
        self._clear()
        self._relocations = Relocations(self._weight)

    @property
    def labels(self) -> np.ndarray:
        return self._bounds.labels

    def assign(self, centers: np.ndarray, labels: np.ndarray | None = None) -> tuple[float, int]:
        """Label every row with its nearest centre; returns (loss, number of changed labels).

        `labels` is ignored: the pass is needed to build bounds and sums.
        """
        del labels
        self._centers = np.array(centers, dtype=np.float64, order="C")
        delta = self._statistics()
        visited = []

        def visit(
            index: int, lo: int, block: np.ndarray, rows: np.ndarray, old: np.ndarray
        ) -> None:
            visited.append(index)
            self._transfer(delta, index, lo, block, rows, old)

        self._bounds.assign(self._centers, visit)
        loss, changed = self._settled(delta if visited else self._nothing, self._centers)
        return loss, changed + self._relocations.correction(self.labels)

    def refit(self) -> tuple[np.ndarray, float]:
        """Weighted means of the clusters; returns (centers, loss)."""
        if self._stale or self._moves > 3 * self._data.n:
            self._recount()
        centers, loss = self._means()
        if self._stale:  # the loss at the means may be far less, so that rounding shows now
            self._recount()
            centers, loss = self._means()
        return centers, loss

    def _means(self) -> tuple[np.ndarray, float]:
        centers = self._centers.copy()
        loss = self._settled(self._nothing, centers, refit=True)[0]
        masses = self._mass[:, 0]
        about_zero(
            self._data.take, self._weight, self.labels, self.sizes, masses, self._origin, centers
        )
        return centers, loss

    def costs(self) -> np.ndarray:
        """Squared distance of every row to its centre, shape (n_samples,), float64."""
        return self._costs(self._centers)

    def move(self, rows: np.ndarray, clusters: np.ndarray) -> None:
        """Relabel a few rows."""
        rows = np.asarray(rows, dtype=np.int64)
        delta = self._statistics()
        for row, cluster in zip(rows.tolist(), clusters, strict=True):
            old = np.full(1, self.labels[row])
            self.labels[row] = cluster
            block = self._data.block(row, row + 1)
            self._transfer(delta, 0, row, block, np.zeros(1, np.int32), old)
            self._relocations.note(row, int(old[0]), int(cluster))
        self._settled(delta, self._centers)
        self._bounds.forget(rows)

    def _clear(self) -> None:
        self._sums = np.zeros((self._k, self._data.d))
        self._mass = np.zeros((self._k, 4))
        self.sizes = np.zeros(self._k, np.int64)
        self._moves, self._stale = 0, False

    def _statistics(self) -> tuple[np.ndarray, ...]:
        """Zeros for the changes of every range of rows: sums, masses, counts, rows that changed."""
        g, k, d = len(self._data.row_ranges), self._k, self._data.d
        return (
            np.zeros((g, k, d)),
            np.zeros((g, k, 4)),
            np.zeros((g, k), np.int64),
            np.zeros(g, int),
        )

    def _transfer(self, delta, index, lo, block, rows, old) -> None:
        sums, mass, counts, changed = delta
        hi = lo + len(block)
        changed[index] += transfer(
            block, self._about, self._weight[lo:hi], rows, old, self.labels[lo:hi],
            sums[index], mass[index], counts[index],
        )  # fmt: skip

    def _settled(
        self, delta: tuple[np.ndarray, ...], centers: np.ndarray, refit: bool = False
    ) -> tuple[float, int]:
        """Merge the changes; returns the loss at the centres, and how many rows changed cluster."""
        *gained, changes = delta
        total, loss = settle(
            *gained, self._sums, self._mass, self.sizes, self._origin, refit, centers
        )
        changed = int(changes.sum())
        self._moves += changed
        # below this share of the total the difference may have lost six digits
        if not loss > 1e-5 * total:
            costs = self._costs(centers)
            loss = float((costs * self._weight).sum() if self._weight.size else costs.sum())
        weight, left, _, lengths_left = np.ascontiguousarray(self._mass.T)
        self._stale = lost_too_much(
            self.sizes, weight, left, lengths_left, centers - self._origin, loss
        )
        return loss, changed

    def _recount(self) -> None:
        self._clear()
        delta = self._statistics()

        def work(item: tuple[int, int, int]) -> None:
            index, begin, end = item
            for lo, hi in self._data.ranges(begin, end):
                rows = np.arange(hi - lo, dtype=np.int32)
                self._transfer(
                    delta, index, lo, self._data.block(lo, hi), rows, np.full_like(rows, -1)
                )

        self._workers.map(work, self._data.row_ranges)
        self._settled(delta, self._centers)
        self._moves = 0

    def _costs(self, centers: np.ndarray) -> np.ndarray:
        return costs_at(self._data, centers, self.labels, True, self._workers)
