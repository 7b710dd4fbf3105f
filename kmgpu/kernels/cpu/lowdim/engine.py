"""k-means engine for low dimension: bounds on rows, sums kept by difference."""

import numpy as np

from kmgpu.backend.threads import Workers
from kmgpu.kernels.agreement import lost_too_much
from kmgpu.kernels.cpu.lowdim.bounds import RowBounds
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.rows import Rows, costs_at, weight_of

MOST_SUMS = 1 << 26  # bytes of the sums of all ranges of rows


@njit(nogil=True, cache=True)
def transfer(x, reference, weight, rows, old, labels, sums, mass, counts):
    """Move rows between clusters in the sums of ``weight * (x - reference)``.

    Parameters
    ----------
    x : ndarray of shape (m, n_features), float32 or float64, read-only
    reference : ndarray of shape (n_features,), dtype of x, read-only
    weight : ndarray of shape (m,) or (0,), float64, read-only
        Empty: all one.
    rows, old : ndarrays of shape (p,), int32
        Rows of x, and the cluster each leaves, -1 for none.
    labels : ndarray of shape (m,), int32
    sums : ndarray of shape (k, n_features), float64, updated
    mass : ndarray of shape (k, 4), float64, updated
        Weight of each cluster; weight that left it; squares of what entered from nowhere; weight
        times length of what left.
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
            if o >= 0:
                counts[o] -= 1
                mass[o, 0] -= u
                mass[o, 1] += u
                squares = 0.0
                for q in range(x.shape[1]):
                    v = np.float64(x[i, q]) - np.float64(reference[q])
                    sums[j, q] += u * v
                    sums[o, q] -= u * v
                    squares += v * v
                mass[o, 3] += u * np.sqrt(squares)
            else:
                squares = 0.0
                for q in range(x.shape[1]):
                    v = np.float64(x[i, q]) - np.float64(reference[q])
                    sums[j, q] += u * v
                    squares += v * v
                mass[j, 2] += u * squares
    return changed


@njit(nogil=True, cache=True)
def settle(gained, gained_mass, gained_counts, sums, mass, counts, reference, refit, centers):
    """Add what groups of rows have changed, refit if told, and tell the loss: all that is small.

    Parameters
    ----------
    gained, gained_mass, gained_counts : ndarrays of shape (g, k, d), (g, k, 4) and (g, k)
        Differences of the next three, as `transfer` leaves them; g may be 0.
    sums, mass, counts : ndarrays of shape (k, d), (k, 4) and (k,), updated
    reference : ndarray of shape (d,), float64
    refit : bool
        Whether centres of clusters that hold rows become their means.
    centers : ndarray of shape (k, d), float64, updated

    Returns
    -------
    total, loss : float
        Squares of the rows less the reference, and less the centres.
    """
    total, less = 0.0, 0.0
    for j in range(counts.size):
        for g in range(gained.shape[0]):
            counts[j] += gained_counts[g, j]
            for q in range(4):
                mass[j, q] += gained_mass[g, j, q]
            for q in range(reference.size):
                sums[j, q] += gained[g, j, q]
        if counts[j] == 0:
            mass[j, 0] = 0.0
            for q in range(reference.size):
                sums[j, q] = 0.0
        total += mass[j, 2]
        for q in range(reference.size):
            if refit and counts[j] > 0:
                centers[j, q] = reference[q] + sums[j, q] / mass[j, 0]
            at = centers[j, q] - reference[q]
            less += at * (mass[j, 0] * at - 2 * sums[j, q])
    return total, total + less


class LowDimMeans:
    """Half-steps of k-means on NumPy arrays of few features.

    The sums of every cluster are kept in float64 and changed only by the rows that change cluster;
    they are counted anew after three changes a row, and when nearly all of a cluster, or rows far
    away, have left it. The loss follows from them:
    ``sum w |x|^2 - 2 sum S_j . c_j + sum W_j |c_j|^2``, and is summed over the rows only where this
    cancels.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Any real dtype; float32 and float64 are used in place, others converted block by block.
    sample_weight : ndarray of shape (n_samples,) or None
    n_clusters : int
    memory_budget : int or None
        Bytes beyond 12 a row and the centres; half of them bound the sums of ranges of rows.
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
        self._origin = self._data.reference.astype(np.float64)
        self._nothing = tuple(part[:0] for part in self._statistics())
        self._centers = np.zeros((n_clusters, self._data.d))
        self._clear()
        self._before: dict[int, tuple[int, int]] = {}

    @property
    def labels(self) -> np.ndarray:
        return self._bounds.labels

    def assign(self, centers: np.ndarray, labels: np.ndarray | None = None) -> tuple[float, int]:
        """Label every row with its nearest centre; returns (loss, number of changed labels).

        `labels`, where they are known, would save no pass: bounds and sums come from it too.
        """
        del labels
        self._centers = np.array(centers, dtype=np.float64, order="C")
        delta = self._statistics()
        visited = []

        def visit(
            group: int, lo: int, block: np.ndarray, rows: np.ndarray, old: np.ndarray
        ) -> None:
            visited.append(group)
            self._transfer(delta, group, lo, block, rows, old)

        self._bounds.assign(self._centers, visit)
        loss, changed = self._settled(delta if visited else self._nothing, self._centers)
        for row, label in self._before.items():
            if not self._weight.size or self._weight[row] > 0:
                at = self.labels[row]
                changed += int(at != label[0]) - int(at != label[1])
        self._before.clear()
        return loss, changed

    def refit(self) -> tuple[np.ndarray, float]:
        """Weighted means of the clusters; returns (centers, loss)."""
        if self._stale or self._moves > 3 * self._data.n:
            self._recount()
        centers, loss = self._means()
        if self._stale:  # as the loss at the means says, which may be far less than before
            self._recount()
            centers, loss = self._means()
        return centers, loss

    def _means(self) -> tuple[np.ndarray, float]:
        centers = self._centers.copy()
        return centers, self._settled(self._nothing, centers, refit=True)[0]

    def costs(self) -> np.ndarray:
        """Squared distance of every row to its centre, shape (n_samples,), float64."""
        return self._costs(self._centers)

    def move(self, rows: np.ndarray, clusters: np.ndarray) -> None:
        """Relabel a few rows."""
        rows = np.asarray(rows, dtype=np.int64)
        delta = self._statistics()
        for row, cluster in zip(rows, clusters, strict=True):
            r, old = int(row), np.full(1, self.labels[row])
            self.labels[r] = cluster
            block = self._data.block(r, r + 1)
            self._transfer(delta, 0, r, block, np.zeros(1, np.int32), old)
            first = self._before.get(r, (int(old[0]),))[0]
            self._before[r] = (first, int(cluster))
        self._settled(delta, self._centers)
        self._bounds.forget(rows)

    def _clear(self) -> None:
        self._sums = np.zeros((self._k, self._data.d))
        self._mass = np.zeros((self._k, 4))
        self.sizes = np.zeros(self._k, np.int64)
        self._moves, self._stale = 0, False

    def _statistics(self) -> tuple[np.ndarray, ...]:
        g, k, d = len(self._data.groups), self._k, self._data.d
        return (
            np.zeros((g, k, d)),
            np.zeros((g, k, 4)),
            np.zeros((g, k), np.int64),
            np.zeros(g, int),
        )

    def _transfer(self, delta, group, lo, block, rows, old) -> None:
        sums, mass, counts, changed = delta
        hi = lo + len(block)
        changed[group] += transfer(
            block, self._data.reference, self._weight[lo:hi], rows, old, self.labels[lo:hi],
            sums[group], mass[group], counts[group],
        )  # fmt: skip

    def _settled(
        self, delta: tuple[np.ndarray, ...], centers: np.ndarray, refit: bool = False
    ) -> tuple[float, int]:
        """Take in what has changed; the loss at the centres, and the rows that changed cluster."""
        *gained, changes = delta
        total, loss = settle(
            *gained, self._sums, self._mass, self.sizes, self._origin, refit, centers
        )
        changed = int(changes.sum())
        self._moves += changed
        # Below this share of the total the difference may have lost six digits in the worst case.
        if not loss > 1e-5 * total:
            costs = self._costs(centers)
            loss = float((costs * self._weight).sum() if self._weight.size else costs.sum())
        weight, left, _, lengths_left = self._mass.T
        self._stale = lost_too_much(
            self.sizes, weight, left, lengths_left, centers - self._origin, loss
        )
        return loss, changed

    def _recount(self) -> None:
        self._clear()
        delta = self._statistics()

        def work(item: tuple[int, int, int]) -> None:
            group, begin, end = item
            for lo, hi in self._data.steps(begin, end):
                rows = np.arange(hi - lo, dtype=np.int32)
                self._transfer(
                    delta, group, lo, self._data.block(lo, hi), rows, np.full_like(rows, -1)
                )

        self._workers.map(work, self._data.groups)
        self._settled(delta, self._centers)
        self._moves = 0

    def _costs(self, centers: np.ndarray) -> np.ndarray:
        return costs_at(self._data, centers, self.labels, True, self._workers)
