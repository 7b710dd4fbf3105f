"""The loop: alternating minimisation as a generator of half-steps.

Estimators, pictures, progress bars and tests all consume this one generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from kmgpu.algorithm.losses import Loss, get_loss
from kmgpu.algorithm.relocation import EMPTY_CLUSTER, fill_empty
from kmgpu.algorithm.scale import check_scale
from kmgpu.algorithm.sphere import fitting
from kmgpu.algorithm.steps import Steps, engine, labels_to_keep
from kmgpu.algorithm.unit import unit_rows
from kmgpu.backend.arrays import (
    HOST,
    Array,
    Place,
    adopted,
    asarray,
    compute_dtype,
    is_array,
    namespace,
    place_of,
)
from kmgpu.backend.blocks import working_at
from kmgpu.backend.devices import borrowed
from kmgpu.backend.layout import arranged
from kmgpu.validation import check_choice, check_data, check_init_centers, check_n_clusters
from kmgpu.weights import relative_weights


@dataclass(frozen=True)
class HalfStep:
    """What one half-step left behind.

    Attributes
    ----------
    kind : str
        "init" (the initial centres, nothing assigned yet), "assign" or "refit".
    iteration : int
        0 for "init", then 1, 2, …. A last assignment that changed no label has a number of its own;
        after "shift" or "max_iter" it has that of the refit before it.
    centers : array of shape (n_clusters, n_features)
        The centres after this half-step: float64, but of the data's own floating dtype in the
        last record, which is the result.
    labels : array of shape (n_samples,), int32, or None at "init"
        The labels after this half-step. A "refit" has those it was made from. Where rows are read
        block by block, the last record alone has them.
    loss : float or None at "init"
        Σ wᵢ cost(xᵢ, µ of its label), squared units of the data for L2, plain for L1,
        1 - cos for "cosine".
    shift : float
        Σⱼ of the cost between old and new centres; 0 unless "refit".
    n_changed : int
        Rows of positive weight whose label changed; 0 unless "assign".
    n_relocated : int
        Empty clusters that were given a row before this "refit".
    stop : str or None
        Why the loop ends here: "labels" (nothing moved), "shift" (at most `tol`), "max_iter", or
        "callback" in the fit of an estimator whose callback said so.
    """

    kind: str
    iteration: int
    centers: Array
    labels: Array | None = None
    loss: float | None = None
    shift: float = 0.0
    n_changed: int = 0
    n_relocated: int = 0
    stop: str | None = None


class Pause(NamedTuple):
    """Where the loop can go on with a new engine: after a refit before which no row was moved.

    Attributes
    ----------
    iteration : int
    previous, centers : arrays of shape (n_clusters, n_features), float64
        What that iteration assigned to, and what it refitted.
    """

    iteration: int
    previous: Array
    centers: Array


def lloyd(
    x: Array,
    init: Array,
    loss: str | Loss = "l2",
    *,
    sample_weight: Array | None = None,
    max_iter: int = 300,
    tol: float = 0.0,
    empty_cluster: str = "farthest",
    memory_budget: int | None = None,
) -> Iterator[HalfStep]:
    """Alternate assignment and refitting from the given centres until nothing moves.

    Parameters
    ----------
    x : array of shape (n_samples, n_features)
        NumPy, CuPy, PyTorch or any Array API array; float, integer or boolean.
    init : array of shape (n_clusters, n_features)
        The initial centres.
    loss : {"l2", "l1", "cosine"} or Loss, default="l2"
        k-means, k-medians or spherical k-means, for which rows and centres are divided by their
        lengths first.
    sample_weight : array of shape (n_samples,), optional
        Non-negative. A row of zero weight has a label and no other effect.
    max_iter : int, default=300
    tol : float, default=0
        Stop when the centres' total shift is at most this: Σⱼ‖Δµⱼ‖₂² for L2, Σⱼ‖Δµⱼ‖₁ for L1.
        An absolute value; estimators scale theirs by the spread of the data.
    empty_cluster : {"farthest", "keep", "error"}, default="farthest"
        An empty cluster takes the row of largest weight × cost at its present centre, keeps its own
        centre, or raises ValueError.
    memory_budget : int, optional
        Bytes for temporary arrays, and for bounds; see `KMeans`.

    Yields
    ------
    HalfStep
        "init", then "assign" and "refit" in turn; the last one is an "assign", so its labels,
        loss and centres agree.

    Raises
    ------
    ValueError
        For bad input, for costs that overflow, and for an empty cluster if so chosen.

    References
    ----------
    S. P. Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28(2), 1982;
    for L1: P. S. Bradley, O. L. Mangasarian, W. N. Street, "Clustering via concave
    minimization", NIPS 9, 1996.
    """
    loss = get_loss(loss)
    check_choice("empty_cluster", empty_cluster, EMPTY_CLUSTER)
    x = adopted(x)
    home = place_of(x) if is_array(x) else HOST
    x = check_data(borrowed(x))
    place, dtype = place_of(x), compute_dtype(x)
    x, memory_budget = arranged(unit_rows(x) if loss.unit else x, memory_budget)
    with working_at(place, x, (np.shape(init) or (1,))[0]):
        weight, factor = relative_weights(sample_weight, x.shape[0], place)
        centers = check_init_centers(init, None, x.shape[1], place)
        centers = unit_rows(centers, "init") if loss.unit else centers
        check_n_clusters(centers.shape[0], x.shape[0])
        check_scale(x, weight, loss, memory_budget)
        steps = engine(x, weight, centers.shape[0], loss, memory_budget)
        steps = fitting(steps, loss, weight)
    loop = half_steps(
        steps,
        weight,
        centers,
        dtype,
        weight_factor=factor * loss.factor,
        max_iter=max_iter,
        tol=tol,
        empty_cluster=empty_cluster,
    )
    return _given_back(loop, home, x, centers.shape[0])


def _given_back(
    loop: Iterator[HalfStep], home: Place, x: Array, n_clusters: int
) -> Iterator[HalfStep]:
    """The half-steps, each made on the device of `x`, with arrays of `home` and labels to keep."""
    place = place_of(x)
    while True:
        with working_at(place, x, n_clusters):  # what overflows is reported by the loop itself
            step = next(loop, None)
            if step is None:
                return
            labels = step.labels
            if labels is not None:
                labels = asarray(namespace(labels).asarray(labels, copy=True), home)
            step = replace(step, centers=asarray(step.centers, home), labels=labels)
        yield step


def half_steps(
    steps: Steps,
    sample_weight: Array | None,
    centers: Array,
    dtype: Any,
    labels: Array | None = None,
    *,
    weight_factor: float = 1.0,
    max_iter: int,
    tol: float,
    empty_cluster: str,
    pause: Pause | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Iterator[HalfStep]:
    """The loop itself, on any engine; see `lloyd`. The input is taken as checked.

    After a `pause`, it goes on from there instead of from `centers`: the engine learns its labels
    again. The last record's centres are of `dtype`. `labels` are those of the first assignment,
    where seeding knows them. The engine owns the labels of a record, which hold until the next
    half-step; the last record has a copy. Losses are those of `weight_factor` times the weights.
    `stopped` is asked after each half-step whether to end with its centres.
    """
    assign = partial(assigned, steps, sample_weight, weight_factor)
    iteration, stop = 0, None
    if pause is None:
        yield HalfStep("init", 0, centers)
    else:
        assign(pause.previous)
        iteration, centers = pause.iteration, pause.centers
    while stop is None:
        iteration += 1
        known = labels if iteration == 1 else None
        value, changed = assign(centers, True, known)
        if iteration == 1:
            changed = int(steps.sizes.sum())  # not since an earlier restart
        elif changed == 0:
            stop = "labels"
            break
        yield HalfStep("assign", iteration, centers, steps.labels, value, n_changed=changed)
        if stopped is not None and stopped():
            stop = "callback"
            break
        relocated = fill_empty(steps, empty_cluster)
        centers, value, shift = steps.refit()
        value *= weight_factor
        stop = "shift" if shift <= tol else "max_iter" if iteration >= max_iter else None
        yield HalfStep(
            "refit", iteration, centers, steps.labels, value, shift=shift, n_relocated=relocated
        )
        if stop is None and stopped is not None and stopped():
            stop = "callback"
    # the centres that users get have the data's precision: labels and loss must be theirs
    xp = namespace(centers)
    rounded = xp.astype(centers, dtype)
    exact = xp.astype(rounded, xp.float64)
    if stop != "labels" or not bool(xp.all(exact == centers)):
        value, changed = assign(exact)
    labels = labels_to_keep(steps)
    yield HalfStep("assign", iteration, rounded, labels, value, n_changed=changed, stop=stop)


def assigned(
    steps: Steps,
    sample_weight: Array | None,
    weight_factor: float,
    centers: Array,
    refit_follows: bool = False,
    labels: Array | None = None,
) -> tuple[float, int]:
    """``steps.assign``, its loss times the factor; ValueError where that is not finite."""
    value, changed = steps.assign(centers, refit_follows, labels)
    value *= weight_factor
    if not isfinite(value):
        most = weight_factor
        if sample_weight is not None:
            most *= float(namespace(sample_weight).max(sample_weight))
        raise ValueError(_overflow(value, steps.costs(), centers, most))
    return value, changed


def _overflow(value: float, costs: Array, centers: Array, most_weight: float) -> str:
    """Why the loss is not finite, and what to do."""
    xp = namespace(costs)
    # centres are weighted sums
    finite = bool(xp.all(xp.isfinite(costs))) or not bool(xp.all(xp.isfinite(centers)))
    if most_weight > 1 and finite:
        return (
            f"the loss is {value}: sample_weight has values too large, up to "
            f"{most_weight:.3g}, for weighted costs to be summed in float64. "
            f"Divide sample_weight by a constant: centres and labels stay the same."
        )
    return (
        f"the loss is {value}: the costs of X at the centres overflow in float64. X (or init) has "
        f"values too large, or too many rows of such; scale X and init down, by a power of two."
    )
