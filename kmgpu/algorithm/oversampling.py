"""k-means||: candidates for the initial centres, from a few passes over the rows.

Each round draws every row on its own, with a probability proportional to weight × cost at the
nearest candidate so far, so a pass over blocks of rows is enough for a round. The random number of
a row is a function of (seed, round, number of the row): Philox, a generator that counts, gives it
wherever the row happens to be read. So the draws are the same whatever the blocks are. (They share
one rounded sum, the potential. Another order of summation moves a row's threshold by some 1e-16 of
itself, and a draw by that only if its random number lies between.)

Functions of a block are pure but for its cache, which keeps the cost at the nearest candidate and
which that is, 12 bytes a row.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np

from kmgpu.algorithm.assignment import costs_at, nearest
from kmgpu.algorithm.losses import Loss
from kmgpu.backend.arrays import Array, asarray, is_narrow, place_of, take_rows, to_host
from kmgpu.sources.base import Block, Source

ROUNDS = 5
# rows that a round is expected to draw, for each cluster
OVERSAMPLING = 2
# random numbers that Philox makes of one count
A_COUNT = 4
CACHED = "oversampling"


class Candidates(NamedTuple):
    """Rows that may become centres.

    Attributes
    ----------
    rows : ndarray of shape (m, n_features)
        float32 or float64, whichever holds the data's values.
    weight : ndarray of shape (m,), float64
        Of the rows of the data to which each is the nearest, ties to the lowest index.
    """

    rows: np.ndarray
    weight: np.ndarray


class _Drawn(NamedTuple):
    """What some rows say of a round: their potential, and which of them may be drawn.

    A row is drawn where ``uniform × potential < wanted × mass`` for the potential of all rows. That
    is at least the potential of some, so for these the condition leaves out none that is drawn.
    """

    potential: float
    mass: np.ndarray
    uniform: np.ndarray
    rows: np.ndarray

    def left(self, potential: float, wanted: int) -> _Drawn:
        """What is left where the potential is found to be larger."""
        drawn = self.uniform * potential < wanted * self.mass
        return _Drawn(potential, self.mass[drawn], self.uniform[drawn], self.rows[drawn])


def oversampled(
    source: Source, n_clusters: int, loss: Loss, seed: int, memory_budget: int | None = None
) -> Candidates:
    """Candidates for `n_clusters` initial centres, about 2 × 5 × `n_clusters` of them.

    The first is drawn by weight. Each of 5 rounds draws a row with probability ``2 n_clusters ×
    weight × cost / potential``, at most 1, where cost is that at the nearest candidate and the
    potential is the sum of weight × cost. There are further rounds while there are fewer candidates
    than clusters, and none where every row coincides with a candidate.

    Parameters
    ----------
    source : Source
    n_clusters : int
    loss : Loss
    seed : int
        From 0 to 2⁶⁴ - 1. Of it, the round and a row's number every draw is a function.
    memory_budget : int, optional
        Bytes for the temporary arrays of one block.

    References
    ----------
    B. Bahmani, B. Moseley, A. Vattani, R. Kumar, S. Vassilvitskii, "Scalable k-means++", PVLDB
    5(7), 2012, algorithm 2.
    """
    _, first = source.fold(_first, _faster, seed)
    groups, wanted = [first], OVERSAMPLING * n_clusters
    number = 1
    while number <= ROUNDS or sum(map(len, groups)) < n_clusters:
        both = partial(_both, wanted)
        drawn = source.fold(_draw, both, groups, loss, seed, number, wanted, memory_budget)
        if not 0 < drawn.potential < np.inf:
            break
        groups = [*groups, drawn.rows]
        number += 1
    weights = source.fold(_captured, np.add, groups, loss, memory_budget)
    return Candidates(np.concatenate(groups), weights)


def uniforms(seed: int, number: int, start: int, stop: int) -> np.ndarray:
    """One number in [0, 1) for each of the rows start:stop, a function of its own three keys.

    References
    ----------
    J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as
    1, 2, 3", SC 2011.
    """
    key = np.array([seed, number], dtype=np.uint64)
    count, skipped = divmod(start, A_COUNT)
    philox = np.random.Philox(counter=count, key=key)
    return np.random.Generator(philox).random(skipped + stop - start)[skipped:]


def _first(block: Block, seed: int) -> tuple[float, np.ndarray]:
    """A race of all rows, each as fast as it is heavy: the time and the row of the winner."""
    times = -np.log1p(-_uniforms_of(block, seed, 0))
    if block.weight is not None:
        weight = to_host(block.weight)
        times = np.divide(times, weight, out=np.full(len(times), np.inf), where=weight > 0)
    winner = int(np.argmin(times))
    return float(times[winner]), taken_rows(block, np.array([winner]))


def _faster(
    one: tuple[float, np.ndarray], other: tuple[float, np.ndarray]
) -> tuple[float, np.ndarray]:
    return other if other[0] < one[0] else one


def _draw(
    block: Block,
    groups: list[np.ndarray],
    loss: Loss,
    seed: int,
    number: int,
    wanted: int,
    memory_budget: int | None,
) -> _Drawn:
    """The rows of a block that may be drawn."""
    mass, _ = closest(block, groups, loss, memory_budget)
    if block.weight is not None:
        mass = mass * to_host(block.weight)
    potential = float(np.sum(mass))
    uniform = _uniforms_of(block, seed, number)
    may_be = np.flatnonzero(uniform * potential < wanted * mass)
    return _Drawn(potential, mass[may_be], uniform[may_be], taken_rows(block, may_be))


def _both(wanted: int, one: _Drawn, other: _Drawn) -> _Drawn:
    """The rows of both that may be drawn."""
    potential = one.potential + other.potential
    one, other = (each.left(potential, wanted) for each in (one, other))
    return _Drawn(
        potential,
        np.concatenate([one.mass, other.mass]),
        np.concatenate([one.uniform, other.uniform]),
        np.concatenate([one.rows, other.rows]),
    )


def _captured(
    block: Block, groups: list[np.ndarray], loss: Loss, memory_budget: int | None
) -> np.ndarray:
    """Weight of a block's rows by their nearest candidate; its cache is emptied."""
    _, labels = closest(block, groups, loss, memory_budget)
    block.cache.pop(CACHED, None)
    weight = None if block.weight is None else to_host(block.weight)
    n_candidates = sum(map(len, groups))
    return np.bincount(labels, weight, minlength=n_candidates).astype(np.float64)


