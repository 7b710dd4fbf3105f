"""Where to look for medians: brackets from a sample of the rows and from the last medians.

The sample has the same clusters as all rows. How far an exact median lies from the middle of the
sample's values is the sample's own error; from one refit to the next it changes by no more than the
rows that the cluster has exchanged. So brackets are wide at first, and few ranks of the sample wide
once the labels settle. A bracket decides how many values are collected and whether another look at
the rows is needed, never what the median is.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from kmgpu.kernels.cells import ABOVE, BELOW, INSIDE

FIRST_WIDTH, WIDTH, LEAST_WIDTH = 1.5, 2.0, 3.0  # three or four standard deviations, in ranks
FEWEST_EDGES, MOST_EDGES = 4, 64  # of a bracket that is divided,
MOST_ON_GPU = 16  # where every edge costs launches and a matrix product
UNEVEN = 1.5  # how many times its share the part of a bracket that holds the median may have
MOST_CELLS = 1 << 21  # numbers of the cells of all columns
FEWEST = 4  # values of a column that are collected, however many columns there are
FEW = 32  # rows of the sample in a cluster that say little


class Columns(NamedTuple):
    """The sample by cluster: the values of every feature in every cluster, ascending.

    Attributes
    ----------
    values : ndarray of shape (n_features, n_sampled)
        Those of cluster j are ``values[:, starts[j] : starts[j + 1]]``.
    starts : ndarray of shape (n_clusters + 1,), int64
    """

    values: np.ndarray
    starts: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        return np.diff(self.starts)

    def at(self, ranks: np.ndarray) -> np.ndarray:
        """The values of these ranks, (n_clusters, n_features, m), infinite where there are none."""
        inside = (ranks >= 0) & (ranks < self.sizes[:, None, None])
        where = np.clip(self.starts[:-1, None, None] + ranks, 0, self.values.shape[1] - 1)
        found = np.take_along_axis(
            self.values, where.transpose(1, 0, 2).reshape(len(self.values), -1), axis=1
        )
        found = found.reshape(len(self.values), len(ranks), -1).transpose(1, 0, 2)
        return np.where(inside, found, np.where(ranks < 0, -np.inf, np.inf)).astype(found.dtype)

    def ranks_of(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many values lie below, and not above, the points (n_clusters, n_features)."""
        below, up_to = np.zeros((2, *points.shape), np.int64)
        for j, (a, b) in enumerate(pairwise(self.starts)):
            own = self.values[:, a:b]
            below[j] = (own < points[j][:, None]).sum(axis=1)
            up_to[j] = (own <= points[j][:, None]).sum(axis=1)
        return below, up_to


