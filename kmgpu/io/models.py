"""Fitted models in a file: arrays and one JSON document in an .npz archive, never pickled code."""

from __future__ import annotations

import json
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_is_fitted

from kmgpu.backend.arrays import to_host
from kmgpu.base import AlternatingMinimizer
from kmgpu.files import PathLike, replacing
from kmgpu.io.model_document import (
    COLUMNS,
    DOCUMENT,
    INIT,
    LABELS,
    OF_A_FIT,
    OF_BATCHES,
    RUNNING,
    rebuilt,
)
from kmgpu.io.npz import SUFFIX as NPY
from kmgpu.io.npz import WrongDtype, member_array, members_of
from kmgpu.io.reading import BadFile, opened, shortened, told
from kmgpu.io.scaling import ARRAYS, arrays_of, parts, with_scaler
from kmgpu.io.scaling import KEY as SCALED
from kmgpu.version import __version__

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# the format; 2 may lack labels_
VERSION, READ = 2, (1, 2)
CENTERS = "cluster_centers_"
# the kinds of dtypes of the members that there may be
KINDS = {CENTERS: "f", LABELS: "i", "counts_": "f", RUNNING: "f", INIT: "f"}
KINDS |= dict.fromkeys(ARRAYS.values(), "f")
REMEDY = "take another copy, or write one with kmgpu.save_model"


def save_model(
    estimator: AlternatingMinimizer | Pipeline, path: PathLike, *, labels: bool = False
) -> None:
    """Write a fitted estimator to `path`.

    The file is complete or not there: it is written beside `path` and then put in its place.

    Parameters
    ----------
    estimator : KMeans, KMedians, SphericalKMeans or Pipeline
        Fitted, on any backend; its arrays are copied to the host. A pipeline is
        ``make_pipeline(StandardScaler(), KMeans(…))``, or another of the three.
    path : str or path-like
        Taken as it is; .npz is the usual ending.
    labels : bool, default=False
        Save `labels_`, too: 4 bytes for each row of the fit, which no method needs.

    Raises
    ------
    TypeError
        For any other class, a subclass included: `load_model` could not name it.
    sklearn.exceptions.NotFittedError
        When there is nothing to save yet.
    ValueError
        When a parameter or an attribute has been set to what no fit accepts or leaves behind;
        with ``labels=True``, where there are none, as in a pickle of a fit of Dask's data.
    OSError
        When `path` cannot be written.

    Warns
    -----
    UserWarning
        For a parameter that is neither a number, a string nor an array, such as a callable
        `init` or a Generator as `random_state`: the loaded model has its default.
    """
    scaler, estimator = parts(estimator)
    check_is_fitted(estimator)
    if labels and not hasattr(estimator, LABELS):
        msg = (
            "labels=True, and the estimator has no labels_: leave labels out, or set them, "
            "labels_ = predict(X)."
        )
        raise ValueError(msg)
    names = (CENTERS, "counts_", *((LABELS,) if labels else ()))
    arrays = {name: to_host(getattr(estimator, name)) for name in names}
    batches = hasattr(estimator, "n_steps_")
    if batches:
        arrays[RUNNING] = to_host(estimator._running.centers)
    if scaler is not None:
        arrays |= arrays_of(scaler)
    document: dict[str, Any] = {
        "version": VERSION,
        "kmgpu": __version__,
        "class": type(estimator).__name__,
        "parameters": _parameters(estimator, arrays),
        "scalars": {
            name: _plain(getattr(estimator, name)) for name in (OF_BATCHES if batches else OF_A_FIT)
        },
        "history": () if batches else estimator.history_,
        "feature_names": list(getattr(scaler or estimator, "feature_names_in_", ())),
        COLUMNS: getattr(estimator, "_columns", None),
    }
    if scaler is not None:
        document[SCALED] = _plain(scaler.n_samples_seen_)
    try:
        text = json.dumps(document)
        known = json.loads(text)
        with_scaler(rebuilt(known, arrays), known, arrays)
    except (TypeError, ValueError) as error:
        msg = f"the estimator cannot be saved: {error}; it could not be loaded. Fit it again."
        raise ValueError(msg) from error
    contents: dict[str, Any] = {DOCUMENT: np.array(text), **arrays}
    with replacing(path) as file:
        np.savez(file, **contents)


def load_model(path: PathLike) -> AlternatingMinimizer | Any:
    """Read an estimator that `save_model` wrote; no GPU is needed, and nothing is unpickled.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    KMeans, KMedians, SphericalKMeans or Pipeline
        What was saved. Of ``kmgpu fit --standardize`` it is a pipeline of StandardScaler and the
        estimator, which takes rows in the units of the data. Fitted, its arrays NumPy's.
        `predict`, `transform` and `score` give what they gave
        before. `labels_` is there if it was saved. A `device` that named a GPU is now "auto": that
        GPU where there is one, else the CPU.

    Raises
    ------
    ValueError
        When the file is no model, is damaged, or is of another format version; the message
        names the file and says what was found.
    OSError, MemoryError
        When it cannot be opened, or there is too little memory; the message names it, too.
    """
    with opened(path, "is not a model that kmgpu can load", REMEDY) as file:
        if not zipfile.is_zipfile(file):
            msg = "it is no .npz archive"
            raise ValueError(msg)
        with zipfile.ZipFile(file) as archive:
            members = members_of(archive, file)
            missing = [name for name in (DOCUMENT, CENTERS) if f"{name}{NPY}" not in members]
            if missing:
                msg = f"it holds {shortened(str(sorted(members)))} and lacks {missing}"
                raise ValueError(msg)
            if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
                msg = "it is compressed, and kmgpu compresses no models"
                raise ValueError(msg)
            document = _document(path, archive, members.pop(f"{DOCUMENT}{NPY}"))
            arrays = dict(_array(archive, member) for member in members.values())
        estimator = rebuilt(document, arrays)
        if str(estimator.device).startswith("cuda"):
            estimator.device = "auto"
        return with_scaler(estimator, document, arrays)


def is_model(path: PathLike) -> bool:
    """Whether a file is an archive that says it is a model; False where it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{DOCUMENT}{NPY}" in archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def _parameters(estimator: AlternatingMinimizer, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The parameters that JSON can hold; an array `init` is added to `arrays`."""
    parameters, kept = estimator.get_params(deep=False), {}
    del parameters["checkpoint"], parameters["callback"]  # of this machine and this program
    for name, value in parameters.items():
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


def _document(path: PathLike, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Any:
    """The JSON document of a model of this version."""
    try:
        document = json.loads(member_array(archive, member, "U").item())
        version = document["version"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        msg = f"its {DOCUMENT} document cannot be read ({told(error)})"
        raise ValueError(msg) from error
    if type(version) is not int or version not in READ:
        msg = (
            f"{path} is a model of format version {shortened(repr(version))}, and this kmgpu reads "
            f"versions {READ[0]} to {READ[-1]}; load it with the kmgpu that wrote it, or fit and "
            f"save it again."
        )
        raise BadFile(msg)
    return document


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[str, np.ndarray]:
    """The name of an array of a model, and the array."""
    name = member.filename.removesuffix(NPY)
    if f"{name}{NPY}" != member.filename or name not in KINDS:
        msg = f"it holds {shortened(member.filename)!r}, which is no part of a model"
        raise ValueError(msg)
    try:
        array = member_array(archive, member, KINDS[name])
    except WrongDtype as error:
        msg = f"its {name} are {error.held}"
        raise ValueError(msg) from error
    return name, array.astype(array.dtype.newbyteorder("="), copy=False)
