"""Definitions that all engines share: ties, the middle of weight, losses, costly rows.

A cluster's weights are whole numbers, so that the middle of its weight is found exactly. They are
multiplied by the power of two that brings their sum between 2**61 and 2**62, and rounded: its
*units*. Sums of integers do not depend on their order and lose nothing, and a light cluster is
measured by its own weight, whatever lies beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kmgpu.backend.arrays import Array, namespace, to_host

# a loss by difference keeps too few digits below this share of the one before it
CANCELLED = 1e-3
# trials of seeding whose potentials differ by less of the present one tie, however summed
TIE = 1e-11
UNIT_BITS = 62
ROUNDED = 52  # bits of a float64 weight beyond which its own rounding begins


def middle_ranks(total: Any, n_rounded: Any) -> tuple[Any, Any]:
    """The weights that the median must reach, and that it must pass to stand alone.

    The median is the least value up to which the weight is at least the first; where the weight
    up to there is less than the second, half the weight lies on either side, and the median is
    midway to the next value.

    Weights such as 0.1 are rounded before they come here. So halves count as equal when they
    differ by no more than that rounding, and by one unit for every weight rounded to units.

    Parameters
    ----------
    total : int64 or ndarray of int64
        Sum of a cluster's units, or its number of rows if there are no weights.
    n_rounded : int64 or ndarray of int64
        Number of weights that were rounded to units; 0 if there are none.

    Returns
    -------
    low, high : int64 or ndarrays of int64
    """
    tolerance = n_rounded + (total >> ROUNDED)
    low = np.maximum((total + 1) // 2 - tolerance, 1)
    return low, np.minimum(total // 2 + 1 + tolerance, total)


def costliest(
    costs: Array, sample_weight: Array | None, labels: Array, n_rows: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of largest weight × cost, among equals the lowest; these costs, and their labels.

    Parameters
    ----------
    costs, sample_weight, labels : arrays of shape (n_samples,)
    n_rows : int

    Returns
    -------
    rows, worth, labels : ndarrays of shape (at most n_rows,), on the host
    """
    xp = namespace(costs)
    worth = costs if sample_weight is None else costs * sample_weight
    order = xp.argsort(-worth, stable=True)[:n_rows]
    return to_host(order), to_host(xp.take(worth, order)), to_host(xp.take(labels, order))


def unit_factors(totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two powers of two whose product turns weights into units.

    One alone might not be representable.

    Parameters
    ----------
    totals : ndarray of shape (n_clusters,), float64
        Sums of weights; 0 for a cluster that has none.

    Returns
    -------
    half, rest : ndarrays of shape (n_clusters,), float64
    """
    shift = UNIT_BITS - np.frexp(totals)[1]
    return np.ldexp(1.0, shift // 2), np.ldexp(1.0, shift - shift // 2)
