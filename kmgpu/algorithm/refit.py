"""The refitting step: weighted means and weighted coordinatewise medians of clusters.

Both start from rows grouped by label (`group_rows`), need only the Array API standard, and accept
any float, integer or boolean data, which they convert block by block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kmgpu.backend.arrays import (
    HOST,
    Array,
    column,
    compute_dtype,
    namespace,
    place_of,
    take_rows,
    to_host,
)
from kmgpu.backend.blocks import over_blocks
from kmgpu.kernels.agreement import middle_ranks, unit_factors
from kmgpu.kernels.dispatch import replaceable

MAX_CLUSTERS_A_SPAN = 64


@dataclass(frozen=True)
class Groups:
    """Rows ordered by cluster; rows of zero weight are left out.

    Attributes
    ----------
    order : array of shape (n_samples,), int64
        Row indices, ascending within each cluster.
    keys : array of shape (n_samples,), int16 or int32
        Cluster of every row, in the order of the data; n_clusters for a row of zero weight.
    bounds : array of shape (n_clusters + 1,), int64
        Cluster j's rows are ``order[bounds[j]:bounds[j + 1]]``.
    """

    order: Array
    keys: Array
    bounds: Array

    @property
    def sizes(self) -> Array:
        """Number of rows of positive weight in each cluster, (n_clusters,) int64."""
        return self.bounds[1:] - self.bounds[:-1]

    @property
    def empty(self) -> Array:
        """Which clusters have no such row, (n_clusters, 1)."""
        return (self.sizes == 0)[:, None]

    @property
    def first(self) -> Array:
        """Where each cluster begins in `order`, (n_clusters,); 0 for those past its end."""
        starts = self.bounds[:-1]
        inside = starts < self.order.shape[0]
        return namespace(starts).where(inside, starts, namespace(starts).zeros_like(starts))

    @cached_property
    def host_bounds(self) -> np.ndarray:
        """`bounds` on the host: one small copy."""
        return to_host(self.bounds)

    def spans(self, numbers: int, row_numbers: int) -> Iterator[tuple[int, int, int, int]]:
        """``(first, last, start, stop)``: clusters first:last hold the ordered rows start:stop.

        A span holds several whole clusters, or part of one, and takes at most `numbers` numbers,
        but at least one row. In a span of c clusters a row takes `row_numbers` + 2 c.
        """
        bounds, n_clusters = self.host_bounds, len(self.host_bounds) - 1
        max_rows = max(1, numbers // (row_numbers + 2))
        first = 0
        while first < n_clusters:
            sizes = bounds[first + 1 : first + 1 + MAX_CLUSTERS_A_SPAN] - bounds[first]
            taken = sizes * (row_numbers + 2 * np.arange(1, len(sizes) + 1))
            last = first + max(1, int(np.searchsorted(taken, numbers, side="right")))
            start, stop = int(bounds[first]), int(bounds[last])
            for begin in range(start, max(stop, start + 1), max_rows):
                yield first, last, begin, min(stop, begin + max_rows)
            first = last


def group_rows(labels: Array, n_clusters: int, sample_weight: Array | None = None) -> Groups:
    """Group rows by label with one stable sort; nothing is read by the host.

    Parameters
    ----------
    labels : array of shape (n_samples,), integer, in [0, n_clusters)
    n_clusters : int
    sample_weight : array of shape (n_samples,), optional
        Rows of zero weight belong to no group.

    Returns
    -------
    Groups
    """
    xp, device = place_of(labels)
    # NumPy and CUDA sort 16-bit integers by radix
    keys = xp.astype(labels, xp.int16 if n_clusters < 32767 else xp.int32)
    if sample_weight is not None:
        nowhere = xp.asarray(n_clusters, dtype=keys.dtype, device=device)
        keys = xp.where(sample_weight > 0, keys, nowhere)
    order = xp.argsort(keys, stable=True)
    edges = xp.arange(n_clusters + 1, dtype=keys.dtype, device=device)
    bounds = xp.searchsorted(xp.take(keys, order), edges)
    return Groups(order, keys, xp.astype(bounds, xp.int64, copy=False))


@replaceable
def means(
    x: Array, groups: Groups, sample_weight: Array | None, previous: Array, budget: int
) -> Array:
    """Weighted mean of every cluster, accumulated in float64.

    Each cluster is summed relative to its own first row, so that an offset common to the data
    costs no digits and identical rows have exactly themselves as their mean.

    Parameters
    ----------
    x : array of shape (n_samples, n_features)
    groups : Groups
    sample_weight : array of shape (n_samples,), float64, or None
    previous : array of shape (n_clusters, n_features), float64
        Centres kept by clusters that have no row.
    budget : int
        Bytes for the temporary arrays of one block.

    Returns
    -------
    array of shape (n_clusters, n_features), float64
    """
    n_features = previous.shape[1]
    xp, device = place = place_of(previous)
    anchors = take_rows(x, xp.take(groups.order, groups.first), xp.float64)

    def add_up(first: int, last: int, start: int, stop: int) -> tuple[int, int, Array, Array]:
        picked = groups.order[start:stop]
        member = xp.astype(xp.take(groups.keys, picked), xp.int32)
        clusters = xp.arange(first, last, dtype=member.dtype, device=device)
        share = xp.astype(clusters[:, None] == member[None, :], xp.float64)
        if sample_weight is not None:
            share = share * xp.take(sample_weight, picked)[None, :]
        offsets = take_rows(x, picked, xp.float64) - xp.take(anchors, member, axis=0)
        return first, last, xp.matmul(share, offsets), xp.sum(share, axis=1)

    runs = groups.spans(budget // 8, 2 * n_features + 2)
    sums: list[Array] = []
    totals: list[Array] = []
    done = 0
    for first, last, run_sum, run_total in over_blocks(runs, add_up, place == HOST):
        if first < done:
            sums[-1], totals[-1] = sums[-1] + run_sum, totals[-1] + run_total
        else:
            sums, totals = [*sums, run_sum], [*totals, run_total]
        done = last
    total = xp.concat(totals)[:, None]
    total = xp.where(groups.empty, xp.ones_like(total), total)
    return xp.where(groups.empty, previous, anchors + xp.concat(sums, axis=0) / total)


@replaceable
def medians(
    x: Array, groups: Groups, sample_weight: Array | None, previous: Array, budget: int
) -> Array:
    """Weighted coordinatewise median of every cluster.

    The weighted sum of absolute differences is least on an interval, and the median is its
    midpoint. The interval is longer than a point for an even count (between the two middle values),
    and where exactly half the weight lies on either side, as `kmgpu.kernels.agreement` measures it.
    So equal weights change nothing, and a row of weight 3 counts as three rows.

    Parameters and return value are those of `means`; `budget` is not needed, as one feature is
    sorted at a time.
    """
    xp, _ = place_of(previous)
    weight = None if sample_weight is None else _WeightByCluster(sample_weight, groups)
    lower = groups.first + (groups.sizes - xp.astype(groups.sizes > 0, xp.int64)) // 2
    upper = groups.first + groups.sizes // 2
    columns = []
    for feature in range(previous.shape[1]):
        values = column(x, feature, compute_dtype(x))
        order = xp.argsort(values)
        order = xp.take(order, xp.argsort(xp.take(groups.keys, order), stable=True))
        values = xp.take(values, order)
        if weight is not None:
            lower, upper = weight.middle(values, order)
        a, b = (xp.astype(xp.take(values, ends), xp.float64) for ends in (lower, upper))
        columns.append(xp.where(a == b, a, 0.5 * a + 0.5 * b))  # halves of the least underflow
    return xp.where(groups.empty, previous, xp.stack(columns, axis=1))


class _WeightByCluster:
    """Where the middle of each cluster's weight is; see `kmgpu.kernels.agreement`.

    Parameters
    ----------
    sample_weight : array of shape (n_samples,), float64
    groups : Groups
    """

    def __init__(self, sample_weight: Array, groups: Groups) -> None:
        self._xp, device = place_of(sample_weight)
        xp, sizes = self._xp, np.diff(groups.host_bounds)
        keys, n_clusters = to_host(groups.keys), len(sizes)
        totals = np.bincount(keys, to_host(sample_weight), minlength=n_clusters + 1)
        units, clusters = sample_weight, xp.astype(groups.keys, xp.int32)
        for factors in unit_factors(totals):
            units = units * xp.take(xp.asarray(factors, device=device), clusters)
        self._units = xp.astype(xp.round(units), xp.int64)
        self._groups, self._members = groups, xp.take(clusters, groups.order)
        self._before = xp.where(groups.bounds > 0, groups.bounds - 1, groups.bounds)
        self._starts = xp.cumulative_sum(xp.take(self._units, groups.order))
        self._starts = self._at_bounds(self._starts)
        low, high = middle_ranks(to_host(self._starts[1:] - self._starts[:-1]), sizes)
        never = np.zeros(1, np.int64)  # rows of zero weight, after the last cluster
        self._low, self._high = (
            xp.asarray(np.concatenate([ranks, never]), device=device) for ranks in (low, high)
        )

    def middle(self, values: Array, order: Array) -> tuple[Array, Array]:
        """Positions of the lower and the upper weighted median of each cluster.

        Parameters
        ----------
        values : array of shape (n_samples,)
            One feature of the rows, ascending in each cluster.
        order : array of shape (n_samples,), int64
            Whose they are.

        Returns
        -------
        lower, upper : arrays of shape (n_clusters,), int64
        """
        xp, first = self._xp, self._groups.first
        # sums over several clusters may wrap around, their differences within one are right
        reached = xp.cumulative_sum(xp.take(self._units, order))
        reached = reached - xp.take(self._starts, self._members)
        lower = first + self._count(reached < xp.take(self._low, self._members))
        upper = first + self._count(reached < xp.take(self._high, self._members))
        lowest = xp.take(values, lower)
        lowest = xp.concat([lowest, lowest[:1]])  # rows of zero weight may have any value
        following = first + self._count(values <= xp.take(lowest, self._members))
        return lower, xp.minimum(upper, following)

    def _count(self, chosen: Array) -> Array:
        """How many rows of each cluster are chosen, (n_clusters,), int64."""
        ends = self._at_bounds(self._xp.cumulative_sum(self._xp.astype(chosen, self._xp.int64)))
        return ends[1:] - ends[:-1]

    def _at_bounds(self, sums: Array) -> Array:
        """Cumulative sums before each cluster's first row and after the last's last."""
        ends = self._xp.take(sums, self._before)
        return self._xp.where(self._groups.bounds > 0, ends, self._xp.zeros_like(ends))
