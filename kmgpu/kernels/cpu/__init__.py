"""Numba kernels for NumPy arrays: the map.

`table` names every function of `kmgpu.algorithm` that has a kernel here, and chooses the engine:

| what is asked for | which arrays | what runs |
|---|---|---|
| half-steps of k-medians | all | `medians.engine` |
| half-steps of k-means | C-contiguous float32, float64; not `one_bound_pays` | `highdim.engine` |
| half-steps of k-means | all others | `lowdim.engine` |
| `nearest`, `costs_at`, `distances` | all | `assignment` |
| `greedy_seed` | C-contiguous float32, float64 | `seeding.greedy` |
| `spread` | C-contiguous float32, float64 | `spread` |
| sums over nonzeros | sparse | `sparse` |

To read in this order: `table`, then `lowlevel.exact` (what a label is), `lowlevel.rows`, `lowdim`
(the shortest engine), `medians`, `highdim`, `assignment`, `seeding`. Each folder's docstring is its
map.

An engine has `assign(centers, labels=None)`, `refit()`, `costs()`, `move(rows, clusters)`, `labels`
and `sizes`; `table.KernelSteps` gives it the interface of `kmgpu.algorithm.steps.Steps`.

Labels
------
A label is the argmin of the float64 costs of `lowlevel.exact`, the lowest index of equals. Every
other ranking is a fast one with an error bound for each row, and rows that it leaves open are
ranked again by those costs. So labels do not depend on the engine, the block, the dtype or the
thread.

Conventions
-----------
- The loss is a boolean, `squared`: squared Euclidean or else Manhattan costs. Only the intrinsics
  of `lowlevel.tile_costs` take it as a type, `l1`.
- Where there are no weights, Python code has None, and compiled code an empty array
  (`lowlevel.rows.weight_of`).
- Arrays that compiled code only reads are read-only (`lowlevel.rows.frozen`), or Numba would
  compile each kernel once more for writable ones.
- Sums over rows are sums of the sums of fixed ranges (`lowlevel.rows.row_ranges`) or chunks
  (`lowlevel.chunks`), so no result depends on the number of threads.

Origins
-------
Rounding grows with the distance from the origin of a computation, so each fast path has its own
origin:

| path | origin | why |
|---|---|---|
| `lowdim`, `medians` | upper median of some rows | copying rows into tiles moves them for free |
| `highdim` | median of some rows, or zero if that is near | zero spares a copy of every block |
| `assignment` (products) | mean of the centres, or zero if near | it takes no pass over the rows |
| `seeding.sketch` | mean of some rows, by feature | codes must cover the range of every feature |
| `seeding.low`, `lowlevel.exact` | zero | differences of rows and points need none |
| `spread` | the first row | the mean that it looks for is not known yet |
| `sparse` | zero, or an anchor by cluster | zeros must stay zeros |
"""
