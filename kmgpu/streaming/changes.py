"""Moments that follow the rows that change cluster, so that the others need not be read."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kmgpu.algorithm.assignment import costs_at
from kmgpu.algorithm.losses import L2
from kmgpu.backend.arrays import Array, asarray, place_of, to_host
from kmgpu.kernels.agreement import CANCELLED
from kmgpu.kernels.departed import lost_too_much
from kmgpu.kernels.dispatch import chosen
from kmgpu.streaming.statistics import Moments, moments


class Change(NamedTuple):
    """What relabelled rows mean for the moments about the present centres, on the host.

    Attributes
    ----------
    n_rows : int
        Rows of positive weight.
    entered, left : Moments
        These rows in the clusters that they enter, and in those that they leave.
    lengths_left : ndarray of shape (n_clusters,), float64
        Weight times distance to the centre that a row leaves.
    """

    n_rows: int
    entered: Moments
    left: Moments
    lengths_left: np.ndarray

    def and_then(self, other: Change) -> Change:
        """These rows and those after them."""
        return Change(
            self.n_rows + other.n_rows,
            self.entered.and_then(other.entered),
            self.left.and_then(other.left),
            self.lengths_left + other.lengths_left,
        )


def change_of(
    x: Array,
    centers: np.ndarray,
    old: Array,
    labels: Array,
    sample_weight: Array | None,
    memory_budget: int | None,
) -> Change:
    """The change from labels `old` to `labels`, both (m,) int32, of rows x, (m, n_features)."""
    xp, _ = place = place_of(x)
    at, k = xp.nonzero(labels != old)[0], len(centers)
    if not at.shape[0]:
        none = Moments(0.0, np.zeros(k, np.int64), np.zeros(k), np.zeros(centers.shape))
        return Change(0, none, none, np.zeros(k))
    some, (old, labels) = xp.take(x, at, axis=0), (xp.take(part, at) for part in (old, labels))
    weight = None if sample_weight is None else xp.take(sample_weight, at)
    where: Any = asarray(centers, place)
    entered = Moments(*moments(some, where, labels, weight, L2, memory_budget))
    left = Moments(*moments(some, where, old, weight, L2, memory_budget))
    lengths = np.sqrt(to_host(costs_at(some, where, old, L2, memory_budget)))
    if weight is not None:
        lengths *= to_host(weight)
    lengths_left = np.bincount(to_host(old), lengths, minlength=k)
    return Change(int(entered.counts.sum()), entered, left, lengths_left)


class FollowedMoments:
    """Moments of all rows about the centres of the last assignment, squared costs.

    Parameters
    ----------
    total : Moments
        About the centres of the last assignment, added up over all rows.

    Attributes
    ----------
    total : Moments
    turnover : float
        What the cost has been made from; its rounding errors are a share of this.
    """

    def __init__(self, total: Moments) -> None:
        self.total, self.turnover = total, total.cost
        self._left, self._lengths_left = np.zeros((2, len(total.mass)))

    def follow(self, before: np.ndarray, centers: np.ndarray, change: Change) -> None:
        """Turn to other centres, (n_clusters, n_features) float64, and to other labels."""
        step = before - centers
        squares = np.einsum("jp,jp->j", step, step)
        cost, counts, mass, sums = self.total
        turned = mass @ squares
        cost += 2 * np.einsum("jp,jp->", step, sums) + turned
        self.turnover += turned + change.entered.cost + change.left.cost
        self._lengths_left += mass * np.sqrt(squares) + change.lengths_left
        self._left += change.left.mass
        sums = sums + mass[:, None] * step
        total = Moments(cost, counts, mass, sums).and_then(change.entered).but_for(change.left)
        for field in total[2:]:
            field[total.counts == 0] = 0.0  # empty clusters keep no rounding errors
        self.total = total

    def cancels(self, loss: float) -> bool:
        """Whether a loss that follows from the sums is so small that digits are lost."""
        return not loss > CANCELLED * self.turnover

    def lost(self, centers: np.ndarray, loss: float) -> bool:
        """Whether rounding may matter in the sums, at centres that have this loss."""
        counts, mass = self.total.counts, self.total.mass
        compiled = chosen("lost_too_much", centers, len(mass)) or lost_too_much
        return compiled(counts, mass, self._left, self._lengths_left, centers, loss)
