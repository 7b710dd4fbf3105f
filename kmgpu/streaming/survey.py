"""The first pass: how many rows, all finite; their weight, mean, spread and extent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.scale import check_widths
from kmgpu.backend.arrays import HOST, Array, asarray, place_of, rows, to_host
from kmgpu.backend.blocks import block_bytes, over_blocks, row_blocks
from kmgpu.kernels.dispatch import replaceable
from kmgpu.sources.base import Block, Source
from kmgpu.streaming.statistics import moments


class NotFinite(ValueError):
    """A value that is NaN or infinite: its row, its column, and itself."""


class Extent(NamedTuple):
    """Some rows, seen from their first one; on the host.

    Attributes
    ----------
    n_rows : int
    mass : float
    mean, squares : ndarrays of shape (n_features,), float64
        Weighted mean, and weighted sum of squared differences to it.
    low, high : ndarrays of shape (n_features,), float64
        Of the rows that have weight.
    """

    n_rows: int
    mass: float
    mean: np.ndarray
    squares: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def and_then(self, other: Extent) -> Extent:
        """These rows and those after them (T. F. Chan, G. H. Golub, R. J. LeVeque, 1979)."""
        mass = self.mass + other.mass
        share = other.mass / mass if mass > 0 else 0.0
        apart = other.mean - self.mean
        return Extent(
            self.n_rows + other.n_rows,
            mass,
            self.mean + apart * share,
            self.squares + other.squares + apart * apart * self.mass * share,
            np.minimum(self.low, other.low),
            np.maximum(self.high, other.high),
        )


def survey(source: Source, loss: Loss, memory_budget: int | None) -> Extent:
    """Look at all rows once.

    Raises
    ------
    ValueError
        For NaN or infinity, naming row and block; for values whose costs overflow or vanish.
    """
    try:
        found = source.fold(_extent_of_block, Extent.and_then, memory_budget)
    except NotFinite as error:
        row, column, value = error.args
        what = "NaN" if np.isnan(value) else "infinity"
        msg = (
            f"Input X contains {what}: first at {source.where(row)}, column {column}. "
            f"Drop such rows or fill them in."
        )
        raise ValueError(msg) from None
    if source.dtype == np.float64:
        with np.errstate(over="ignore", invalid="ignore"):
            check_widths(np.maximum(found.high - found.low, 0.0), loss)
    return found


def spread(source: Source, extent: Extent, loss: Loss, memory_budget: int | None) -> float:
    """As `kmgpu.algorithm.spread.spread`; another pass unless the loss is squared."""
    cost = extent.squares.sum()
    if not loss.squared:
        cost = sum(source.map(_cost_of_block, extent.mean[None], loss, memory_budget))
    return float(cost) / (extent.mass * source.n_features)


def _extent_of_block(block: Block, memory_budget: int | None) -> Extent:
    found = Extent(*extent(block.rows, block.weight, memory_budget))
    if not np.isfinite(found.mean).all():  # or it has overflowed
        host = to_host(block.rows)
        bad = np.argwhere(~np.isfinite(host))
        if len(bad):
            row, column = bad[0]
            raise NotFinite(block.start + int(row), int(column), float(host[row, column]))
    return found


def _cost_of_block(
    block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None
) -> float:
    xp, device = place = place_of(block.rows)
    labels = xp.zeros(block.rows.shape[0], dtype=xp.int32, device=device)
    at = asarray(centers, place)
    return moments(block.rows, at, labels, block.weight, loss, memory_budget)[0]


@replaceable
def extent(x: Array, sample_weight: Array | None, memory_budget: int | None = None) -> Extent:
    """The `Extent` of rows beside each other; NaN and infinity show in `mean`."""
    xp, _ = place = place_of(x)
    origin = rows(x, 0, 1, xp.float64)
    n, d = x.shape

    def of(start: int, stop: int) -> np.ndarray:
        block = rows(x, start, stop, xp.float64)
        apart = block - origin
        least = most = block
        weighted = apart
        mass = xp.full((1, d), float(stop - start), dtype=xp.float64, device=place.device)
        if sample_weight is not None:
            weight = sample_weight[start:stop, None]
            weighted, there = apart * weight, weight > 0
            mass = mass * 0 + xp.sum(weight)
            least, most = xp.where(there, block, xp.inf), xp.where(there, block, -xp.inf)
        parts = xp.sum(weighted, axis=0), xp.sum(weighted * apart, axis=0)
        ends = xp.min(least, axis=0), xp.max(most, axis=0)
        return to_host(xp.stack([mass[0, :], *parts, *ends]))

    blocks = row_blocks(n, 8 * 6 * d, block_bytes(place, memory_budget))
    found = np.stack(over_blocks(blocks, of, place == HOST))
    mass, sums, squares = found[:, :3].sum(axis=0)
    mean = sums / mass[0] if mass[0] > 0 else 0.0 * sums
    squares = np.maximum(squares - mass[0] * mean * mean, 0.0)
    low, high = found[:, 3].min(axis=0), found[:, 4].max(axis=0)
    return Extent(n, float(mass[0]), to_host(origin)[0] + mean, squares, low, high)
