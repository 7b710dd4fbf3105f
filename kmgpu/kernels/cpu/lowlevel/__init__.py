"""What all CPU kernels are made of: exact costs, tiles, byte scores, compiling.

Only this folder knows private names of Numba, and instruction sets, whose speeds `highdim.policy`
knows. To read in this order:

- `exact`: the costs that decide every label, and why kernels agree with the reference bit for bit.
- `rows`: an engine's view of the data: rows as floats, fixed ranges of rows, costs of given labels.
- `chunks`: 256 rows, the unit of seeding and screening. `relocation`: rows that an engine's `move`
  has relabelled.
- `sums`: the origin of sums, and means that lose digits beside it.
- `tiles`, then `tile_costs`: rows in vector registers, and their costs at four centres at a time.
  O(n k d), no memory beyond one tile. Used by `lowdim`, `medians` and `seeding`.
- `byte_scores`: sums of products of bytes, a quarter to a third of the cost of those of floats (the
  constants are in `highdim.policy`). Used by `seeding` and `highdim.screen`.
- `intrinsics`: single instructions that Numba cannot express.
- `compiled`: `njit`, its cache on disk, and reports of compilation.
"""

import numpy as np


def in_place(x: np.ndarray) -> bool:
    """Whether kernels can read `x` as it is, without a copy of the whole."""
    return x.dtype in (np.float32, np.float64) and x.flags.c_contiguous
