"""Brute force in NumPy float64: what the tests compare with. Nothing here calls kmgpu."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

METRIC = {"l2": "sqeuclidean", "l1": "cityblock"}


def costs(x: Any, centers: Any, loss: str) -> np.ndarray:
    """Cost of every row at every centre, (n, k)."""
    return cdist(np.asarray(x, np.float64), np.asarray(centers, np.float64), METRIC[loss])


def total(x: Any, centers: Any, loss: str, weight: Any = None) -> float:
    """The loss at the nearest centres."""
    return float(np.average(costs(x, centers, loss).min(axis=1), weights=weight)) * float(
        len(x) if weight is None else np.sum(weight)
    )


def labels(x: Any, centers: Any, loss: str) -> np.ndarray:
    """Nearest centres, ties to the lowest index."""
    return costs(x, centers, loss).argmin(axis=1)


def costs_in_order(x: Any, centers: Any, loss: str) -> np.ndarray:
    """Costs (n, k) as contract 12 defines them: differences, added feature after feature."""
    x, centers = np.asarray(x, np.float64), np.asarray(centers, np.float64)
    total = np.zeros((len(x), len(centers)))
    with np.errstate(over="ignore", under="ignore"):
        for column, at in zip(x.T, centers.T, strict=True):
            apart = column[:, None] - at
            total += apart * apart if loss == "l2" else np.abs(apart)
    return total


def labels_in_order(x: Any, centers: Any, loss: str) -> np.ndarray:
    """The argmin of `costs_in_order`, which is computed only where the best two costs are close."""
    with np.errstate(over="ignore", under="ignore"):
        cost = costs(x, centers, loss)
        label = cost.argmin(axis=1)
        best = cost[np.arange(len(cost)), label]
        cost[np.arange(len(cost)), label] = np.inf
        close = ~(cost.min(axis=1) > best * (1 + 1e-9) + 1e-290)
    label[close] = costs_in_order(np.asarray(x)[close], centers, loss).argmin(axis=1)
    return label


def own_costs(x: Any, centers: Any, label: np.ndarray, loss: str) -> np.ndarray:
    """Cost of every row at the centre of its label, (n,)."""
    apart = np.asarray(x, np.float64) - np.asarray(centers, np.float64)[label]
    with np.errstate(over="ignore", under="ignore"):
        return (apart**2 if loss == "l2" else np.abs(apart)).sum(axis=1)


def assert_nearest(found: Any, x: Any, centers: Any, loss: str, rtol: float) -> None:
    """`found` are the nearest centres, where the best two costs differ by more than `rtol`."""
    cost = costs(x, centers, loss)
    best = cost.min(axis=1)
    attained = cost[np.arange(len(cost)), found]
    slack = rtol * (best + cost.min())
    np.testing.assert_array_less(attained, best + slack + 1e-300)
    clear = np.partition(cost, 1, axis=1)[:, 1] > best + slack if cost.shape[1] > 1 else best >= 0
    assert clear.mean() > 0.5, "the data are nearly all ties: the comparison says nothing"
    np.testing.assert_array_equal(found[clear], cost.argmin(axis=1)[clear])


def mean(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean of the rows."""
    return np.average(np.asarray(x, np.float64), axis=0, weights=weight)


def median(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Midpoint of the points of least weighted absolute deviation, feature by feature.

    By trying every row as the centre; halves of the weight are equal up to rounding.
    """
    x = np.asarray(x, np.float64)[weight > 0]
    weight = weight[weight > 0]
    middle = []
    for values in x.T:
        left = (weight * (values[None, :] < values[:, None])).sum(axis=1)
        right = (weight * (values[None, :] > values[:, None])).sum(axis=1)
        half = 0.5 * weight.sum() * (1 + 1e-12)
        best = values[(left <= half) & (right <= half)]
        middle.append(0.5 * best.min() + 0.5 * best.max())
    return np.array(middle)


CENTER = {"l2": mean, "l1": median}


def centers(
    x: np.ndarray, label: np.ndarray, previous: np.ndarray, loss: str, weight: Any = None
) -> np.ndarray:
    """Optimal centres of the labels; a cluster without weight keeps its previous one."""
    weight = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
    found = np.array(previous, dtype=np.float64)
    for j in range(len(found)):
        members = (label == j) & (weight > 0)
        if members.any():
            found[j] = CENTER[loss](x[members], weight[members])
    return found


def lloyd(
    x: Any, start: np.ndarray, loss: str, weight: Any = None, max_iter: int = 300
) -> tuple[np.ndarray, np.ndarray, float]:
    """Centres, labels and loss of plain alternation from `start`; empty clusters keep theirs."""
    x = np.asarray(x, np.float64)
    at, label = np.asarray(start, np.float64), np.full(len(x), -1)
    for _ in range(max_iter):
        new = labels(x, at, loss)
        if (new == label).all():
            break
        label = new
        at = centers(x, label, at, loss, weight)
    return at, labels(x, at, loss), total(x, at, loss, weight)


def optimum(x: np.ndarray, n_clusters: int, loss: str, weight: Any = None) -> float:
    """Least loss over all partitions of a few rows into at most `n_clusters` clusters."""
    weight = np.ones(len(x)) if weight is None else weight
    nowhere = np.full((n_clusters, x.shape[1]), np.inf)
    best = np.inf
    for rest in product(range(n_clusters), repeat=len(x) - 1):
        label = np.array([0, *rest])
        at = centers(x, label, nowhere, loss, weight)
        gaps = np.asarray(x, np.float64) - at[label]
        cost = (gaps**2).sum(axis=1) if loss == "l2" else np.abs(gaps).sum(axis=1)
        best = min(best, float((weight * np.where(weight > 0, cost, 0)).sum()))
    return best


def blobs(
    n_samples: int = 300, n_features: int = 3, n_clusters: int = 4, seed: int = 0, spread: float = 1
) -> np.ndarray:
    """Rows around `n_clusters` points that lie about 4 apart, float64."""
    rng = np.random.default_rng(seed)
    at = 4 * rng.standard_normal((n_clusters, n_features))
    return at[rng.integers(n_clusters, size=n_samples)] + spread * rng.standard_normal(
        (n_samples, n_features)
    )
