"""k-means of few features: every cost of a visited row is computed, and one bound skips most rows.

To read in this order:

- `engine`: the half-steps. Sums of clusters are kept in float64 and changed by the rows that change
  cluster; the means and the loss follow from them.
- `bounds`: one number a row tells whether its label can have changed (Hamerly, "Making k-means even
  faster", SDM 2010). `medians` uses it too, with Manhattan costs.
- `nearest`: the kernel that visits the remaining rows, tile by tile.

Chosen by `table.engine` for squared costs where X has at most MOST_FEATURES features, or is not a
C-contiguous float array (rows are then converted block by block). One assignment takes
O(n + v k d), v the number of visited rows; refitting O(c d + k d), c the number of rows that
changed cluster. Memory: 8 bytes a row (label, bound), and sums of 8 k (d + 5) bytes for each of at
most 32 ranges of rows.
"""

MOST_FEATURES = 32  # with more, a matrix product beats computing differences
