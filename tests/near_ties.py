"""Rows that rounding could give to the wrong centre, and the costs that decide."""

import numpy as np


def costs_in_order(x, centers, loss):
    """Float64 costs (n, k): differences, added feature after feature."""
    x, centers = np.asarray(x, np.float64), np.asarray(centers, np.float64)
    costs = np.zeros((len(x), len(centers)))
    with np.errstate(over="ignore", under="ignore"):
        for column, at in zip(x.T, centers.T, strict=True):
            apart = column[:, None] - at
            costs += apart * apart if loss == "l2" else np.abs(apart)
    return costs


def beside_bisector(rng, one, other, n, off, away=0.0):
    """Rows (n, d) about the middle of two points.

    They are up to `off` times the way between the points off the middle, on either side, and
    about `away` from both.
    """
    sides = off * rng.uniform(-1, 1, (n, 1)) * (other - one)
    across = rng.standard_normal((n, len(one))) * away
    along = (other - one) / max(np.linalg.norm(other - one), 1e-300)
    across -= (across @ along)[:, None] * along
    return (one + other) / 2 + sides + across


def close_by(rng, loss, d, case):
    """Rows and two centres (with others far off) of a case where float32 rounds too much.

    "far rows": rows far from centres that lie near the origin of computations. "far group": rows
    and centres close together, far from that origin. "underflow": beside rows of size 1, others so
    small that float32 squares, or centres that are rounded to it, lose digits. "underflow in
    float64": the same of float64.
    """
    n, dtype = 3000, np.float32
    crowd = rng.standard_normal((2 * n, d))
    if case == "far rows":
        centers = rng.integers(-(2**20), 2**20, (2, d)) / 2.0**20  # nothing to round
        if loss == "l1":  # all rows on the same side of both in most features
            centers[1] = centers[0][::-1]
        x = beside_bisector(rng, *centers, n, 1e-6, 0)
        push = 300 + np.abs(rng.standard_normal((n, 1 if loss == "l1" else d))) * 300
        x = x + push if loss == "l1" else beside_bisector(rng, *centers, n, 1e-6, 1000.0)
    elif case == "far group":
        middle = 1e4 + rng.standard_normal(d)
        centers = middle + 0.05 * rng.standard_normal((2, d))
        x = beside_bisector(rng, *centers, n, 0.01, 0.05)
    elif case == "underflow":
        size = 1e-22 if loss == "l2" else 3e-45
        centers = size * rng.standard_normal((2, d))
        x = beside_bisector(rng, *(centers / size), n, 1.0, 1.0) * size
        crowd[: n + n // 2] *= size
    else:
        dtype, size = np.float64, 1e-162
        centers = size * rng.standard_normal((2, d))
        x = beside_bisector(rng, *(centers / size), n, 1.0, 1.0) * size
        crowd *= size
    return np.concatenate([crowd, x]).astype(dtype), centers
