"""How far computed Manhattan distances may be from the true ones, and bounds rounded outwards."""

from typing import Any, NamedTuple

import numpy as np

from kmgpu.kernels.cpu.lowlevel.compiled import njit
from kmgpu.kernels.cpu.lowlevel.rows import Rows

EPS = 2.0**-52  # of float64
# of stored float32 bounds: four times what their own rounding and that of a comparison can lose
ROUNDED = 2.0**-21
LEAST = 2.0**-126
MOST = float(np.finfo(np.float32).max)


class Rounding(NamedTuple):
    """How far computed distances, those of `lowlevel.exact` included, may be from the true ones.

    Attributes
    ----------
    up, down : float
        A distance between a rounded row and a rounded centre is at most `up`, and at least `down`,
        times the computed one.
    origin : float
        Rounding rows and centres about the reference changes a distance by at most this share of
        their lengths.
    tiny : float
        How much it may change where coordinates underflow.
    most : float
        Largest number of the dtype: a distance that overflows is at least that.
    exact_up : float
        A true distance is at most this times the cost of `lowlevel.exact`.
    """

    up: float
    down: float
    origin: float
    tiny: float
    most: float
    exact_up: float


@njit(inline="always")
def error_of(cost, j, lengths, rounding):
    """Absolute error of a row's distances to all centres, given its computed distance to centre j.

    Rounding errors grow with the lengths of row and centre, and no length exceeds another by more
    than the distance between the two. `lengths` is (k,) float64.
    """
    return rounding.origin * (np.float64(cost) * rounding.up + lengths[j]) + rounding.tiny


@njit(inline="always")
def lowered(cost, error, rounding):
    """A lower bound of the true distance, given the computed one and `error_of`."""
    return min(np.float64(cost), rounding.most) * rounding.down - error


@njit(inline="always")
def below(v):
    """A finite float32 below v."""
    v -= abs(v) * ROUNDED + LEAST
    return np.float32(min(v, MOST)) if v > -MOST else np.float32(-MOST)


@njit(inline="always")
def above(v):
    """A float32 above v, maybe infinite."""
    v += abs(v) * ROUNDED + LEAST
    return np.float32(max(v, -MOST)) if v < MOST else np.float32(np.inf)


def rounding_of(data: Rows) -> Rounding:
    """Sums of all roundings for distances of these rows; see `grouped.CenterGroupBounds`."""
    info: Any = np.finfo(data.dtype)
    eps, exact = float(info.eps), (data.d + 8) * EPS
    gamma = (data.d / 32 + 72) * eps + exact
    return Rounding(
        up=1 + 3 * gamma,
        down=1 - 3 * gamma,
        origin=eps * (1 + 2.0**-20),
        tiny=2 * data.d * float(info.smallest_subnormal),
        most=float(info.max),
        exact_up=1 + 3 * exact,
    )
