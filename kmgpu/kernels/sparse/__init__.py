"""Operations on sparse rows, by products and sums over their nonzeros: no row is made dense.

SciPy's own products rank the centres of k-means. What SciPy has no product for is done by NumPy
(`plain`), or by Numba where it can be imported (`kmgpu.kernels.cpu.sparse`): one signature each.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from kmgpu.kernels.sparse.refit import means, medians
from kmgpu.kernels.sparse.rows import costs_at, distances, nearest, pairwise
from kmgpu.kernels.sparse.spread import spread, widths


@cache
def table(terms: Any) -> dict[tuple[str, str], Callable[..., Any]]:
    """The operations for both losses, on nonzeros as `terms` (`plain` or compiled) adds them."""
    found: dict[tuple[str, str], Callable[..., Any]] = {}
    for name, squared in (("l2", True), ("l1", False)):
        for function in (nearest, costs_at, distances, pairwise):
            found[function.__name__, name] = partial(function, squared=squared, terms=terms)
        found["spread", name] = partial(spread, squared=squared)
        found["widths", name] = widths
    found["refit", "l2"] = partial(means, terms=terms)
    found["refit", "l1"] = medians
    return found
