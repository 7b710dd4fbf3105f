"""When sums that are kept by difference must be added up anew.

This file is plain Python that Numba compiles where there is Numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Sums kept by difference hold the rounding of all that has left: 2**-53 of it for every addition.
# Where that is more than this many times what is left, sums are added up anew. Of weights: means
# stay within about 1e-14 of the data's extent times the root of the number of additions. Of weights
# times lengths, beside weight times the lesser of the data's spread and the centre's length: within
# about 1e-12 of these, also where rows far away have left.
MOST_LEFT = 64.0
MOST_LENGTHS_LEFT = 4096.0


def lost_too_much(
    sizes: Any, weight: Any, left: Any, lengths_left: Any, centers: Any, loss: float
) -> bool:
    """Whether rounding that departed rows left behind may matter in the sums that remain; O(k d).

    Parameters
    ----------
    sizes : ndarray of shape (n_clusters,), int64
    weight : ndarray of shape (n_clusters,), float64
        As kept by difference.
    left, lengths_left : the same
        Weight that has left each cluster, and weight times length, as the sums have them.
    centers : ndarray of shape (n_clusters, n_features), float64
        About where a centre must keep its digits: the origin of the sums, or zero.
    loss : float
        Sum of squared distances, weighted.
    """
    total = weight.sum()
    share = loss / total if loss >= 0 and total > 0 else np.inf
    for j in range(sizes.size):
        if sizes[j] == 0 or (left[j] == 0 and lengths_left[j] == 0):
            continue
        squares = 0.0
        for q in range(centers.shape[1]):
            squares += centers[j, q] * centers[j, q]
        spread = np.sqrt(np.fmin(share, squares))
        if not lengths_left[j] <= MOST_LENGTHS_LEFT * weight[j] * spread:
            return True
        if not left[j] <= MOST_LEFT * weight[j]:
            return True
    return False
