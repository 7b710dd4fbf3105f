"""What one block of rows tells of its clusters: small sums, which are added in block order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kmgpu.algorithm.losses import Loss
from kmgpu.backend.arrays import HOST, Array, asarray, namespace, place_of, rows, to_host
from kmgpu.backend.blocks import block_bytes, over_blocks, row_blocks
from kmgpu.kernels.cells import unit_of
from kmgpu.kernels.dispatch import replaceable


class Moments(NamedTuple):
    """Sums over rows by cluster, on the host; each row counts relative to the centre of its label.

    Attributes
    ----------
    cost : float
        Weighted costs at these centres.
    counts : ndarray of shape (n_clusters,), int64
        Rows of positive weight.
    mass : ndarray of shape (n_clusters,), float64
        Weight.
    sums : ndarray of shape (n_clusters, n_features), float64
        Weight times difference to the centre, so an offset of the data costs no digits.
    """

    cost: float
    counts: np.ndarray
    mass: np.ndarray
    sums: np.ndarray

    def and_then(self, other: Moments) -> Moments:
        """These rows and those after them."""
        return Moments(
            self.cost + other.cost,
            self.counts + other.counts,
            self.mass + other.mass,
            self.sums + other.sums,
        )

    def but_for(self, some: Moments) -> Moments:
        """These rows without some of them."""
        return self.and_then(Moments(-some.cost, -some.counts, -some.mass, -some.sums))


@replaceable
def moments(
    x: Array,
    centers: Array,
    labels: Array,
    sample_weight: Array | None,
    loss: Loss,
    memory_budget: int | None = None,
) -> Moments:
    """The `Moments` of some rows.

    Parameters
    ----------
    x : array of shape (m, n_features)
    centers : array of shape (n_clusters, n_features), float64
    labels : array of shape (m,), int32
    sample_weight : array of shape (m,), float64, or None
    loss : Loss
    memory_budget : int, optional
        Bytes for the temporary arrays of one block.
    """
    xp, device = place = place_of(x)
    k, d = centers.shape
    clusters = xp.arange(k, dtype=labels.dtype, device=device)

    def of(start: int, stop: int) -> Array:
        own = labels[start:stop]
        apart = rows(x, start, stop, xp.float64) - xp.take(centers, own, axis=0)
        costs = loss.cost(apart)
        share = xp.astype(clusters[:, None] == own[None, :], xp.float64)
        if sample_weight is not None:
            weight = sample_weight[start:stop]
            costs = xp.where(weight > 0, costs * weight, xp.zeros_like(costs))
            share = share * weight[None, :]
        counts = xp.astype(xp.count_nonzero(share, axis=1), xp.float64)
        sums = xp.reshape(xp.matmul(share, apart), (-1,))
        return xp.concat([xp.reshape(xp.sum(costs), (1,)), counts, xp.sum(share, axis=1), sums])

    row_bytes = 8 * (2 * k + 3 * d)
    blocks = row_blocks(x.shape[0], row_bytes, block_bytes(place, memory_budget))
    parts = over_blocks(blocks, of, place == HOST)
    total = to_host(sum(parts[1:], start=parts[0]))
    counts, mass, sums = np.split(total[1:], [k, 2 * k])
    return Moments(float(total[0]), counts.astype(np.int64), mass, sums.reshape(k, d))


class Brackets(NamedTuple):
    """Where medians are looked for; see `kmgpu.kernels.cells`.

    Attributes
    ----------
    edges : ndarray of shape (n_clusters, n_features, n_edges), of the dtype of the computation
    collected : ndarray of shape (n_clusters, n_features), int64
        The cell whose values are collected, one between two edges; -1 for none.
    factors : ndarray of shape (2, n_clusters), float64, or None
        What turns weights into units; None where there are no weights.
    most : int
        Values that may be collected; where there are more, none are.
    """

    edges: np.ndarray
    collected: np.ndarray
    factors: np.ndarray | None
    most: int


class Cells(NamedTuple):
    """What rows tell of the brackets, on the host; see `kmgpu.kernels.cells`.

    Attributes
    ----------
    moments : Moments
    units : ndarray of shape (n_clusters,), int64
        The clusters' weights.
    below, inside : ndarrays of shape (n_clusters, n_features[, n_cells]), int64
        Units of the values below all edges, and in every cell.
    lower, inside_sums : ndarrays of the same shapes, float64
        Weight times difference to the centre.
    keys : tuple of ndarrays of shape (p,), int32
        Column (cluster x n_features + feature) of every collected value.
    values, weights : tuples of ndarrays of shape (p,)
        `weights` are empty where there are none.
    complete : bool
        Whether all values that were asked for have been collected.
    """

    moments: Moments
    units: np.ndarray
    below: np.ndarray
    inside: np.ndarray
    lower: np.ndarray
    inside_sums: np.ndarray
    keys: tuple[np.ndarray, ...]
    values: tuple[np.ndarray, ...]
    weights: tuple[np.ndarray, ...]
    complete: bool

    def and_then(self, other: Cells) -> Cells:
        """These rows and those after them."""
        added: list[Any] = [a + b for a, b in zip(self[1:9], other[1:9], strict=True)]  # type: ignore[operator]
        moments = self.moments.and_then(other.moments)
        return Cells._make([moments, *added, self.complete and other.complete])

    def at_most(self, most: int) -> Cells:
        """The same; without any values, where there are more than `most`."""
        if self.complete and sum(map(len, self.keys)) <= most:
            return self
        return self._replace(keys=(), values=(), weights=(), complete=False)


@replaceable
def cells(
    x: Array,
    centers: Array,
    labels: Array,
    sample_weight: Array | None,
    brackets: Brackets,
    loss: Loss,
    memory_budget: int | None = None,
) -> Cells:
    """The `Cells` of some rows; parameters are those of `moments`, and the brackets."""
    xp, device = place = place_of(x)
    (k, d), n_edges = centers.shape, brackets.edges.shape[2]
    dtype = xp.float32 if brackets.edges.dtype == np.float32 else xp.float64
    clusters = xp.arange(k, dtype=labels.dtype, device=device)
    edges = [asarray(np.ascontiguousarray(brackets.edges[..., e]), place) for e in range(n_edges)]
    wanted = asarray(brackets.collected, place)
    factors = None if brackets.factors is None else asarray(brackets.factors, place)

    def of(start: int, stop: int) -> tuple[Any, ...]:
        own, value = labels[start:stop], rows(x, start, stop, dtype)
        apart = xp.astype(value, xp.float64) - xp.take(centers, own, axis=0)
        share = xp.astype(clusters[:, None] == own[None, :], xp.float64)
        weight = xp.ones(stop - start, dtype=xp.float64, device=device)
        units = weight
        if factors is not None and sample_weight is not None:
            weight = sample_weight[start:stop]
            units = unit_of(weight, xp.take(factors[0, :], own), xp.take(factors[1, :], own))
        parts = _whole_parts(units) if factors is not None else [units]
        apart = apart * weight[:, None]
        there = (weight > 0)[:, None]

        def added(chosen: Array) -> tuple[np.ndarray, np.ndarray]:
            chosen = xp.logical_and(chosen, there)
            counts = [
                xp.matmul(share * part[None, :], xp.astype(chosen, xp.float64)) for part in parts
            ]
            sums = xp.matmul(share, xp.where(chosen, apart, xp.zeros_like(apart)))
            return _whole(counts), to_host(sums)

        at = [xp.take(edge, own, axis=0) for edge in edges]
        found = [added(value < at[0])]
        picked = xp.zeros_like(there)
        for cell in range(2 * n_edges - 1):
            edge, after = at[cell // 2], at[min(cell // 2 + 1, n_edges - 1)]
            last = cell == 2 * n_edges - 2
            chosen = value == edge if last else xp.logical_and(value == edge, after > edge)
            if cell % 2:
                chosen = xp.logical_and(value > edge, value < after)
                asked = xp.logical_and(chosen, xp.take(wanted, own, axis=0) == cell)
                picked = xp.logical_or(picked, xp.logical_and(asked, there))
            found.append(added(chosen))
        total = _whole([xp.matmul(share, part[:, None]) for part in parts])[:, 0]
        units_and_sums = np.stack([f[0] for f in found]), np.stack([f[1] for f in found])
        return total, *units_and_sums, _collected(picked, own, value, weight, d)

    row_bytes = 8 * (3 * k + (6 + n_edges) * d)
    blocks = row_blocks(x.shape[0], row_bytes, block_bytes(place, memory_budget))
    found = over_blocks(blocks, of, place == HOST)
    units, counts, sums = (sum(part[i] for part in found) for i in range(3))
    picked = [part[3] for part in found]
    keys, values, weights = (tuple(p[i] for p in picked) for i in range(3))
    return Cells(
        Moments(*moments(x, centers, labels, sample_weight, loss, memory_budget)),
        units, counts[0], np.moveaxis(counts[1:], 0, -1), sums[0], np.moveaxis(sums[1:], 0, -1),
        keys, values, weights if factors is not None else (), True,
    )  # fmt: skip


def _whole_parts(units: Array) -> list[Array]:
    """Three parts of whole numbers below 2**63, each exact in sums of float64."""
    xp = namespace(units)
    high = xp.floor(units / 2.0**42)
    rest = units - high * 2.0**42
    middle = xp.floor(rest / 2.0**21)
    return [high, middle, rest - middle * 2.0**21]


def _whole(parts: list[Array]) -> np.ndarray:
    total = np.zeros(parts[0].shape, np.int64)
    for part in parts:
        total = (total << 21) + to_host(part).astype(np.int64)
    return total


def _collected(
    picked: Array, labels: Array, values: Array, weight: Array, d: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns, values and weights of the values that are picked, (m, d) bool."""
    xp, place = namespace(values), place_of(values)
    at = np.flatnonzero(to_host(picked))
    row, feature = np.divmod(at, d)
    own = to_host(labels)[row]
    some = to_host(xp.take(xp.reshape(values, (-1,)), asarray(at, place)))
    return (own * d + feature).astype(np.int32), some, to_host(weight)[row]
