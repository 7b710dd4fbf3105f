"""What a saved model must hold: every value is one that a fit accepts or leaves behind."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from math import isfinite
from typing import Any

import numpy as np

from kmgpu.algorithm.lloyd import EMPTY_CLUSTER
from kmgpu.algorithm.mini_batch import Running
from kmgpu.algorithm.plan import HistoryEntry
from kmgpu.algorithm.seeding import METHODS
from kmgpu.base import AlternatingMinimizer
from kmgpu.estimators import ESTIMATORS, KMeans
from kmgpu.io.columns import Picked
from kmgpu.io.reading import shortened
from kmgpu.parameters import ALGORITHMS
from kmgpu.validation import MIN_MEMORY_BUDGET

CLASSES: dict[str, type[AlternatingMinimizer]] = {cls.__name__: cls for cls in ESTIMATORS.values()}
DOCUMENT = "kmgpu_model"
INIT = "init"
LABELS = "labels_"
COLUMNS = "columns"
DEVICE = re.compile(r"cpu|auto|cuda(:\d+)?")
# what `partial_fit` goes on from, beside counts_
RUNNING = "running_centers"
DTYPES = {
    "cluster_centers_": ("float32", "float64"),
    LABELS: ("int32",),
    "counts_": ("float64",),
    RUNNING: ("float64",),
    INIT: ("float64",),
    "scaler_mean": ("float64",),
    "scaler_scale": ("float64",),
    "scaler_variance": ("float64",),
}
KEYS = {"version", "kmgpu", "class", "parameters", "scalars", "history", "feature_names"}

Check = Callable[[Any], bool]


def _count(least: int) -> Check:
    return lambda value: type(value) is int and value >= least


def _among(choices: Collection[str]) -> Check:
    return lambda value: isinstance(value, str) and value in choices


def _plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str | None)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _amount(value: Any) -> bool:
    """Nothing, something or infinity, not NaN."""
    return _number(value) and value >= 0


PARAMETERS: dict[str, Check] = {
    "n_clusters": _count(1),
    "init": _among(METHODS),
    "n_init": lambda value: value == "auto" or _count(1)(value),
    "max_iter": _count(1),
    "tol": _amount,
    "verbose": _plain,
    "random_state": lambda value: value is None or (isinstance(value, int) and value >= 0),
    "copy_x": _plain,
    "algorithm": _among(ALGORITHMS),
    "empty_cluster": _among(EMPTY_CLUSTER),
    "device": lambda value: (
        value is None or (isinstance(value, str) and bool(DEVICE.fullmatch(value)))
    ),
    "memory_budget": lambda value: value is None or _count(MIN_MEMORY_BUDGET)(value),
    "progress": _plain,
    "max_samples": lambda value: value is None or (_number(value) and value > 0),
}
SCALARS: dict[str, Check] = {
    "inertia_": lambda value: isinstance(value, float) and isfinite(value) and value >= 0,
    "n_features_in_": _count(1),
    "_n_features_out": _count(1),
}
# of `fit` and of `partial_fit`
OF_A_FIT: dict[str, Check] = SCALARS | {
    "n_iter_": _count(1),
    "converged_": lambda value: isinstance(value, bool),
    "n_relocated_": _count(0),
    "_n_init": _count(1),
}
OF_BATCHES: dict[str, Check] = SCALARS | {"n_steps_": _count(1)}
HISTORY: dict[str, Check] = {
    "kind": _among(("assign", "refit")),
    "iteration": _count(1),
    "loss": lambda value: _number(value) and isfinite(value),
    "shift": _amount,
    "n_changed": _count(0),
    "n_relocated": _count(0),
}


def rebuilt(document: Any, arrays: Mapping[str, np.ndarray]) -> AlternatingMinimizer:
    """The fitted estimator that a document and arrays describe.

    Parameters
    ----------
    document : object
        What a JSON text said, of any type.
    arrays : mapping
        `DTYPES` says which there may be; centres must be, and what `partial_fit` goes on from
        where it was called.

    Raises
    ------
    ValueError
        When anything is missing, unknown, or not what a fit accepts or leaves behind.
    """
    try:
        estimator = _without_arrays(document)
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"its {DOCUMENT} document is incomplete or damaged ({error})"
        raise ValueError(msg) from error
    shape = (estimator.n_clusters, estimator.n_features_in_)
    if INIT in arrays:
        if INIT in document["parameters"]:
            msg = "it holds an init and the name of another"
            raise ValueError(msg)
        estimator.init = checked(arrays[INIT], INIT, shape)
    estimator.cluster_centers_ = checked(arrays["cluster_centers_"], "cluster_centers_", shape)
    if LABELS in arrays:
        estimator.labels_ = _labels(arrays[LABELS], shape[0])
    estimator.counts_ = _counts(arrays, shape[0])
    if hasattr(estimator, "n_steps_"):
        missing = {"counts_", RUNNING} - arrays.keys()
        if missing:
            msg = f"it is of batches and lacks {sorted(missing)}"
            raise ValueError(msg)
        centers = checked(arrays[RUNNING], RUNNING, shape)
        estimator._running = Running(centers, estimator.counts_)
    return estimator


def _labels(labels: np.ndarray, n_clusters: int) -> np.ndarray:
    checked(labels, LABELS, labels.shape)
    if labels.ndim != 1 or not len(labels) or labels.min() < 0 or labels.max() >= n_clusters:
        msg = f"its labels_ are not one of 0 to {n_clusters - 1} for every row"
        raise ValueError(msg)
    return labels


def _counts(arrays: Mapping[str, np.ndarray], n_clusters: int) -> np.ndarray:
    """Weight of each cluster; its rows, where an early kmgpu has not saved it."""
    if "counts_" not in arrays:
        if LABELS not in arrays:
            msg = "it has neither counts_ nor labels_"
            raise ValueError(msg)
        return np.bincount(arrays[LABELS], minlength=n_clusters).astype(np.float64)
    counts = checked(arrays["counts_"], "counts_", (n_clusters,))
    if (counts < 0).any():
        msg = "its counts_ are below 0"
        raise ValueError(msg)
    return counts


def _without_arrays(document: Any) -> AlternatingMinimizer:
    """The estimator but for its arrays."""
    if not isinstance(document, dict) or not document.keys() >= KEYS:
        msg = f"there are not all of {', '.join(sorted(KEYS))}"
        raise ValueError(msg)
    if not _among(CLASSES)(document["class"]):
        msg = (
            f"its class is {shortened(repr(document['class']))}, which is none of "
            f"{', '.join(CLASSES)}"
        )
        raise ValueError(msg)
    parameters, scalars = document["parameters"], document["scalars"]
    _check_values(parameters, PARAMETERS, required=())
    batches = document["class"] == KMeans.__name__ and "n_steps_" in scalars
    expected = OF_BATCHES if batches else OF_A_FIT
    _check_values(scalars, expected, required=expected)
    estimator = CLASSES[document["class"]](**parameters)
    for name, value in scalars.items():
        setattr(estimator, name, value)
    if estimator._n_features_out != estimator.n_clusters:
        msg = f"_n_features_out is {estimator._n_features_out}, and n_clusters is another"
        raise ValueError(msg)
    history = tuple(_entry(entry) for entry in _listed(document, "history"))
    if not batches:
        estimator.history_ = history
    names = _listed(document, "feature_names")
    if names:
        if len(names) != estimator.n_features_in_ or not all(isinstance(n, str) for n in names):
            msg = f"feature_names are not one for each of {estimator.n_features_in_} features"
            raise ValueError(msg)
        estimator.feature_names_in_ = np.asarray(names, dtype=object)
    if document.get(COLUMNS) is not None:
        estimator._columns = _columns(document[COLUMNS], estimator.n_features_in_)
    return estimator


def _columns(values: Any, n_features: int) -> Picked:
    """Which columns of a wider table the features are."""
    positions, width = values
    known = type(width) is int and all(type(at) is int and 0 <= at < width for at in positions)
    if not known or len(set(positions)) < len(positions) or len(positions) != n_features:
        msg = f"{COLUMNS} are {shortened(repr(values))}, and there are {n_features} features"
        raise ValueError(msg)
    return Picked(tuple(positions), width)


def _check_values(values: Any, checks: Mapping[str, Check], required: Collection[str]) -> None:
    if not isinstance(values, dict):
        msg = f"there is {shortened(repr(values))} where names and values are expected"
        raise TypeError(msg)
    for name in required:
        if name not in values:
            msg = f"there is no {name}"
            raise ValueError(msg)
    for name, value in values.items():
        if name not in checks:
            msg = f"{shortened(name)} is not known"
            raise ValueError(msg)
        if not checks[name](value):
            msg = f"{name} is {shortened(repr(value))}"
            raise ValueError(msg)


def _listed(document: dict[str, Any], name: str) -> list[Any]:
    if not isinstance(document[name], list):
        msg = f"{name} is {shortened(repr(document[name]))}, not a list"
        raise TypeError(msg)
    return document[name]


def _entry(values: Any) -> HistoryEntry:
    if not isinstance(values, list) or len(values) != len(HISTORY):
        msg = f"history holds {shortened(repr(values))}"
        raise TypeError(msg)
    _check_values(dict(zip(HISTORY, values, strict=True)), HISTORY, required=())
    return HistoryEntry(*values)


def checked(array: np.ndarray, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The array; ValueError where it is not of a dtype that `DTYPES` has, or not of this shape."""
    if str(array.dtype) not in DTYPES[name]:
        msg = f"its {name} are {array.dtype}, not {' or '.join(DTYPES[name])}"
        raise ValueError(msg)
    if array.shape != shape:
        msg = f"its {name} have shape {array.shape} where {shape} is expected"
        raise ValueError(msg)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        msg = f"its {name} hold NaN or infinity"
        raise ValueError(msg)
    return array