class Sample:
    """Some rows, which guess where the medians of all are.

    Parameters
    ----------
    rows : ndarray of shape (n_sampled, n_features), of the dtype of the computation
    assign : callable
        ``assign(rows, centers)`` gives labels.
    """

    def __init__(
        self, rows: np.ndarray, assign: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ) -> None:
        self._rows, self._assign = rows, assign
        self._labels: np.ndarray | None = None
        self._offsets: np.ndarray | None = None  # of the last medians from the middle: shares
        self.columns: Columns

    def __len__(self) -> int:
        return len(self._rows)

    def follow(self, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Label the sample; the ranks where medians are expected, and how far they may be off.

        Both are of shape (n_clusters, n_features).
        """
        labels, k = self._assign(self._rows, centers), len(centers)
        order = np.argsort(labels, kind="stable")
        starts = np.searchsorted(labels[order], np.arange(k + 1))
        values = np.ascontiguousarray(self._rows[order].T)
        for a, b in pairwise(starts):
            values[:, a:b].sort(axis=1)
        self.columns = Columns(values, starts)
        sizes = self.columns.sizes
        width = FIRST_WIDTH * np.sqrt(sizes)
        middle = np.full(centers.shape, 0.5)
        if self._labels is not None and self._offsets is not None:
            moved = labels != self._labels
            gone = np.bincount(self._labels[moved], minlength=k)
            width = np.minimum(
                width, WIDTH * np.sqrt(np.bincount(labels[moved], minlength=k) + gone)
            )
            middle = 0.5 + self._offsets
        self._labels = labels
        width = np.where(sizes < FEW, sizes + 1, width + LEAST_WIDTH)
        width = np.broadcast_to(width[:, None], centers.shape)
        return middle * sizes[:, None], width

    def shares(self) -> np.ndarray:
        """The clusters' shares of the sample, and so about of the weight, (n_clusters,)."""
        return self.columns.sizes / len(self._rows)

    def learn(self, medians: np.ndarray) -> None:
        """Remember how far the medians of all rows lie from those of the sample."""
        below, up_to = self.columns.ranks_of(medians)
        sizes = np.maximum(self.columns.sizes, 1)[:, None]
        self._offsets = 0.5 * (below + up_to) / sizes - 0.5

    def forget(self) -> None:
        """Guess the next medians as the first ones."""
        self._labels = self._offsets = None


class Search:
    """The brackets of all columns, from one look at the rows to the next.

    Parameters
    ----------
    sample : Sample
    centers : ndarray of shape (n_clusters, n_features), float64
        Those that rows are assigned to.
    n_rows : int
    most : int
        Values that may be collected in one look.
    most_edges : int
        Of one bracket.

    Attributes
    ----------
    edges : ndarray of shape (n_clusters, n_features, n_edges), of the dtype of the sample
    collected : ndarray of shape (n_clusters, n_features), int64
    """

    def __init__(
        self, sample: Sample, centers: np.ndarray, n_rows: int, most: int, most_edges: int
    ) -> None:
        ranks, self._width = sample.follow(centers)
        self._columns, self._most, self._most_edges = sample.columns, most, most_edges
        sizes, shape = self._columns.sizes[:, None], centers.shape
        self._first = np.minimum(np.floor(ranks - self._width).astype(np.int64), sizes - 1)
        self._last = np.maximum(np.ceil(ranks + self._width).astype(np.int64), 0)
        expected = np.minimum(2 * self._width, sizes).sum() / len(sample)
        self._left = np.full(shape, -np.inf, self._columns.values.dtype)
        self._right = -self._left
        self._tries = 0
        if expected * n_rows <= most:
            self._collect(self._ends())
        else:
            steps = np.linspace(0, 1, self._n_edges(expected * n_rows))
            between = self._first[..., None] + np.rint(
                (self._last - self._first)[..., None] * steps
            ).astype(np.int64)
            self.edges = self._columns.at(between)
            self.collected = np.full(shape, -1)

    def _n_edges(self, n_values: float) -> int:
        """Edges that divide brackets of so many values, so that one part of each can be held."""
        wanted = 1 + np.ceil(UNEVEN * n_values / self._most)
        room = max(FEWEST_EDGES, MOST_CELLS // (2 * self._left.size))
        return int(np.clip(wanted, FEWEST_EDGES, min(self._most_edges, room)))

    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        found = self._columns.at(np.stack([self._first, self._last], axis=-1))
        return found[..., 0], found[..., 1]

    def _collect(self, ends: tuple[np.ndarray, np.ndarray]) -> None:
        self.edges = np.stack(ends, axis=-1)
        self.collected = np.ones(ends[0].shape, np.int64)

    def narrow(
        self,
        wanted: np.ndarray,
        state: np.ndarray,
        at: np.ndarray,
        found: np.ndarray,
        counts: np.ndarray,
    ) -> None:
        """Choose the next brackets of the columns that are not solved.

        Parameters
        ----------
        wanted : ndarray of shape (n_clusters, n_features), bool
        state, at, found : ndarrays of the same shape
            As `kmgpu.kernels.cells.solve_columns` leaves states, cells and medians.
        counts : ndarray of the same shape
            Values that are left to search.
        """
        self._tries += 1
        edges, inside = self.edges, wanted & (state == INSIDE)
        gap = np.where(inside, at // 2, 0)[..., None]
        low, high = wanted & (state == BELOW), wanted & (state == ABOVE)
        left, right = self._left, self._right
        right[low], left[high] = edges[low][:, 0], edges[high][:, -1]
        left[inside] = np.take_along_axis(edges, gap, 2)[inside][:, 0]
        right[inside] = np.take_along_axis(edges, gap + 1, 2)[inside][:, 0]
        known = wanted & ~np.isnan(found)  # the lower median: the next value is looked for
        left[known] = found[known]
        right[known & high] = np.inf
        begin, end = left.copy(), right.copy()
        near, share = self._nearby(edges[..., -1])
        begin[low] = np.maximum(begin, near[..., 0])[low]
        end[high] = np.minimum(end, near[..., 1])[high]
        end[known & high] = near[..., 2][known & high]
        counts = np.where(low | high, counts * share, counts)
        counts = np.where(wanted, counts, 0)
        self._collect((begin, end))
        if counts.sum() > self._most:
            large = wanted & (counts > max(FEWEST, self._most // int(wanted.sum())))
            self._split(large, begin, end, self._n_edges(counts.sum()))
        self.edges[~wanted] = np.inf

    def _nearby(self, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where to look next for what a bracket has missed: by little at first, then further.

        Returns values of the sample below the first bracket, above it, and after `ends`; and the
        share of a column that may lie between.
        """
        sizes = self._columns.sizes[:, None]
        times = 4 ** min(self._tries, 12)
        further = np.ceil(self._width * times).astype(np.int64)
        after = self._columns.ranks_of(ends)[1] + times
        ranks = self._first - further, self._last + further, after
        return self._columns.at(np.stack(ranks, -1)), np.minimum(2 * further / (sizes + 1), 1.0)

    def _split(self, large: np.ndarray, begin: np.ndarray, end: np.ndarray, n: int) -> None:
        """Divide some brackets by values of the sample, or evenly where it has too few there."""
        low, high = self._columns.ranks_of(begin)[1], self._columns.ranks_of(end)[0]
        steps = np.linspace(0, 1, n)[1:-1]
        ranks = low[..., None] + ((high - 1 - low)[..., None] * steps).astype(np.int64)
        inner = self._columns.at(ranks)
        few = (high - low < n) | (self._tries > 3)
        inner[few] = evenly(begin[few], end[few], n)
        inner = np.clip(inner, begin[..., None], end[..., None])
        inner[~large] = end[~large][:, None]
        self.edges = np.concatenate([begin[..., None], inner, end[..., None]], axis=-1)
        self.collected[large] = -1


def evenly(begin: np.ndarray, end: np.ndarray, n: int) -> np.ndarray:
    """N - 2 floats between two, such that as many floats lie between each pair; (m, n - 2)."""
    low, high = keys(begin)[:, None], keys(end)[:, None]
    step = (high - low + np.uint64(n - 2)) // np.uint64(n - 1)
    return from_keys(
        np.minimum(low + step * np.arange(1, n - 1, dtype=np.uint64), high), begin.dtype
    )


def keys(values: np.ndarray) -> np.ndarray:
    """Whole numbers in the order of floats, one apart for floats that follow each other."""
    kind, sign = _bits(values.dtype)
    bits = np.ascontiguousarray(values).view(kind)
    return np.where(bits & sign, ~bits, bits | sign).astype(np.uint64)


def from_keys(numbers: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """The floats of `keys`."""
    kind, sign = _bits(dtype)
    bits = numbers.astype(kind)
    return np.where(bits & sign, bits & ~sign, ~bits).view(dtype)


def _bits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """The integers of a float dtype's size, and the one of its sign."""
    kind: Any = np.uint32 if dtype == np.float32 else np.uint64
    return kind, kind(1 << (8 * dtype.itemsize - 1))
