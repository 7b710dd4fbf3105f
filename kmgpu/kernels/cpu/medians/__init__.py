"""k-medians: exact Manhattan assignment by bounds, exact weighted medians by selection.

To read in this order:

- `engine`: the half-steps. Only clusters that rows have left or entered get new medians.
- `lowdim.bounds`, `lowdim.nearest`: the assignment where `lowdim.one_bound_pays` (Hamerly, SDM
  2010).
- `grouped`, then `grouped_kernels`: the assignment elsewhere: a bound for every row and centre, or
  centre group (Elkan, ICML 2003; Yinyang: Ding et al., ICML 2015). `rounding` says why these bounds
  may be trusted.
- `refit`: medians of the touched clusters: `sorting` copies their rows by cluster and feature,
  `selection` finds the weighted medians (after Floyd and Rivest, CACM 1975).

Chosen by `table.engine` for Manhattan costs, whatever the shape of X. One assignment takes at most
O(n k d), and less where bounds hold; one refit O(m d), m the number of rows of the touched
clusters. Memory: 8 bytes a row with one bound; 12 + 4 g bytes a row with g centre groups, as many
as `memory_budget` allows; and a fifth of the budget (at most 32 MB) for the values that a refit
copies.
"""
