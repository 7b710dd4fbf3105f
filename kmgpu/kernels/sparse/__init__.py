"""Operations on sparse rows, by products and sums over their nonzeros: no row is made dense.

SciPy's own products rank the centres of k-means. What SciPy has no product for is done by NumPy
(`plain`), or by Numba where it can be imported (`kmgpu.kernels.cpu.sparse`): one signature each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from kmgpu.kernels.sparse.refit import means, medians
from kmgpu.kernels.sparse.rows import costs_at, costs_of_blocks, distances, nearest
from kmgpu.kernels.sparse.spread import spread, widths


@cache
def table(terms: Any) -> dict[str, Callable[..., Any]]:
    """The operations, on nonzeros as `terms` (`plain` or compiled) adds them.

    By the names of the functions of `kmgpu.algorithm` that they stand for.
    """
    functions = (nearest, costs_at, distances, costs_of_blocks, means)
    found: dict[str, Callable[..., Any]] = {f.__name__: partial(f, terms=terms) for f in functions}
    return found | {"medians": medians, "spread": spread, "widths": widths}
