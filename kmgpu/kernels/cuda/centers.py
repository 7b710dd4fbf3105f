"""Centres as the kernels of the assignment read them: about a point among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from kmgpu.backend.arrays import Array, place_of
from kmgpu.kernels.cuda.module import checked, launch, origin_dtype

COST = {"l1": "Manhattan", "l2": "Squared"}
WARPS = 8


@dataclass(frozen=True)
class Centers:
    """Centres as the kernels read them.

    Attributes
    ----------
    turned : array of shape (n_features, n_clusters), float64
        Themselves, feature after feature.
    origin : array of shape (n_features,), float32 or float64
        A point among them, of `origin_dtype`.
    shifted : array of shape (n_features, n_clusters), float32
        Relative to it.
    extents : array of shape (n_clusters,), float64
        Their lengths about the origin.
    norms : array of shape (n_clusters,), float32
        The squares of these, for L2.
    """

    turned: Array
    origin: Array
    shifted: Array
    extents: Array
    norms: Array


def prepared(loss: str, x: Array, centers: Array) -> Centers:
    """Put the centres about an origin, by two launches."""
    xp, device = place_of(centers)
    k, d = centers.shape
    checked("centers", centers, np.float64, (k, x.shape[1]), x)
    choosing, shifting = prepared_names(loss, x.dtype)
    origin = xp.empty(d, dtype=origin_dtype(x.dtype), device=device)
    norms = xp.empty(k, dtype=xp.float32, device=device)
    shifted = xp.empty((d, k), dtype=xp.float32, device=device)
    turned = xp.empty((d, k), dtype=xp.float64, device=device)
    extents = xp.empty(k, dtype=xp.float64, device=device)
    numbers, block = (np.int32(k), np.int32(d)), (32 * WARPS,)
    launch("centers", choosing, -(-d // WARPS), block, (centers, *numbers, origin))
    arguments = (centers, origin, *numbers, shifted, turned, extents, norms)
    launch("centers", shifting, -(-k // WARPS), block, arguments)
    return Centers(turned, origin, shifted, extents, norms)


def prepared_names(loss: str, dtype: Any) -> tuple[str, str]:
    """The kernels that put centres about an origin."""
    kind = "float" if origin_dtype(dtype) == np.float32 else "double"
    return f"choose_origin<{kind}, {WARPS}>", f"shift_centers<{kind}, {COST[loss]}, {WARPS}>"


def instantiations() -> Iterator[tuple[str, int]]:
    """Every kernel that this file can launch, and the threads of its blocks."""
    for dtype in ("float32", "float64"):
        choosing, shifting = prepared_names("l1", dtype)
        for name in (choosing, shifting, prepared_names("l2", dtype)[1]):
            yield name, 32 * WARPS
