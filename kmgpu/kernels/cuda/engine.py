"""The engine of CuPy arrays: few launches and one small copy an iteration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kmgpu.backend.arrays import Array, namespace, place_of, to_host
from kmgpu.backend.blocks import block_bytes
from kmgpu.kernels.agreement import CANCELLED, costliest
from kmgpu.kernels.cuda.nearest import costs_at
from kmgpu.kernels.cuda.refit import means_and_losses, medians_and_losses
from kmgpu.kernels.cuda.sort import CHANGED, Numbers, grouped


class CudaSteps:
    """The half-steps on CuPy arrays; see `kmgpu.algorithm.steps.Steps`.

    A GPU works while the host waits for a number, and the host has nothing to launch meanwhile. So
    an assignment launches the refit too, and one small copy brings the numbers of both; the refit
    after the last assignment is wasted. Beside the assignment, an iteration reads the labels three
    times and the data once; k-medians reads the data once more for each digit of the selection.
    k-means takes at most 12 launches an iteration, 5 of them for the refit; k-medians 10, and 2
    more where halves rank first (`screen`), 3 more with weights, and where a cluster is cut
    (`medians`) 2 more for each digit.

    Parameters
    ----------
    nearest : callable
        That of `KERNELS`.
    x : array of shape (n_samples, n_features)
    sample_weight : array of shape (n_samples,), float64, beside `x`, or None
    n_clusters : int
    loss : Loss
        L1 or L2.
    memory_budget : int, optional
        Bytes for the temporary arrays of one block. How much is free is asked here, once.
    """

    def __init__(
        self,
        nearest: Callable[..., Array],
        x: Array,
        sample_weight: Array | None,
        n_clusters: int,
        loss: Any,
        memory_budget: int | None = None,
    ) -> None:
        xp, device = place = place_of(x)
        self._nearest = nearest
        self._x, self._weight, self._loss = x, sample_weight, loss
        self._budget = block_bytes(place, memory_budget)
        self._numbers = Numbers.beside(x, n_clusters)
        self.labels = xp.full(x.shape[0], -1, dtype=xp.int32, device=device)
        self._assigned = self.labels  # before any move
        self._centers: Array = None
        self._refitted: Array = None
        self._told: list[float] = []

    def assign(
        self, centers: Array, refit_follows: bool = False, labels: Array | None = None
    ) -> tuple[float, int]:
        del refit_follows
        self._centers = centers
        if labels is None:
            labels = self._nearest(self._x, centers, self._loss, self._budget)
        self._refit(labels)
        self._assigned = labels
        return self._told[0], int(self._told[CHANGED])

    def refit(self) -> tuple[Array, float, float]:
        if not self._told:
            self._refit(self.labels)
        loss, value, shift = self._told[:3]
        if self._loss.squared:
            value = loss - value
            if not value > CANCELLED * loss:
                value = self._loss_at(self._refitted)
        return self._refitted, value, shift

    @property
    def sizes(self) -> np.ndarray:
        if not self._told:
            self._refit(self.labels)
        return np.asarray(self._told[CHANGED + 1 :], dtype=np.int64)

    def costs(self) -> Array:
        return costs_at(self._loss.kernel_name, self._x, self._centers, self.labels)

    def costliest(self, n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return costliest(self.costs(), self._weight, self.labels, n_rows)

    def move(self, rows: list[int], clusters: list[int]) -> None:
        labels = namespace(self.labels).asarray(self.labels, copy=True)
        for row, cluster in zip(rows, clusters, strict=True):
            labels[row] = cluster
        self.labels, self._told = labels, []

    def _refit(self, labels: Array) -> None:
        """Group the rows by new labels, refit, and wait for the numbers."""
        n_clusters = self._centers.shape[0]
        order = grouped(labels, self._assigned, self._weight, n_clusters, self._numbers)
        refit = means_and_losses if self._loss.squared else medians_and_losses
        self._refitted = refit(self._x, order, self._weight, self._centers, self._numbers)
        self.labels = labels
        self._told = to_host(self._numbers.values).tolist()

    def _loss_at(self, centers: Array) -> float:
        costs = costs_at(self._loss.kernel_name, self._x, centers, self.labels)
        costs = costs if self._weight is None else costs * self._weight
        return float(to_host(namespace(costs).sum(costs)))
