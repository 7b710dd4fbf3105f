"""Medians of the clusters that rows have left or entered, within a bounded memory.

Rows are sorted out by cluster and feature into a buffer, for as many clusters (or, where one is too
large, features) at a time as the buffer holds; `selection.solve_medians` finds their medians.
"""

from itertools import pairwise

import numpy as np

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.lowlevel.rows import CONVERTED, Rows, frozen
from kmgpu.kernels.cpu.medians.selection import solve_medians
from kmgpu.kernels.cpu.medians.sorting import count_rows, order_rows, sort_out

TASKS = 32  # of work for threads
BLOCK = 1 << 18  # numbers of the rows that are sorted out at once
LEAST_ROWS = 1024  # of them
LEAST_ROOM = 1 << 20  # bytes of their values; fewer rows take longer to count than to copy
ROWWISE = 32  # features up to which threads share the rows, not the clusters, to sort out


def offsets(counts: np.ndarray) -> np.ndarray:
    """First index of every one of some consecutive ranges, and the end of the last, int64."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


class MedianRefit:
    """Weighted coordinatewise medians, kept from one refit to the next.

    Parameters
    ----------
    data : Rows
    weight : ndarray of shape (n_samples,) or (0,), float64, read-only
    n_clusters : int
    room : int
        Bytes of the values that are sorted out at a time; one feature of one cluster may take more.
    workers : Workers
    """

    def __init__(
        self, data: Rows, weight: np.ndarray, n_clusters: int, room: int, workers: Workers
    ) -> None:
        self._data, self._weight, self._room, self._workers = data, weight, room, workers
        self._buffer = np.empty(0, data.dtype)
        self._medians = np.zeros((n_clusters, data.d))
        self._widths = np.full((n_clusters, data.d), -1, np.float32)
        self._losses = np.zeros((n_clusters, data.d))

    def medians_of(
        self, labels: np.ndarray, sizes: np.ndarray, touched: np.ndarray, centers: np.ndarray
    ) -> np.ndarray:
        """Medians of all clusters, shape (n_clusters, n_features), float64.

        Parameters
        ----------
        labels : ndarray of shape (n_samples,), int32
        sizes : ndarray of shape (n_clusters,), int64
            Rows of positive weight.
        touched : ndarray of shape (n_clusters,), bool
            The clusters whose rows have changed since the last call.
        centers : ndarray of shape (n_clusters, n_features), float64
            What clusters without rows keep.
        """
        self._labels, self._sizes = labels, sizes
        full = sizes > 0
        todo = np.flatnonzero(touched & full)
        d, number = self._data.d, self._data.dtype.itemsize
        own = self._weight.itemsize if self._weight.size else 0
        batch = np.cumsum(sizes[todo]) // max(1, self._room // (d * number + own))
        for b in np.unique(batch):
            some = todo[batch == b]
            row_room = self._room // int(sizes[some].sum())
            width = max(1, min(d, (row_room - own) // number))
            for q in range(0, d, width):
                self._solve(some, q, min(d, q + width))
        self._losses[~full] = 0.0
        self._medians[~full] = centers[~full]
        self._widths[~full] = -1
        return self._medians.copy()

    def loss(self) -> float:
        """The loss at the medians of the last call."""
        return float(self._losses.sum())

    def _solve(self, clusters: np.ndarray, q0: int, q1: int) -> None:
        """Set medians, widths and losses of some clusters in the features q0 to q1 - 1."""
        wanted = np.zeros(len(self._sizes), bool)
        wanted[clusters] = True
        starts = offsets(np.where(wanted, self._sizes, 0))
        known: list[np.ndarray] = [self._medians, self._widths, self._losses]
        whole = q1 - q0 == self._data.d
        state = known if whole else [np.ascontiguousarray(a[:, q0:q1]) for a in known]
        buffer, masses = self._sorted_out(clusters, wanted, starts, q0, q1)

        def solve(task: tuple[np.ndarray, int, int]) -> None:
            solve_medians(buffer, masses, starts, *task, *state)

        self._workers.map(solve, self._tasks(clusters, q1 - q0))
        if not whole:
            for all_features, some in zip(known, state, strict=True):
                all_features[:, q0:q1] = some

    def _sorted_out(
        self, clusters: np.ndarray, wanted: np.ndarray, starts: np.ndarray, q0: int, q1: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values and weights of the rows of some clusters, as `solve_medians` reads them."""
        data, weight, rowwise = self._data, self._weight, self._rowwise(q1 - q0)
        step = max(LEAST_ROWS, BLOCK // data.d) if data.in_place else max(256, CONVERTED // data.d)
        room = max(self._room, LEAST_ROOM) // (q1 - q0) // data.dtype.itemsize
        step = min(step, max(1, room // (2 * self._workers.n_threads))) if rowwise else data.n
        edges, places = self._places(wanted, step)
        buffer = self._values(starts[-1] * (q1 - q0))
        masses = np.empty(starts[-1] if weight.size else 0)

        def fill(p: int) -> None:
            for lo in range(edges[p], edges[p + 1], step):
                copy_rows(places[p], lo, min(lo + step, edges[p + 1]))

        def copy_rows(place: np.ndarray, lo: int, hi: int) -> None:
            labels, some_weight = self._labels[lo:hi], weight[lo:hi]
            counts = np.zeros(len(wanted), np.int64)
            count_rows(labels, some_weight, wanted, counts)
            ends = offsets(counts)
            rows = np.empty(ends[-1], np.int32)
            order_rows(labels, some_weight, wanted, ends, rows)
            block = frozen(np.ascontiguousarray(data.block(lo, hi)[:, q0:q1]))
            tasks = [clusters] if rowwise else np.array_split(clusters, TASKS)

            def copy(some: np.ndarray) -> None:
                sort_out(block, rows, ends, some, some_weight, starts, place, buffer, masses)

            for _ in (map if rowwise else self._workers.map)(copy, tasks):
                pass
            place += counts

        self._workers.map(fill, range(len(places)))
        return buffer, masses

    def _rowwise(self, width: int) -> bool:
        """Whether threads share the rows, not the clusters, to sort out so many features."""
        return width < self._data.d or width <= ROWWISE or not self._data.in_place

    def _places(self, wanted: np.ndarray, step: int) -> tuple[list[int], np.ndarray]:
        """Split the rows into parts of `step` rows, or of more where counts take too much memory.

        Returns the edges of the parts, and how many rows of each cluster come before each part.
        """
        n, k = self._data.n, len(wanted)
        n_parts = min(-(-n // step), max(1, self._room // (8 * k)))
        edges = [p * n // n_parts for p in range(n_parts + 1)]
        places = np.zeros((n_parts, k), np.int64)

        def count(p: int) -> None:
            at = slice(edges[p], edges[p + 1])
            count_rows(self._labels[at], self._weight[at], wanted, places[p])

        self._workers.map(count, range(n_parts))
        before = places.sum(axis=0)
        for part in places[::-1]:
            before -= part
            part[:] = before
        return edges, places

    def _values(self, size: int) -> np.ndarray:
        """A buffer of at least `size` values, kept: fresh memory costs as much as filling it."""
        if self._buffer.size < size:
            self._buffer = np.empty(size, self._data.dtype)
        return self._buffer

    def _tasks(self, clusters: np.ndarray, d: int) -> list[tuple[np.ndarray, int, int]]:
        """Tasks ``(clusters, first feature, end)`` of about equal work, the largest first."""
        share = max(1, int(self._sizes[clusters].sum()) // TASKS)
        part = np.cumsum(self._sizes[clusters]) // share
        found = []
        for p in np.unique(part):
            some = clusters[part == p]
            cuts = min(d, -(-int(self._sizes[some].sum()) // share))
            edges = [c * d // cuts for c in range(cuts + 1)]
            found += [(some, a, b) for a, b in pairwise(edges)]
        return sorted(
            found, key=lambda task: -int(self._sizes[task[0]].sum()) * (task[2] - task[1])
        )
