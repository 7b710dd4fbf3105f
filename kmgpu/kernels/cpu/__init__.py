"""Numba kernels for NumPy arrays: engines of half-steps for both losses."""

from __future__ import annotations

import numpy as np

from kmgpu.kernels.cpu.means import LowDimMeans
from kmgpu.kernels.cpu.medians import Medians

# above it a matrix product beats the fused pass
FUSED_FEATURES = 32


def l2_steps(
    x: np.ndarray, sample_weight: np.ndarray | None, n_clusters: int, memory_budget: int | None
) -> LowDimMeans | None:
    """An engine of k-means half-steps for `x`, or None where the reference is as good."""
    if x.shape[1] <= FUSED_FEATURES:
        return LowDimMeans(x, sample_weight, n_clusters, memory_budget=memory_budget)
    return None


def l1_steps(
    x: np.ndarray, sample_weight: np.ndarray | None, n_clusters: int, memory_budget: int | None
) -> Medians | None:
    """An engine of k-medians half-steps for `x`."""
    return Medians(x, sample_weight, n_clusters, memory_budget=memory_budget)


KERNELS = {("steps", "l2"): l2_steps, ("steps", "l1"): l1_steps}
