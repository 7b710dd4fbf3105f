"""k-medians engine: exact Manhattan assignment by bounds, exact medians by selection."""

from itertools import pairwise
from threading import Lock

import numpy as np

from kmgpu.backend.blocks import kept_bytes
from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.lowdim.bounds import RowBounds
from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.rows import CONVERTED, Rows, costs_at, frozen, groups, weight_of
from kmgpu.kernels.cpu.medians.grouped import GroupBounds
from kmgpu.kernels.cpu.medians.selection import count_rows, order_rows, solve_medians, sort_out

LOW_DIM = 32
UNITS = 32
BLOCK = 1 << 18
MOST_ROOM = 1 << 25
CANCELLED = 1e-5  # a loss that has fallen below this share is summed anew


@njit(nogil=True, cache=True)
def count_moves(weight, rows, old, labels, counts, touched):
    """Cluster sizes and touched clusters after some rows changed label.

    Parameters
    ----------
    weight : ndarray of shape (m,) or (0,), float64, read-only
    rows, old : ndarrays of shape (p,), int32
    labels : ndarray of shape (m,), int32
    counts : ndarray of shape (k,), int64, updated
        Differences of the numbers of rows of positive weight.
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
    """Change of the Manhattan loss when rows go from cluster ``old`` to their label, float64."""
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


def offsets(counts: np.ndarray) -> np.ndarray:
    """Where each of some consecutive ranges begins, int64, one more than ranges."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


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
        self._room = min(budget // 5, MOST_ROOM)
        self._buffer = np.empty(0, data.dtype)
        self._bounds: RowBounds | GroupBounds
        if data.d <= LOW_DIM:
            self._bounds = RowBounds(data, n_clusters, False, self._workers, algorithm)
        else:
            self._bounds = GroupBounds(
                data, n_clusters, self._workers, budget - self._room, algorithm
            )
        self.sizes = np.zeros(n_clusters, np.int64)
        self._touched = np.ones(n_clusters, bool)
        self._medians = np.zeros((n_clusters, data.d))
        self._widths = np.full((n_clusters, data.d), -1, np.float32)
        self._losses = np.zeros((n_clusters, data.d))
        self._known: tuple[np.ndarray, float] | None = None
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
        known = self._known
        loss = known[1] if known and np.array_equal(known[0], self._centers) else None
        gains, changed = np.zeros(len(groups(self._data.n))), 0
        one_at_a_time = Lock()  # counts of clusters for every thread would take more memory

        def visit(
            group: int, lo: int, block: np.ndarray, rows: np.ndarray, old: np.ndarray
        ) -> None:
            nonlocal changed
            labels, weight = self.labels[lo : lo + len(block)], self._weight[lo : lo + len(block)]
            with one_at_a_time:
                changed += count_moves(weight, rows, old, labels, self.sizes, self._touched)
            if loss is not None:
                gains[group] += gain(block, weight, self._centers, rows, old, labels)

        self._bounds.assign(self._centers, visit)
        change = float(gains.sum())
        if loss is None or not loss + change > CANCELLED * loss:
            loss, change = self._loss(self._centers), 0.0
        loss += change
        self._known = self._centers, loss
        return loss, changed + self._relocated()

    def refit(self) -> tuple[np.ndarray, float]:
        """Weighted coordinatewise medians of the clusters; returns (centers, loss)."""
        full = self.sizes > 0
        todo = np.flatnonzero(self._touched & full)
        d, number = self._data.d, self._data.dtype.itemsize
        own = self._weight.itemsize if self._weight.size else 0
        batch = np.cumsum(self.sizes[todo]) // max(1, self._room // (d * number + own))
        for b in np.unique(batch):
            some = todo[batch == b]
            row_room = self._room // int(self.sizes[some].sum())
            width = max(1, min(d, (row_room - own) // number))
            for q in range(0, d, width):
                self._refit(some, q, min(d, q + width))
        self._losses[~full] = 0.0
        self._medians[~full] = self._centers[~full]
        self._widths[~full] = -1
        self._touched[:] = False
        self._known = self._medians.copy(), float(self._losses.sum())
        return self._medians.copy(), self._known[1]

    def costs(self) -> np.ndarray:
        """Manhattan distance of every row to its centre, shape (n_samples,), float64."""
        return self._costs(self._centers)

    def move(self, rows: np.ndarray, clusters: np.ndarray) -> None:
        """Relabel a few rows."""
        rows = np.asarray(rows, dtype=np.int64)
        for row, cluster in zip(rows, clusters, strict=True):
            old = int(self.labels[row])
            self.labels[row] = cluster
            if not self._weight.size or self._weight[row] > 0:
                first = self._before.get(int(row), (old,))[0]
                self._before[int(row)] = first, int(cluster)
                self.sizes[old] -= 1
                self.sizes[cluster] += 1
                self._touched[[old, cluster]] = True
        self._known = None
        self._bounds.forget(rows)

    def _relocated(self) -> int:
        """Correction of the number of changes for rows that ``move`` has relabelled."""
        now = self.labels
        count = sum(int(now[r] != a) - int(now[r] != b) for r, (a, b) in self._before.items())
        self._before.clear()
        return count

    def _refit(self, clusters: np.ndarray, q0: int, q1: int) -> None:
        """Medians of some clusters and features: rows sorted out by both, then solved."""
        wanted = np.zeros(len(self.sizes), bool)
        wanted[clusters] = True
        starts = offsets(np.where(wanted, self.sizes, 0))
        known: list[np.ndarray] = [self._medians, self._widths, self._losses]
        whole = q1 - q0 == self._data.d
        state = known if whole else [np.ascontiguousarray(a[:, q0:q1]) for a in known]
        buffer, masses = self._sorted_out(clusters, wanted, starts, q0, q1)

        def solve(unit: tuple[np.ndarray, int, int]) -> None:
            solve_medians(buffer, masses, starts, *unit, *state)

        self._workers.map(solve, self._units(clusters, q1 - q0))
        if not whole:
            for all_features, some in zip(known, state, strict=True):
                all_features[:, q0:q1] = some

    def _sorted_out(
        self, clusters: np.ndarray, wanted: np.ndarray, starts: np.ndarray, q0: int, q1: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values and weights of the rows of some clusters, as `solve_medians` reads them."""
        data, weight, rowwise = self._data, self._weight, self._rowwise(q1 - q0)
        step = max(1024, BLOCK // data.d) if data.in_place else max(256, CONVERTED // data.d)
        # fewer rows at a time than a megabyte's take longer to count than to copy
        room = max(self._room, 1 << 20) // (q1 - q0) // data.dtype.itemsize
        step = min(step, max(1, room // (2 * self._workers.n_threads))) if rowwise else data.n
        edges, places = self._places(wanted, step)
        buffer = self._values(starts[-1] * (q1 - q0))
        masses = np.empty(starts[-1] if weight.size else 0)

        def fill(p: int) -> None:
            for lo in range(edges[p], edges[p + 1], step):
                copy_rows(places[p], lo, min(lo + step, edges[p + 1]))

        def copy_rows(place: np.ndarray, lo: int, hi: int) -> None:
            labels, some_weight = self.labels[lo:hi], weight[lo:hi]
            counts = np.zeros(len(wanted), np.int64)
            count_rows(labels, some_weight, wanted, counts)
            ends = offsets(counts)
            rows = np.empty(ends[-1], np.int32)
            order_rows(labels, some_weight, wanted, ends, rows)
            block = frozen(np.ascontiguousarray(data.block(lo, hi)[:, q0:q1]))
            tasks = [clusters] if rowwise else np.array_split(clusters, UNITS)

            def copy(some: np.ndarray) -> None:
                sort_out(block, rows, ends, some, some_weight, starts, place, buffer, masses)

            for _ in (map if rowwise else self._workers.map)(copy, tasks):
                pass
            place += counts

        self._workers.map(fill, range(len(places)))
        return buffer, masses

    def _rowwise(self, width: int) -> bool:
        """Whether threads share the rows, not the clusters, when they sort out some features."""
        return width < self._data.d or width <= LOW_DIM or not self._data.in_place

    def _places(self, wanted: np.ndarray, step: int) -> tuple[list[int], np.ndarray]:
        """Parts of the rows, as edges, and how many rows of each cluster come before each part.

        Parts of `step` rows, or of more where their counts would take more than the room.
        """
        n, k = self._data.n, len(wanted)
        n_parts = min(-(-n // step), max(1, self._room // (8 * k)))
        edges = [p * n // n_parts for p in range(n_parts + 1)]
        places = np.zeros((n_parts, k), np.int64)

        def count(p: int) -> None:
            at = slice(edges[p], edges[p + 1])
            count_rows(self.labels[at], self._weight[at], wanted, places[p])

        self._workers.map(count, range(n_parts))
        before = places.sum(axis=0)
        for part in places[::-1]:
            before -= part
            part[:] = before
        return edges, places

    def _values(self, size: int) -> np.ndarray:
        """Room for ``size`` values, kept: fresh pages cost as much as filling them."""
        if self._buffer.size < size:
            self._buffer = np.empty(size, self._data.dtype)
        return self._buffer

    def _units(self, clusters: np.ndarray, d: int) -> list[tuple[np.ndarray, int, int]]:
        """(clusters, first feature, last feature): units of about equal work, the largest first."""
        share = max(1, int(self.sizes[clusters].sum()) // UNITS)
        part = np.cumsum(self.sizes[clusters]) // share
        units = []
        for p in np.unique(part):
            some = clusters[part == p]
            cuts = min(d, -(-int(self.sizes[some].sum()) // share))
            edges = [c * d // cuts for c in range(cuts + 1)]
            units += [(some, a, b) for a, b in pairwise(edges)]
        return sorted(units, key=lambda unit: -int(self.sizes[unit[0]].sum()) * (unit[2] - unit[1]))

    def _loss(self, centers: np.ndarray) -> float:
        costs = self._costs(centers)
        if self._weight.size:
            costs *= self._weight
        return float(costs.sum())

    def _costs(self, centers: np.ndarray) -> np.ndarray:
        return costs_at(self._data, centers, self.labels, False, self._workers)
