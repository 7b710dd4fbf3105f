"""Rows that rounding could give to the wrong centre."""

import numpy as np


def beside_bisector(rng, one, other, n, off, away):
    """Rows (n, d) about the middle of two points.

    They are up to `off` times the way between the points off the middle, on either side, and
    about `away` from both.
    """
    sides = off * rng.uniform(-1, 1, (n, 1)) * (other - one)
    across = rng.standard_normal((n, len(one))) * away
    along = (other - one) / np.linalg.norm(other - one)
    across -= (across @ along)[:, None] * along
    return (one + other) / 2 + sides + across


def close_by(rng, loss, d, case):
    """Float32 rows, a third of them near two centres in a case where float32 rounds too much.

    "far rows": far from centres that lie near the origin of computations. "far group": with their
    centres far from that origin. "underflow": so small, as most others then are, that squares lose
    digits (L2) or centres do when they are rounded (L1).
    """
    n = 3000
    crowd = rng.standard_normal((2 * n, d))
    if case == "far rows":
        centers = rng.integers(-(2**20), 2**20, (2, d)) / 2.0**20  # nothing to round
        if loss == "l2":
            x = beside_bisector(rng, *centers, n, 1e-6, 1000.0)
        else:  # rows beyond both centres in every feature
            centers[1] = centers[0][::-1]
            x = beside_bisector(rng, *centers, n, 1e-6, 0.0) + rng.uniform(300, 900, (n, 1))
    elif case == "far group":
        centers = 1e4 + rng.standard_normal(d) + 0.05 * rng.standard_normal((2, d))
        x = beside_bisector(rng, *centers, n, 0.01, 0.05)
    else:
        size = 1e-22 if loss == "l2" else 3e-45
        points = rng.standard_normal((2, d))
        centers, x = size * points, size * beside_bisector(rng, *points, n, 1.0, 1.0)
        crowd[n // 2 :] *= size
    return np.concatenate([crowd, x]).astype(np.float32), centers
