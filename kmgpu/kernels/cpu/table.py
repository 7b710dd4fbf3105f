"""Which functions of the algorithm have a kernel for NumPy arrays, and which engine runs when.

Kernels are imported when first needed, so a fit loads those of its own kind alone.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from kmgpu.kernels.agreement import costliest
from kmgpu.kernels.cpu.lowdim import one_bound_pays
from kmgpu.kernels.cpu.lowlevel import in_place


def kernels_for(x: np.ndarray) -> dict[str, Callable[..., Any]]:
    """The kernels for arrays such as `x`; some read only C-contiguous float32 or float64."""
    return IN_PLACE if in_place(x) else OF_ANY_LAYOUT


class KernelSteps:
    """An engine of kernels with the interface of `kmgpu.algorithm.steps.Steps`."""

    def __init__(self, engine: Any, loss: Any, sample_weight: np.ndarray | None = None) -> None:
        self._engine, self._loss, self._weight = engine, loss, sample_weight
        self._centers = np.empty((0, 0))
        self.costs, self.move = engine.costs, engine.move

    @property
    def labels(self) -> np.ndarray:
        return self._engine.labels

    @property
    def sizes(self) -> np.ndarray:
        return self._engine.sizes

    def assign(
        self, centers: np.ndarray, refit_follows: bool = False, labels: np.ndarray | None = None
    ) -> tuple[float, int]:
        del refit_follows
        self._centers = centers
        return self._engine.assign(centers, labels)

    def costliest(self, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return costliest(self.costs(), self._weight, self.labels, n_rows)

    def refit(self) -> tuple[np.ndarray, float, float]:
        centers, value = self._engine.refit()
        moved = centers - self._centers  # no products: waking BLAS's threads costs more
        shift = (moved * moved if self._loss.squared else np.abs(moved)).sum()
        return centers, value, float(shift)


def engine(
    x: np.ndarray,
    sample_weight: np.ndarray | None,
    n_clusters: int,
    loss: Any,
    memory_budget: int | None = None,
    algorithm: str = "auto",
) -> KernelSteps:
    """The engine of k-medians, of k-means of few features, or of k-means of many features."""
    make: Any
    if not loss.squared:
        from kmgpu.kernels.cpu.medians.engine import Medians as make
    elif one_bound_pays(True, n_clusters, x.shape[1]) or not in_place(x):
        from kmgpu.kernels.cpu.lowdim.engine import LowDimMeans as make
    else:
        from kmgpu.kernels.cpu.highdim.engine import HighDimensionalL2 as make
    made = make(x, sample_weight, n_clusters, memory_budget=memory_budget, algorithm=algorithm)
    return KernelSteps(made, loss, sample_weight)


def _of(module: str, name: str) -> Callable[..., Any]:
    """A stand-in for a function of that module, which it imports when first called."""

    def call(*arguments: Any, **options: Any) -> Any:
        return getattr(import_module(f"kmgpu.kernels.cpu.{module}"), name)(*arguments, **options)

    return call


OF_ANY_LAYOUT = {"engine": engine} | {
    name: _of("assignment", name) for name in ("nearest", "costs_at", "distances")
}
OF_ANY_LAYOUT |= {
    "nearest_again": _of("streaming", "nearest_again"),
    "moments": _of("streaming", "moments"),
    "extent": _of("streaming", "extent"),
    "cells": _of("streaming_cells", "cells"),
    "lost_too_much": _of("lowlevel.sums", "lost_too_much"),
    "sorted_columns": _of("streaming_cells", "sorted_columns"),
    "solve_columns": _of("streaming_cells", "solve_columns"),
}
IN_PLACE = OF_ANY_LAYOUT | {
    "greedy_seed": _of("seeding.greedy", "greedy_seed"),
    "spread": _of("spread", "spread"),
}
