"""Greedy k-means++ seeding that finds the rows of the plain algorithm in less time.

Arthur and Vassilvitskii ("k-means++: the advantages of careful seeding", SODA 2007, section 7):
each centre is the best of 2 + log k rows, the trials, drawn by weight * cost. To read in this
order:

- `greedy`: the loop over centres, and the choice between two ways.
- `draws`: drawing rows from sums of chunks.
- `low`, with the vector instructions of `low_tiles`: up to 24 features, or little memory. The costs
  of all rows at all trials are computed, O(n k d log k): in float32 where that decides, else
  float64.
- `sketch`, then `high`: more features. Byte scores of a sketch exclude rows that no trial can win,
  in O(n k d log k) products of bytes; only the others are measured. `highdim.screen` uses the
  sketch, too.

Chosen by `table.IN_PLACE` for C-contiguous float32 or float64 rows. Memory: 12 bytes a row; the low
way adds a transposed copy of X where the budget allows; the high way d + 28 bytes a row.
"""