def closest(
    block: Block, groups: list[np.ndarray], loss: Loss, memory_budget: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Cost of every row at its nearest candidate, float64, and the index of that one, int32.

    The cache holds these for the first so many groups of candidates.
    """
    known, costs, labels = block.cache.get(CACHED, (0, None, None))
    before = sum(map(len, groups[:known]))
    for group in groups[known:]:
        found, at = _nearest(block.rows, group, loss, memory_budget) if len(group) else (costs, 0)
        if costs is None:
            costs, labels = found, at
        elif len(group):
            lower = found < costs
            costs = np.where(lower, found, costs)
            labels = np.where(lower, at + np.int32(before), labels)
        before += len(group)
    block.cache[CACHED] = len(groups), costs, labels
    return costs, labels


def _nearest(
    x: Array, group: np.ndarray, loss: Loss, memory_budget: int | None
) -> tuple[np.ndarray, np.ndarray]:
    place = place_of(x)
    centers = asarray(group, place, place.xp.float64)
    labels = nearest(x, centers, loss, memory_budget)
    return to_host(costs_at(x, centers, labels, loss, memory_budget)), to_host(labels)


def taken_rows(block: Block, indices: np.ndarray) -> np.ndarray:
    """These rows on the host, as float32 where that holds every value, else as float64."""
    xp, _ = place = place_of(block.rows)
    dtype = xp.float32 if is_narrow(block.rows) else xp.float64
    return to_host(take_rows(block.rows, asarray(indices, place), dtype))


def _uniforms_of(block: Block, seed: int, number: int) -> np.ndarray:
    return uniforms(seed, number, block.start, block.start + block.rows.shape[0])
