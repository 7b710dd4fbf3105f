"""Seeding: where the initial centres come from.

Every random number is drawn on the host from one numpy Generator and turned into rows by
float64 cumulative sums, so a seed picks the same rows on every backend.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any, NamedTuple

import numpy as np

from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.oversampling import oversampled
from kmgpu.backend.arrays import (
    HOST,
    Array,
    asarray,
    place_of,
    rows,
    take_rows,
    to_host,
)
from kmgpu.backend.blocks import block_bytes, over_blocks, row_blocks
from kmgpu.kernels.agreement import TIE
from kmgpu.kernels.dispatch import replaceable
from kmgpu.sources.base import Source
from kmgpu.sources.whole import Whole
from kmgpu.validation import check_choice, check_init_centers

# "greedy" is the first one even where the rows are read block by block
METHODS = ("k-means++", "k-means||", "greedy", "random")


class Start(NamedTuple):
    """Where a run starts.

    Attributes
    ----------
    centers : array of shape (n_clusters, n_features), float64
        Beside the data.
    labels : array of shape (n_samples,), int32, or None
        The nearest of these for every row, where seeding knows them already.
    """

    centers: Array
    labels: Array | None = None


def initial_centers(
    x: Array,
    init: str | Array | Callable[..., Any],
    n_clusters: int,
    loss: Loss,
    sample_weight: Array | None,
    rng: np.random.Generator,
    memory_budget: int | None = None,
) -> Start:
    """Initial centres.

    Parameters
    ----------
    x : array of shape (n_samples, n_features)
    init : str in `METHODS`, array of shape (n_clusters, n_features), or callable
        A callable is called as scikit-learn calls it: ``init(x, n_clusters, random_state=…)``
        with a numpy.random.RandomState drawn from `rng`.
    n_clusters : int
    loss : Loss
        All methods but "random" draw with probability proportional to its cost: distance² for
        L2, distance for L1.
    sample_weight : array of shape (n_samples,), float64, or None
        Multiplies those probabilities; a row of zero weight is never drawn.
    rng : numpy.random.Generator
    memory_budget : int, optional
        Bytes for the temporary arrays of one block.
    """
    place = place_of(x)
    if callable(init):
        state = np.random.RandomState(rng.integers(2**32))
        found = init(x, n_clusters, random_state=state)
        return Start(check_init_centers(found, n_clusters, x.shape[1], place))
    if not isinstance(init, str):
        return Start(check_init_centers(init, n_clusters, x.shape[1], place))
    check_choice("init", init, METHODS)
    labels: Array | None = None
    if init == "k-means||":
        source = Whole(x, sample_weight)
        return from_candidates(source, n_clusters, loss, rng, memory_budget)
    if init == "random":
        indices = random_rows(x.shape[0], n_clusters, sample_weight, rng)
    else:
        indices, labels = greedy_seed(x, n_clusters, loss, sample_weight, rng, memory_budget)
    return Start(take_rows(x, asarray(indices, place), place.xp.float64), labels)


def from_candidates(
    source: Source,
    n_clusters: int,
    loss: Loss,
    rng: np.random.Generator,
    memory_budget: int | None,
) -> Start:
    """Greedy k-means++ among the candidates of k-means||, each as heavy as its rows."""
    seed = int(rng.integers(2**64, dtype=np.uint64))
    found = oversampled(source, n_clusters, loss, seed, memory_budget)
    place = source.place
    rows, weight = (asarray(array, place, place.xp.float64) for array in found)
    indices, _ = greedy_seed(rows, n_clusters, loss, weight, rng, memory_budget)
    return Start(take_rows(rows, asarray(indices, place), place.xp.float64))


def random_rows(
    n_samples: int, n_clusters: int, sample_weight: Array | None, rng: np.random.Generator
) -> np.ndarray:
    """Distinct row indices, (n_clusters,) int64, drawn by weight while such rows last."""
    if sample_weight is None:
        return rng.choice(n_samples, n_clusters, replace=False)
    weight = to_host(sample_weight)
    n_drawn = min(n_clusters, int(np.count_nonzero(weight)))
    drawn = rng.choice(n_samples, n_drawn, replace=False, p=weight / weight.sum())
    return np.concatenate([drawn, np.resize(drawn, n_clusters - n_drawn)])


@replaceable
def greedy_seed(
    x: Array,
    n_clusters: int,
    loss: Loss,
    sample_weight: Array | None,
    rng: np.random.Generator,
    memory_budget: int | None = None,
) -> tuple[np.ndarray, Array | None]:
    """Greedy weighted k-means++: row indices, (n_clusters,) int64, on the host; and labels.

    Labels, (n_samples,) int32, say which of these centres is nearest to every row. They are None
    where they were not kept: this function keeps none, some kernels do.

    Each new centre is the best of 2 + ⌊ln k⌋ rows, drawn with probability proportional to weight
    × cost at the nearest centre so far. Costs are computed in float64. When every row coincides
    with a centre already, the rest are drawn by weight.

    References
    ----------
    D. Arthur, S. Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007,
    section 2.2, and the greedy variant that its section 7 mentions.
    """
    xp, _ = place = place_of(x)
    n_trials = 2 + int(log(n_clusters))
    search = _Potential(x, loss, sample_weight, memory_budget)
    ones = xp.ones(x.shape[0], dtype=xp.float64, device=place.device)
    uniform = ones if sample_weight is None else sample_weight
    chosen = draw(uniform, np.asarray([rng.random()]))
    search.add(chosen)
    while len(chosen) < n_clusters:
        uniforms = rng.random(n_trials)
        mass = search.mass()
        present = xp.sum(mass)
        if float(present) > 0:
            candidates = draw(mass, uniforms)
            best = candidates[search.best(candidates, present)][None]
            search.add(best)
        else:
            best = draw(uniform, uniforms[:1])
        chosen = np.concatenate([chosen, best])
    return chosen, None


def draw(mass: Array, uniforms: np.ndarray) -> np.ndarray:
    """First row where the cumulative mass exceeds u × total, for each u in [0, 1); on the host."""
    xp, _ = place = place_of(mass)
    reached = xp.cumulative_sum(mass)
    at = xp.searchsorted(reached, asarray(uniforms, place) * reached[-1], side="right")
    last = xp.searchsorted(reached, reached[-1:], side="left")
    return to_host(xp.minimum(at, last)).astype(np.int64)


class _Potential:
    """Cost of every row at the nearest centre chosen so far, (n_samples,) float64."""

    def __init__(
        self, x: Array, loss: Loss, sample_weight: Array | None, memory_budget: int | None
    ) -> None:
        self._x, self._loss, self._weight = x, loss, sample_weight
        self._memory_budget = memory_budget
        self._closest: Array = None

    def mass(self) -> Array:
        return self._closest if self._weight is None else self._closest * self._weight

    def add(self, index: np.ndarray) -> None:
        """Take the row of that index (one element) as a centre."""
        xp, _ = place = place_of(self._x)
        center = take_rows(self._x, asarray(index, place), xp.float64)

        def lowered(start: int, stop: int, costs: Array) -> Array:
            return self._lowered(start, stop, costs)[:, 0]

        self._closest = xp.concat(self._costs(center, lowered))

    def best(self, candidates: np.ndarray, present: Array) -> int:
        """Position of the candidate that leaves the lowest potential; the first that ties.

        Potentials that differ by at most `TIE` times the present one count as equal, so the order
        of summation decides nothing.
        """
        xp, _ = place = place_of(self._x)
        centers = take_rows(self._x, asarray(candidates, place), xp.float64)
        potentials = xp.zeros(len(candidates), dtype=xp.float64, device=place.device)

        def potential(start: int, stop: int, costs: Array) -> Array:
            lowered = self._lowered(start, stop, costs)
            if self._weight is not None:
                lowered = lowered * self._weight[start:stop, None]
            return xp.sum(lowered, axis=0)

        for part in self._costs(centers, potential):
            potentials = potentials + part
        ties = potentials <= xp.min(potentials) + TIE * present
        return int(xp.argmax(xp.astype(ties, xp.int32)))

    def _lowered(self, start: int, stop: int, costs: Array) -> Array:
        """The lower of these costs and those at the rows chosen so far: (rows, n_centers)."""
        if self._closest is None:
            return costs
        return place_of(self._x).xp.minimum(costs, self._closest[start:stop, None])

    def _costs(self, centers: Array, function: Callable[[int, int, Array], Array]) -> list[Array]:
        return costs_of_blocks(self._x, centers, self._loss, function, self._memory_budget)


@replaceable
def costs_of_blocks(
    x: Array,
    centers: Array,
    loss: Loss,
    function: Callable[[int, int, Array], Array],
    memory_budget: int | None,
) -> list[Array]:
    """``function(start, stop, costs)`` of every block of rows, in order.

    `costs` are those of rows start:stop at a few centres, (stop - start, n_centers), float64.
    """
    xp, _ = place = place_of(x)

    def of(start: int, stop: int) -> Array:
        return function(start, stop, loss.pairwise(rows(x, start, stop, xp.float64), centers))

    row_bytes = 8 * (2 * x.shape[1] + 4 * centers.shape[0])
    blocks = row_blocks(x.shape[0], row_bytes, block_bytes(place, memory_budget))
    return over_blocks(blocks, of, place == HOST)
