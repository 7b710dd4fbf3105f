"""A fit of a sample of the rows: which rows, and what of the outcome is of all."""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from numbers import Integral

import numpy as np
from scipy.sparse import issparse

from kmgpu.algorithm.assignment import costs_at, nearest, weighted_sum
from kmgpu.algorithm.losses import Loss
from kmgpu.algorithm.plan import ArrayData, Data, Plan, Restart
from kmgpu.algorithm.restarts import best_restart
from kmgpu.algorithm.steps import weight_sums
from kmgpu.backend.arrays import Array, asarray, namespace, picked_rows, place_of, to_host
from kmgpu.sources.base import Block, Source


def best_of(data: Data, source: Source, plan: Plan, max_samples: float | None) -> Restart:
    """The best restart; it has no labels where it is that of a sample.

    Parameters
    ----------
    data, source : Data and Source
        All rows, with their weights.
    plan : Plan
    max_samples : int, float or None
        Where that is fewer than all rows of positive weight, so many of them, or such a share, are
        drawn and fitted. Loss and weights of the clusters are of all rows then, but the history is
        the sample's.
    """
    sample = None if max_samples is None else _sample_of(source, max_samples, plan)
    if sample is None:
        return best_restart(data, plan)
    best = best_restart(sample, plan)
    at = to_host(best.last.centers).astype(np.float64)
    costs, weights = source.fold(_costs_and_weights, _sums, at, plan.loss, plan.memory_budget)
    loss = plan.weight_factor * plan.loss.factor * costs
    if not isfinite(loss):
        msg = (
            f"the loss of all rows is {loss}: the costs of rows that max_samples left out overflow "
            f"in float64. Scale X down, by a power of two."
        )
        raise ValueError(msg)
    last = replace(best.last, loss=loss, labels=None)
    return best._replace(last=last, loss=loss, weights=plan.weight_factor * weights)


def _sample_of(source: Source, max_samples: float, plan: Plan) -> ArrayData | None:
    """Rows drawn without replacement, in their order; None for all rows."""
    counts = np.asarray(source.map(_n_positive))
    total = int(counts.sum())
    n = max_samples if isinstance(max_samples, Integral) else max(1, int(max_samples * total))
    if n >= total:
        return None
    if n < plan.n_clusters:
        msg = (
            f"max_samples={max_samples} is {n} rows, fewer than n_clusters={plan.n_clusters}; let "
            f"it be more."
        )
        raise ValueError(msg)
    ranks = np.sort(plan.rng.choice(total, n, replace=False))
    parts = source.map(_drawn, ranks, np.concatenate([[0], np.cumsum(counts)]))
    picked, weights = zip(*parts, strict=True)
    rows = picked[0] if issparse(picked[0]) else np.concatenate(picked)  # sparse: one block
    weight = asarray(np.concatenate(weights), source.place) if source.weighted else None
    return ArrayData(asarray(rows, source.place), weight)


def _n_positive(block: Block) -> int:
    if block.weight is None:
        return int(block.rows.shape[0])
    return int(namespace(block.weight).count_nonzero(block.weight))


def _drawn(block: Block, ranks: np.ndarray, starts: np.ndarray) -> tuple[Array, np.ndarray]:
    """The block's rows and weights of these ranks among all rows of positive weight."""
    start, stop = starts[block.index : block.index + 2]
    own = ranks[slice(*np.searchsorted(ranks, [start, stop]))] - start
    weight = np.ones(block.rows.shape[0]) if block.weight is None else to_host(block.weight)
    own = np.flatnonzero(weight)[own]
    rows = picked_rows(block.rows, asarray(own, place_of(block.rows)))
    return rows if issparse(rows) else to_host(rows), weight[own]


def _costs_and_weights(
    block: Block, centers: np.ndarray, loss: Loss, memory_budget: int | None
) -> tuple[float, np.ndarray]:
    at = asarray(centers, place_of(block.rows))
    labels: Array = nearest(block.rows, at, loss, memory_budget)
    costs = costs_at(block.rows, at, labels, loss, memory_budget)
    weights = weight_sums(labels, block.weight, len(centers))
    return float(weighted_sum(costs, block.weight)), weights


def _sums(a: tuple[float, np.ndarray], b: tuple[float, np.ndarray]) -> tuple[float, np.ndarray]:
    return a[0] + b[0], a[1] + b[1]
