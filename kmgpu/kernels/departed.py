"""When sums that are kept by difference must be added up anew."""

from __future__ import annotations

import numpy as np

# Sums kept by difference hold the rounding of all that has left: 2**-53 of it for every addition.
# Where that is more than this many times what is left, sums are added up anew. Of weights: means
# stay within about 1e-14 of the data's extent times the root of the number of additions. Of weights
# times lengths, beside weight times the lesser of the data's spread and the centre's length: within
# about 1e-12 of these, also where rows far away have left.
MOST_LEFT = 64.0
MOST_LENGTHS_LEFT = 4096.0


def lost_too_much(
    sizes: np.ndarray,
    weight: np.ndarray,
    left: np.ndarray,
    lengths_left: np.ndarray,
    centers: np.ndarray,
    loss: float,
) -> bool:
    """Whether rounding that departed rows left behind may matter in the sums that remain; O(k d).

    Parameters
    ----------
    sizes : ndarray of shape (n_clusters,), int64
    weight : ndarray of shape (n_clusters,), float64
        As kept by difference.
    left, lengths_left : the same
        Weight that has left each cluster, and weight times length (about the origin of the sums).
    centers : ndarray of shape (n_clusters, n_features), float64
        About the same origin.
    loss : float
        Sum of squared distances, weighted.
    """
    total = weight.sum()
    share = loss / total if loss >= 0 and total > 0 else np.inf
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.sqrt(np.fmin(share, np.einsum("jp,jp->j", centers, centers)))
        few = (left <= MOST_LEFT * weight) & (lengths_left <= MOST_LENGTHS_LEFT * weight * spread)
    return bool((~few & (sizes > 0)).any())
