"""Rows divided by their lengths."""

from __future__ import annotations

import numpy as np

from kmgpu.backend.arrays import HOST, Array, compute_dtype, place_of, rows, to_host
from kmgpu.backend.blocks import block_bytes, over_blocks, row_blocks
from kmgpu.backend.sparse import SparseRows, scaled_rows


def unit_rows(x: Array, name: str = "X", first: int = 0, memory_budget: int | None = None) -> Array:
    """Every row divided by its Euclidean length: a copy of `x` in its floating dtype.

    The length is computed in float64, from the row over its largest entry, and squares are added
    feature after feature. So a unit row depends on its row alone: not on layout, block or device,
    and zeros that a sparse row leaves out change nothing.

    Parameters
    ----------
    x : array or `SparseRows` of shape (n_samples, n_features)
    name : str
        Of the argument, for errors.
    first : int
        Number of the first row, for errors.
    memory_budget : int, optional
        Bytes for the temporary arrays of one block; the copy comes on top.

    Returns
    -------
    array or `SparseRows` of shape (n_samples, n_features)
        float32 for float32 and narrower floats, float64 for the rest.

    Raises
    ------
    ValueError
        For a row of zeros, which has no direction. A row that is not finite stays as it is.
    """
    if isinstance(x, SparseRows):
        made, zero = scaled_rows(x)
        _check_lengths(zero, name, first)
        return made
    xp, device = place = place_of(x)
    n, d = x.shape
    out = xp.empty((n, d), dtype=compute_dtype(x), device=device)

    def divide(start: int, stop: int) -> np.ndarray:
        block = rows(x, start, stop, xp.float64)
        most = xp.max(xp.abs(block), axis=1, keepdims=True)
        zero, finite = most == 0, xp.isfinite(most)
        given, block = block, block / xp.where(zero, xp.ones_like(most), most)
        length = xp.sqrt(_added(block * block))
        unit = block / xp.where(zero, xp.ones_like(most), length)
        out[start:stop, :] = xp.astype(xp.where(finite, unit, given), out.dtype)
        return start + np.flatnonzero(to_host(zero))

    blocks = row_blocks(n, 8 * 4 * d, block_bytes(place, memory_budget))
    found = over_blocks(blocks, divide, place == HOST)
    _check_lengths(np.concatenate([np.empty(0, np.int64), *found]), name, first)
    return out


def _added(squares: Array) -> Array:
    """The sum of every row, (n, 1), feature after feature on every backend."""
    xp, _ = place = place_of(squares)
    if place == HOST:
        return xp.cumulative_sum(squares, axis=1)[:, -1:]
    total = squares[:, :1]
    for feature in range(1, squares.shape[1]):
        total = total + squares[:, feature : feature + 1]
    return total


def _check_lengths(zero: np.ndarray, name: str, first: int) -> None:
    if zero.size:
        more = f", as do {zero.size - 1:,} others" if zero.size > 1 else ""
        remedy = "Give other centres" if name == "init" else "Leave such rows out"
        example = "" if name == "init" else ": X[(X != 0).any(axis=1)]"
        msg = (
            f"{name} has a row of length zero, which has no direction: row {first + int(zero[0])} "
            f"holds zeros only{more}. {remedy}{example}."
        )
        raise ValueError(msg)
