"""Moments that follow the rows that change cluster, so that the others are not added up again."""

from __future__ import annotations

from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from kmgpu.algorithm.assignment import costs_at
from kmgpu.algorithm.losses import L2
from kmgpu.backend.arrays import Array, asarray, itemsize, picked_rows, place_of, to_host
from kmgpu.backend.blocks import block_bytes, over_blocks, row_blocks
from kmgpu.kernels.agreement import CANCELLED
from kmgpu.kernels.departed import lost_too_much
from kmgpu.kernels.dispatch import chosen
from kmgpu.streaming.statistics import Moments, moments

FEW = 4  # at most one row in so many changes cluster: else adding up all rows is no slower


class Change(NamedTuple):
    """What relabelled rows mean for the moments about the present centres, on the host.

    Attributes
    ----------
    n_rows : int
        Rows of positive weight.
    gain : Moments
        These rows in the clusters that they enter, less the same in those that they leave.
    turnover : float
        The costs of both.
    left, lengths_left : ndarrays of shape (n_clusters,), float64
        Weight that leaves each cluster, and weight times distance to its centre.
    """

    n_rows: int
    gain: Moments
    turnover: float
    left: np.ndarray
    lengths_left: np.ndarray

    def and_then(self, other: Change) -> Change:
        """These rows and those after them."""
        if not (self.n_rows and other.n_rows):
            return self if self.n_rows else other
        return Change(
            self.n_rows + other.n_rows,
            self.gain.and_then(other.gain),
            self.turnover + other.turnover,
            self.left + other.left,
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
    k, d = centers.shape
    relabelled = xp.nonzero(labels != old)[0]
    about: Any = asarray(centers, place)

    def of(start: int, stop: int) -> Change:
        at = relabelled[start:stop]
        some, before, now = picked_rows(x, at), xp.take(old, at), xp.take(labels, at)
        weight = None if sample_weight is None else xp.take(sample_weight, at)
        entered = Moments(*moments(some, about, now, weight, L2, memory_budget))
        left = Moments(*moments(some, about, before, weight, L2, memory_budget))
        lengths = np.sqrt(to_host(costs_at(some, about, before, L2, memory_budget)))
        if weight is not None:
            lengths *= to_host(weight)
        lengths_left = np.bincount(to_host(before), lengths, minlength=k)
        n_rows, turnover = int(entered.counts.sum()), entered.cost + left.cost
        return Change(n_rows, entered.but_for(left), turnover, left.mass, lengths_left)

    none = Moments(0.0, np.zeros(k, np.int64), np.zeros(k), np.zeros((k, d)))
    row_bytes = itemsize(x) * d + 24
    blocks = row_blocks(relabelled.shape[0], row_bytes, block_bytes(place, memory_budget))
    parts = over_blocks(blocks, of, on_host=False)  # kernels use the threads
    return reduce(Change.and_then, parts, Change(0, none, 0.0, np.zeros(k), np.zeros(k)))


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
        # Rounding is a share of lengths about the centres of each time. It matters beside the
        # length of a centre, which is about zero, as a mean keeps its digits.
        self._left, self._lengths_left = np.zeros((2, len(total.mass)))

    def jumps(self, before: np.ndarray, centers: np.ndarray) -> bool:
        """Whether other centres are so far away that many rows will change cluster.

        After a refit they are near: what means gain is a part of the cost.
        """
        step = before - centers
        turned = (self.total.mass * np.einsum("jp,jp->j", step, step)).sum()
        return not FEW * turned <= self.total.cost

    def follow(self, before: np.ndarray, centers: np.ndarray, change: Change) -> None:
        """Turn to other centres, (n_clusters, n_features) float64, and to other labels."""
        step = before - centers
        squares = np.einsum("jp,jp->j", step, step)
        cost, counts, mass, sums = self.total
        turned = (mass * squares).sum()  # no product of BLAS, whose bits depend on its threads
        cost = float(cost + 2 * np.einsum("jp,jp->", step, sums) + turned)
        self.turnover += float(turned) + change.turnover
        self._lengths_left += mass * np.sqrt(squares) + change.lengths_left
        self._left += change.left
        self.total = Moments(cost, counts, mass, sums + mass[:, None] * step).and_then(change.gain)
        for kept in (*self.total[2:], self._left, self._lengths_left):
            kept[self.total.counts == 0] = 0.0  # empty clusters keep no rounding errors

    def cancels(self, loss: float) -> bool:
        """Whether a loss that follows from the sums is so small that digits are lost."""
        return not loss > CANCELLED * self.turnover

    def lost(self, centers: np.ndarray, loss: float) -> bool:
        """Whether rounding may matter in masses and sums, at centres that have this loss."""
        counts, mass = self.total.counts, self.total.mass
        compiled = chosen("lost_too_much", centers, len(mass)) or lost_too_much
        return compiled(counts, mass, self._left, self._lengths_left, centers, loss)
