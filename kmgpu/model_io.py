"""Fitted models in a file: arrays and one JSON document in an .npz archive, never pickled code."""

from __future__ import annotations

import json
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_is_fitted

from kmgpu.arrays import to_host
from kmgpu.base import AlternatingMinimizer
from kmgpu.estimators import KMeans, KMedians
from kmgpu.files import PathLike, replacing
from kmgpu.runs import HistoryEntry

VERSION = 1
CLASSES: dict[str, type[AlternatingMinimizer]] = {cls.__name__: cls for cls in (KMeans, KMedians)}
DOCUMENT = "kmgpu_model"
ARRAYS = ("cluster_centers_", "labels_")
INIT = "init"
SCALARS = (
    "inertia_",
    "n_iter_",
    "converged_",
    "n_relocated_",
    "n_features_in_",
    "_n_features_out",
    "_n_init",
)
UNREADABLE = (ValueError, KeyError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def save_model(estimator: AlternatingMinimizer, path: PathLike) -> None:
    """Write a fitted estimator to `path`.

    The file is complete or not there: it is written beside `path` and then put in its place.

    Parameters
    ----------
    estimator : KMeans or KMedians
        Fitted, on any backend; its arrays are copied to the host.
    path : str or path-like
        Taken as it is; .npz is the usual ending.

    Raises
    ------
    TypeError
        For any other class, a subclass included: `load_model` could not name it.
    sklearn.exceptions.NotFittedError
        When there is nothing to save yet.
    OSError
        When `path` cannot be written.

    Warns
    -----
    UserWarning
        For a parameter that is neither a number, a string nor an array, such as a callable
        `init` or a Generator as `random_state`: the loaded model has its default.
    """
    if CLASSES.get(type(estimator).__name__) is not type(estimator):
        msg = f"estimator is of {type(estimator)!r}; only {', '.join(CLASSES)} can be saved."
        raise TypeError(msg)
    check_is_fitted(estimator)
    arrays = {name: to_host(getattr(estimator, name)) for name in ARRAYS}
    document = {
        "version": VERSION,
        "class": type(estimator).__name__,
        "parameters": _parameters(estimator, arrays),
        "scalars": {name: _plain(getattr(estimator, name)) for name in SCALARS},
        "history": estimator.history_,
        "feature_names": list(getattr(estimator, "feature_names_in_", ())),
    }
    contents: dict[str, Any] = {DOCUMENT: np.array(json.dumps(document)), **arrays}
    with replacing(path) as file:
        np.savez(file, **contents)


def load_model(path: PathLike) -> AlternatingMinimizer:
    """Read an estimator that `save_model` wrote; no GPU is needed, and nothing is unpickled.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    KMeans or KMedians
        Fitted, its arrays NumPy's. `predict`, `transform` and `score` give what they gave
        before. A `device` that named a GPU is now "auto": that GPU where there is one, else the
        CPU.

    Raises
    ------
    FileNotFoundError
    ValueError
        When the file is no model, is damaged, or is of another format version; the message
        names the file and says what was found.
    """
    document, arrays = _read(path)
    try:
        estimator = CLASSES[document["class"]](**_restored_parameters(document, arrays))
        for name in SCALARS:
            setattr(estimator, name, document["scalars"][name])
        estimator.history_ = tuple(HistoryEntry(*entry) for entry in document["history"])
        if document["feature_names"]:
            estimator.feature_names_in_ = np.asarray(document["feature_names"], dtype=object)
    except (KeyError, TypeError, ValueError) as error:
        raise _no_model(path, f"its {DOCUMENT} document is incomplete ({error!r})") from error
    for name in ARRAYS:
        setattr(estimator, name, arrays[name])
    if estimator.cluster_centers_.shape != (estimator.n_clusters, estimator.n_features_in_):
        found = (
            f"its cluster_centers_ have shape {estimator.cluster_centers_.shape} where "
            f"{(estimator.n_clusters, estimator.n_features_in_)} is expected"
        )
        raise _no_model(path, found)
    return estimator


def _parameters(estimator: AlternatingMinimizer, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The parameters that JSON can hold; an array `init` is added to `arrays`."""
    kept = {}
    for name, value in estimator.get_params(deep=False).items():
        plain = _plain(value)
        if isinstance(plain, bool | int | float | str | None):
            kept[name] = plain
        elif name == "init" and not callable(value):
            dense = value.toarray() if issparse(value) else value
            arrays[INIT] = to_host(dense).astype(np.float64)
        else:
            warnings.warn(
                f"{name}={value!r} cannot be saved without pickling; the loaded model will have "
                f"the default {name}.",
                UserWarning,
                stacklevel=3,
            )
    return kept


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _restored_parameters(document: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    parameters = dict(document["parameters"])
    if INIT in arrays:
        parameters["init"] = arrays[INIT]
    if str(parameters["device"]).startswith("cuda"):
        parameters["device"] = "auto"
    return parameters


def _read(path: PathLike) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The JSON document, its version and class checked, and the arrays."""
    with Path(path).open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise _no_model(path, "it is no .npz archive")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as archive:
                contents = {name: archive[name] for name in archive.files}
        except UNREADABLE as error:
            raise _no_model(path, f"the archive is damaged or foreign ({error})") from error
    missing = [name for name in (DOCUMENT, *ARRAYS) if name not in contents]
    if missing:
        raise _no_model(path, f"it holds {sorted(contents)} and lacks {missing}")
    return _checked_document(path, contents.pop(DOCUMENT)), contents


def _checked_document(path: PathLike, text: np.ndarray) -> dict[str, Any]:
    try:
        document = json.loads(text.item())
        version, name = document["version"], document["class"]
    except (ValueError, TypeError, KeyError) as error:
        raise _no_model(path, f"its {DOCUMENT} document cannot be read ({error!r})") from error
    if version != VERSION:
        msg = (
            f"{path} is a model of format version {version!r}, and this kmgpu reads version "
            f"{VERSION}; load it with the kmgpu that wrote it, or fit and save it again."
        )
        raise ValueError(msg)
    if name not in CLASSES:
        raise _no_model(path, f"its class is {name!r}, which is none of {', '.join(CLASSES)}")
    return document


def _no_model(path: PathLike, found: str) -> ValueError:
    msg = f"{path} is not a model that kmgpu can load: {found}. Write one with kmgpu.save_model."
    return ValueError(msg)
