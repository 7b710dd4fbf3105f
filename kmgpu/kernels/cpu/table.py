"""Which operations have a kernel for NumPy arrays.

Each is imported when first needed: a fit loads the kernels of its own kind alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kmgpu.kernels.cpu.lowdim import MOST_FEATURES

# rows to start from, and the labels that they give
Seeds = tuple[np.ndarray, np.ndarray | None]


def l2_steps(
    x: np.ndarray,
    sample_weight: np.ndarray | None,
    n_clusters: int,
    memory_budget: int | None,
    algorithm: str,
) -> Any:
    """An engine of k-means half-steps for `x`."""
    if x.shape[1] <= MOST_FEATURES or not _in_place(x):
        from kmgpu.kernels.cpu.lowdim.engine import LowDimMeans

        return LowDimMeans(
            x, sample_weight, n_clusters, memory_budget=memory_budget, algorithm=algorithm
        )
    from kmgpu.kernels.cpu.highdim.engine import HighDimensionalL2

    return HighDimensionalL2(
        x, sample_weight, n_clusters, memory_budget=memory_budget, algorithm=algorithm
    )


def l1_steps(
    x: np.ndarray,
    sample_weight: np.ndarray | None,
    n_clusters: int,
    memory_budget: int | None,
    algorithm: str,
) -> Any:
    """An engine of k-medians half-steps for `x`."""
    from kmgpu.kernels.cpu.medians.engine import Medians

    return Medians(x, sample_weight, n_clusters, memory_budget=memory_budget, algorithm=algorithm)


def _unbound(name: str, squared: bool) -> Callable[..., np.ndarray]:
    """A function of `kmgpu.kernels.cpu.assignment`."""

    def compute(*args: Any) -> np.ndarray:
        from kmgpu.kernels.cpu import assignment

        return getattr(assignment, name)(*args, squared=squared)

    return compute


def _in_place(x: np.ndarray) -> bool:
    """Whether kernels can read `x` as it is: they make no copy of the whole."""
    return x.dtype in (np.float32, np.float64) and x.flags.c_contiguous


def _seed(loss: str) -> Callable[..., Seeds | None]:
    def seed(
        x: np.ndarray,
        n_clusters: int,
        sample_weight: np.ndarray | None,
        rng: np.random.Generator,
        memory_budget: int | None,
    ) -> Seeds | None:
        if not _in_place(x):
            return None
        from kmgpu.kernels.cpu.seeding.greedy import greedy_seed

        return greedy_seed(x, n_clusters, loss, sample_weight, rng, memory_budget=memory_budget)

    return seed


def _spread(squared: bool) -> Callable[..., float | None]:
    def spread(
        x: np.ndarray, sample_weight: np.ndarray | None, memory_budget: int | None
    ) -> float | None:
        del memory_budget
        if not _in_place(x):
            return None
        from kmgpu.kernels.cpu.spread import spread

        return spread(x, sample_weight, squared)

    return spread


KERNELS: dict[tuple[str, str], Callable[..., Any]] = {
    ("steps", "l2"): l2_steps,
    ("steps", "l1"): l1_steps,
    ("spread", "l2"): _spread(True),
    ("spread", "l1"): _spread(False),
    ("nearest", "l2"): _unbound("nearest", True),
    ("nearest", "l1"): _unbound("nearest", False),
    ("costs_at", "l2"): _unbound("costs_at", True),
    ("costs_at", "l1"): _unbound("costs_at", False),
    ("distances", "l2"): _unbound("distances", True),
    ("distances", "l1"): _unbound("distances", False),
    ("seed", "l2"): _seed("l2"),
    ("seed", "l1"): _seed("l1"),
}
