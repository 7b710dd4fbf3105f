"""k-means of many features: matrix products, and two ways to do with fewer of them.

To read in this order:

- `engine`: the half-steps.
- `passes`: labels of rows, and the choice of a pass for every assignment. The engine has one for
  all rows, a stream one for every block.
- `policy`: the cost model of that choice.
- `targets`: the centres of an iteration, about an origin amid the data. `sums`: means and losses
  from weighted sums of clusters, which rows that change label keep up to date.
- `dense`: the dense pass. BLAS forms the scores of blocks of rows, O(n k d); rows whose label is
  not certain are ranked by `lowlevel.exact`. It may store its distances as bounds.
- `stored`, `scan`, `pruning`: the pruned pass, after a dense one has stored bounds (Elkan, ICML
  2003; Hamerly, SDM 2010; Yinyang: Ding et al., ICML 2015). O(n k) bytes read, O(d) for every
  distance that bounds leave open.
- `screen`: the screened pass. Byte scores of a sketch of the rows (`seeding.sketch`) rule out most
  centres, O(n k d) products of bytes for the rows that two bounds do not settle.

Chosen by `table.engine` for squared costs of C-contiguous float32 or float64 rows where
`lowdim.one_bound_pays` says no. Memory: always 40 bytes a row. Beyond that, what
`memory_budget` allows: d + 19 bytes a row for the sketch, and 2 k bytes a row for stored bounds
(fewer where centres share one).
"""
