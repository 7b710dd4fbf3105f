"""k-means of few features: every cost of a visited row is computed, and one bound skips most rows.

To read in this order:

- `engine`: the half-steps. Sums of clusters are kept in float64 and changed by the rows that change
  cluster; the means and the loss follow from them.
- `bounds`: one number a row tells whether its label can have changed (Hamerly, "Making k-means even
  faster", SDM 2010). `medians` uses it too, with Manhattan costs.
- `nearest`: the kernel that visits the remaining rows, tile by tile.

Chosen by `table.engine` for squared costs where `one_bound_pays`, or where X is no C-contiguous
float array (rows are then converted block by block). One assignment takes O(n + v k d), v the
number of visited rows; refitting O(c d + k d), c the number of rows that changed cluster. Memory: 8
bytes a row (label, bound), and sums of 8 k (d + 5) bytes for each of at most 32 ranges of rows.
"""

WIDEST = 128  # features; of wider rows, matrix products and bounds to centres are no slower


def one_bound_pays(squared: bool, n_clusters: int, n_features: int) -> bool:
    """Whether all costs of a visited row, and one bound, beat matrix products or bounds to centres.

    Both engines were measured at some forty shapes of 2 to 384 features and 4 to 12,000 clusters,
    at rows around centres and at noise: squared costs pay up to about ``k d**1.5 = 2**16``,
    Manhattan costs up to about ``k d**2 = 2**22``. ``python -m benchmarks.bounds`` measures them.
    """
    if n_features > WIDEST:
        return False
    if squared:
        return n_clusters**2 * n_features**3 <= 1 << 32
    return n_clusters * n_features**2 <= 1 << 22
