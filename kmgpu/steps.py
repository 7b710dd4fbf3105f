"""The two half-steps on one data set, and what they remember of each other.

`ReferenceSteps` is built of Array API calls alone. A faster engine has the same constructor,
methods and results, and may keep bounds or sums from one half-step to the next.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from kmgpu.arrays import Array, asarray, namespace, place_of, to_host
from kmgpu.assignment import costs_at, nearest, weighted_sum
from kmgpu.blocks import block_bytes
from kmgpu.kernels import kernel
from kmgpu.losses import Loss
from kmgpu.refit import Groups, group_rows

# below this share of the loss before it, the loss after a refit is summed anew
CANCELLED = 1e-3


class Steps(Protocol):
    """What the loop needs of an engine.

    Attributes
    ----------
    labels : array of shape (n_samples,), int32
        The present assignment.
    sizes : numpy.ndarray of shape (n_clusters,), int64
        Rows of positive weight in each cluster under it, on the host.
    """

    labels: Array

    @property
    def sizes(self) -> np.ndarray: ...

    def assign(self, centers: Array) -> tuple[float, int]:
        """Assign every row to its nearest centre.

        Returns the loss and the number of rows of positive weight whose label changed (all of
        them at the first call).
        """
        ...

    def refit(self) -> tuple[Array, float]:
        """The optimal centres of the present labels, float64, and the loss there."""
        ...

    def costs(self) -> Array:
        """Cost of every row, unweighted, at the centres last assigned to."""
        ...

    def move(self, rows: list[int], clusters: list[int]) -> None:
        """Relabel a few rows (the relocation of empty clusters)."""
        ...


def engine(
    x: Array,
    sample_weight: Array | None,
    n_clusters: int,
    loss: Loss,
    memory_budget: int | None = None,
) -> Steps:
    """The engine for this data: a kernel's where there is one that pays, else the reference.

    Parameters are those of `ReferenceSteps`.
    """
    make = kernel("steps", loss.name, x, n_clusters)
    found = make(x, sample_weight, n_clusters, memory_budget) if make else None
    if found is not None:
        return found
    return ReferenceSteps(x, sample_weight, n_clusters, loss, memory_budget)


class ReferenceSteps:
    """The half-steps in Array API calls alone: right on every backend, fast on none.

    Parameters
    ----------
    x : array of shape (n_samples, n_features)
    sample_weight : array of shape (n_samples,), float64, beside `x`, or None
    n_clusters : int
    loss : Loss
    memory_budget : int, optional
        Bytes for the temporary arrays of one block.
    """

    labels: Array

    def __init__(
        self,
        x: Array,
        sample_weight: Array | None,
        n_clusters: int,
        loss: Loss,
        memory_budget: int | None = None,
    ) -> None:
        self._loss = loss
        self._x = x
        self._weight = sample_weight
        self._n_clusters = n_clusters
        self._memory_budget = memory_budget
        self._centers: Array = None
        self._costs: Array = None
        self._groups: Groups | None = None
        self._value: float | None = None

    @property
    def sizes(self) -> np.ndarray:
        return self._grouped().sizes

    def assign(self, centers: Array) -> tuple[float, int]:
        labels = nearest(self._x, centers, self._loss, self._memory_budget)
        changed = self._n_changed(labels)
        self.labels, self._centers, self._groups = labels, centers, None
        self._costs = costs_at(self._x, centers, labels, self._loss, self._memory_budget)
        self._value = float(weighted_sum(self._costs, self._weight))
        return self._value, changed

    def refit(self) -> tuple[Array, float]:
        budget = block_bytes(place_of(self._centers), self._memory_budget)
        centers = self._loss.refit(self._x, self._grouped(), self._weight, self._centers, budget)
        if self._loss.squared and self._weight is None and self._value is not None:
            gains = self._loss.cost(centers - self._centers)
            sizes = asarray(self.sizes.astype(np.float64), place_of(centers))
            value = self._value - float(weighted_sum(gains, sizes))
            if value > CANCELLED * self._value:
                return centers, value
        costs = costs_at(self._x, centers, self.labels, self._loss, self._memory_budget)
        return centers, float(weighted_sum(costs, self._weight))

    def costs(self) -> Array:
        return self._costs

    def move(self, rows: list[int], clusters: list[int]) -> None:
        labels = to_host(self.labels).copy()
        labels[rows] = clusters
        self.labels, self._groups = asarray(labels, place_of(self.labels)), None
        self._value = None

    def _grouped(self) -> Groups:
        if self._groups is None:
            self._groups = group_rows(self.labels, self._n_clusters, self._weight)
        return self._groups

    def _n_changed(self, labels: Array) -> int:
        xp = namespace(labels)
        if self._centers is None:
            return int(labels.shape[0])
        changed = labels != self.labels
        if self._weight is not None:
            changed = xp.logical_and(changed, self._weight > 0)
        return int(xp.count_nonzero(changed))
