"""Initial centres of rows that are read block by block: see `kmgpu.algorithm.seeding`."""

from __future__ import annotations

from functools import partial
from math import log
from typing import Any

import numpy as np

from kmgpu.algorithm.assignment import costs_at
from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.oversampling import CACHED, closest, taken_rows
from kmgpu.algorithm.seeding import Start, from_candidates, random_rows
from kmgpu.backend.arrays import Array, asarray, place_of, to_host
from kmgpu.kernels.agreement import TIE
from kmgpu.sources.base import Block, Source
from kmgpu.streaming.sample import rows_at
from kmgpu.validation import check_init_centers


def streamed_start(
    source: Source,
    init: Any,
    n_clusters: int,
    loss: Loss,
    rng: np.random.Generator,
    memory_budget: int | None = None,
) -> Start:
    """Initial centres at the place of the source.

    Parameters
    ----------
    source : Source
    init : str in `METHODS`, or array of shape (n_clusters, n_features)
        "k-means||" passes over the rows 7 times, and "k-means++" means the same here. "greedy" is
        exact greedy k-means++, which passes twice for every centre. "random" draws the rows that
        it draws of an array in memory.
    n_clusters : int
    loss : Loss
    rng : numpy.random.Generator
    memory_budget : int, optional
        Bytes for the temporary arrays of one block.
    """
    place = source.place
    if callable(init):
        msg = (
            "init is a function of all rows, which are read block by block here; pass the centres "
            "themselves, or 'k-means||'."
        )
        raise TypeError(msg)
    if not isinstance(init, str):
        return Start(check_init_centers(init, n_clusters, source.n_features, place))
    if init in ("k-means||", "k-means++"):
        return from_candidates(source, n_clusters, loss, rng, memory_budget)
    if init == "random":
        weight = source.rowwise(_weight_of) if source.weighted else None
        indices = random_rows(source.n_samples, n_clusters, weight, rng)
        wanted = np.unique(indices)
        found = rows_at(source, wanted)[0][np.searchsorted(wanted, indices)]
    else:
        found = _greedy_rows(source, n_clusters, loss, rng, memory_budget)
    return Start(asarray(found, place, place.xp.float64))


def _weight_of(block: Block) -> np.ndarray:
    return to_host(block.weight)


def _greedy_rows(
    source: Source, n_clusters: int, loss: Loss, rng: np.random.Generator, memory_budget: int | None
) -> np.ndarray:
    """The rows that `greedy_seed` chooses, (n_clusters, n_features).

    Sums of blocks are added up otherwise than there, so where a draw falls within rounding of the
    border between two rows the other one may be chosen.
    """
    n_trials = 2 + int(log(n_clusters))
    uniform = np.asarray(source.map(_mass_by_weight))
    by_weight = partial(_drawn_rows, source, _weights, uniform)
    chosen = [by_weight(np.asarray([rng.random()]))]
    masses = np.asarray(source.map(_potential, chosen, loss, memory_budget))
    while len(chosen) < n_clusters:
        uniforms = rng.random(n_trials)
        present = masses.sum()
        if not present > 0:
            chosen.append(by_weight(uniforms[:1]))
            continue
        trials = _drawn_rows(source, _mass, masses, uniforms, chosen, loss, memory_budget)
        lowered = np.asarray(source.map(_lowered, trials, chosen, loss, memory_budget))
        potentials = lowered.sum(axis=0)
        best = int(np.argmax(potentials <= potentials.min() + TIE * present))
        chosen.append(trials[best : best + 1])
        masses = lowered[:, best]
    source.map(_forget)
    return np.concatenate(chosen)


def _drawn_rows(
    source: Source, mass_of: Any, masses: np.ndarray, uniforms: np.ndarray, *broadcast: Any
) -> np.ndarray:
    """Rows where the cumulative mass exceeds u × total, for each u, as `draw` finds them.

    `masses` are the sums of the blocks of ``mass_of(block, *broadcast)``.
    """
    reached = np.cumsum(masses)
    targets = uniforms * reached[-1]
    last = np.searchsorted(reached, reached[-1], side="left")
    blocks = np.minimum(np.searchsorted(reached, targets, side="right"), last)
    beyond = targets - (reached[blocks] - masses[blocks])
    found = np.concatenate(source.map(_rows_beyond, mass_of, blocks, beyond, *broadcast))
    order = np.argsort(blocks, kind="stable")
    rows = np.empty_like(found)
    rows[order] = found
    return rows


def _rows_beyond(
    block: Block, mass_of: Any, blocks: np.ndarray, beyond: np.ndarray, *broadcast: Any
) -> np.ndarray:
    """The first row, for each target of this block, at which its cumulative mass exceeds it."""
    mine = beyond[blocks == block.index]
    reached = np.cumsum(mass_of(block, *broadcast))
    last = np.searchsorted(reached, reached[-1], side="left")
    at = np.minimum(np.searchsorted(reached, mine, side="right"), last)
    return taken_rows(block, at)


def _weights(block: Block) -> np.ndarray:
    return np.ones(block.rows.shape[0]) if block.weight is None else to_host(block.weight)


def _mass_by_weight(block: Block) -> float:
    return float(_weights(block).sum())


def _mass(
    block: Block, chosen: list[np.ndarray], loss: Loss, memory_budget: int | None
) -> np.ndarray:
    """Weight × cost at the nearest of the rows chosen so far."""
    costs, _ = closest(block, chosen, loss, memory_budget)
    return costs * _weights(block)


def _potential(
    block: Block, chosen: list[np.ndarray], loss: Loss, memory_budget: int | None
) -> float:
    return float(_mass(block, chosen, loss, memory_budget).sum())


def _lowered(
    block: Block,
    trials: np.ndarray,
    chosen: list[np.ndarray],
    loss: Loss,
    memory_budget: int | None,
) -> np.ndarray:
    """The potential of a block with each of the trials beside those chosen, (n_trials,)."""
    costs, _ = closest(block, chosen, loss, memory_budget)
    weights = _weights(block)
    place = place_of(block.rows)
    centers = asarray(trials, place, place.xp.float64)

    def potential(trial: int) -> float:
        label: Array = asarray(np.full(len(costs), trial, np.int32), place)
        found = to_host(costs_at(block.rows, centers, label, loss, memory_budget))
        return float((np.minimum(costs, found) * weights).sum())

    return np.asarray([potential(trial) for trial in range(len(trials))])


def _forget(block: Block) -> None:
    block.cache.pop(CACHED, None)
