"""Models of standardized columns: scikit-learn's StandardScaler before the estimator, saved as one.

A pipeline applies the scale itself, so `predict` takes rows in the units of the data.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from kmgpu.backend.arrays import to_host
from kmgpu.base import AlternatingMinimizer
from kmgpu.io.model_document import CLASSES, checked

# arrays in a file, by attributes of StandardScaler
ARRAYS = {"mean_": "scaler_mean", "scale_": "scaler_scale", "var_": "scaler_variance"}
KEY = "scaler_rows"


def parts(model: Any) -> tuple[Any, AlternatingMinimizer]:
    """The StandardScaler of a model, or None, and the estimator.

    Raises
    ------
    TypeError
        For what is neither an estimator of kmgpu nor such a pipeline.
    """
    if CLASSES.get(type(model).__name__) is type(model):
        return None, model
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    if type(model) is Pipeline and len(model) == 2:
        scaler, estimator = model[0], model[1]
        plain = type(scaler) is StandardScaler and scaler.with_mean and scaler.with_std
        if plain and CLASSES.get(type(estimator).__name__) is type(estimator):
            return scaler, estimator
    msg = (
        f"estimator is of {type(model)!r}; only {', '.join(CLASSES)} can be saved, alone or as "
        f"make_pipeline(StandardScaler(), estimator)."
    )
    raise TypeError(msg)


def with_scaling(scaler: Any, estimator: AlternatingMinimizer) -> Any:
    """A pipeline of both, which are not copied."""
    from sklearn.pipeline import make_pipeline

    return make_pipeline(scaler, estimator)


def arrays_of(scaler: Any) -> dict[str, np.ndarray]:
    """What a file holds of a fitted scaler, but for `KEY`."""
    return {
        name: to_host(getattr(scaler, attribute)).astype(np.float64)
        for attribute, name in ARRAYS.items()
    }


def with_scaler(
    estimator: AlternatingMinimizer, document: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> Any:
    """A pipeline of the scaler in a file and the estimator, which gives its names of features.

    Returns
    -------
    Pipeline or AlternatingMinimizer
        The estimator where the file has no scaler.

    Raises
    ------
    ValueError
        When the scaler is not what a fit leaves behind.
    """
    found = [name for name in ARRAYS.values() if name in arrays]
    if not found and KEY not in document:
        return estimator
    rows: Any = document.get(KEY)
    number = isinstance(rows, int | float) and not isinstance(rows, bool)
    if len(found) < len(ARRAYS) or not number or not isfinite(rows) or rows <= 0:
        msg = f"its scaler is incomplete or damaged: there are {found}, of {rows!r} rows"
        raise ValueError(msg)
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for attribute, name in ARRAYS.items():
        setattr(scaler, attribute, checked(arrays[name], name, (estimator.n_features_in_,)))
    if (scaler.scale_ <= 0).any() or (scaler.var_ < 0).any():
        msg = "its scaler_scale or scaler_variance is not above 0"
        raise ValueError(msg)
    scaler.n_samples_seen_ = np.asarray(rows)[()]  # NumPy's, as partial_fit expects
    scaler.n_features_in_ = estimator.n_features_in_
    if hasattr(estimator, "feature_names_in_"):
        scaler.feature_names_in_ = estimator.feature_names_in_
        del estimator.feature_names_in_
    return with_scaling(scaler, estimator)
