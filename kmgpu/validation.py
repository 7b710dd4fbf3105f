"""Checks of what users pass; errors name the argument, the value received and the remedy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_array

from kmgpu.backend.arrays import (
    HOST,
    Array,
    Place,
    adopted,
    asarray,
    is_array,
    is_extension,
    is_floating,
    is_real,
    namespace,
    place_of,
    to_host,
)
from kmgpu.backend.blocks import block_bytes, over_blocks, row_blocks
from kmgpu.backend.host_data import host_floats, host_numbers
from kmgpu.backend.sparse import canonical

MIN_MEMORY_BUDGET = 1 << 16
# bytes that one look of the host passes before blocks of them were made
SMALL = 1 << 16


def is_host_data(x: Any) -> bool:
    """Whether `x` is what scikit-learn takes: NumPy, SciPy sparse, lists, frames."""
    if not is_array(x) or issparse(x):
        return True
    return isinstance(x, np.ndarray) and (x.dtype.names is not None or not is_extension(x))


def is_plain(x: Any) -> bool:
    """Whether `x` is a NumPy array that scikit-learn's check of data would return as it is."""
    return type(x) is np.ndarray and x.ndim == 2 and x.dtype.kind in "fiub" and x.size > 0


def check_data(x: Any, name: str = "X") -> Array:
    """`x` as a two-dimensional real array of its own library, all finite.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what was received (for NaN and infinity the row), and the remedy.
    """
    x = adopted(x)
    if is_host_data(x):
        x = host_numbers(x, name, partial(check_array, input_name=name))
        x = canonical(x) if issparse(x) else x
    else:
        check_device_array(x, name)
    check_finite(x, name)
    return x


def check_device_array(x: Array, name: str) -> None:
    """Raise when `x`, no host data, is not two-dimensional, real and of at least one row."""
    if x.ndim != 2:
        msg = (
            f"Expected {name} to be a 2D array, got {x.ndim}D of shape {tuple(x.shape)} instead. "
            f"Reshape your data: (n_samples, n_features)."
        )
        raise ValueError(msg)
    if not is_real(x):
        msg = f"{name} has dtype {x.dtype}; Complex data not supported: pass real numbers."
        raise ValueError(msg)
    if 0 in x.shape:
        n, d = x.shape
        msg = (
            f"{name}: found array with {n} sample(s) and {d} feature(s) (shape=({n}, {d})) while "
            f"a minimum of 1 is required of each."
        )
        raise ValueError(msg)


def check_finite(x: Array, name: str, first_row: int = 0) -> None:
    """Raise ValueError naming the first row and column of `x` that holds NaN or infinity.

    `first_row` is the number of its first row, where `x` is a block of rows.
    """
    if issparse(x):
        bad = np.flatnonzero(~np.isfinite(x.data))
        if bad.size:
            row = int(np.searchsorted(x.indptr, bad[0], side="right")) - 1
            _raise_not_finite(name, row, int(x.indices[bad[0]]), float(x.data[bad[0]]))
        return
    xp, _ = place = place_of(x)
    if x.dtype == object or not is_floating(x):
        return

    def check(start: int, stop: int) -> None:
        block = x[start:stop, ...]
        if not bool(xp.all(xp.isfinite(block))):
            host = to_host(block)
            row, column = np.argwhere(~np.isfinite(host))[0]
            _raise_not_finite(
                name, first_row + start + int(row), int(column), float(host[row, column])
            )

    if place == HOST and x.nbytes < SMALL:
        check(0, x.shape[0])
        return
    with place.current():
        blocks = row_blocks(x.shape[0], 8 * x.shape[1], block_bytes(place, None))
        over_blocks(blocks, check, place == HOST)


def check_distances(distances: Array) -> None:
    """Raise ValueError where the dtype of X does not hold a distance to a centre."""
    xp = namespace(distances)
    if not bool(xp.isfinite(xp.max(distances))):
        wide = distances.dtype == xp.float64
        remedy = "scale X and the centres down" if wide else "pass X as float64"
        msg = f"distances of X to the centres overflow in {distances.dtype}; {remedy}."
        raise ValueError(msg)


def _raise_not_finite(name: str, row: int, column: int, value: float) -> None:
    what = "NaN" if np.isnan(value) else "infinity"
    msg = (
        f"Input {name} contains {what}: first at row {row}, column {column}. "
        f"Drop such rows or fill them in (for example with sklearn.impute.SimpleImputer)."
    )
    raise ValueError(msg)


def random_generator(random_state: Any) -> np.random.Generator:
    """The one Generator all random numbers come from."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**32, dtype=np.uint64))
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        msg = (
            f"random_state={random_state!r} cannot be used to seed: {error}; use None, an integer "
            f">= 0, a numpy.random.Generator or a RandomState."
        )
        raise ValueError(msg) from error


def check_init_centers(init: Any, n_clusters: int | None, n_features: int, place: Place) -> Array:
    """Initial centres as a new float64 array at `place`, of the shape that the data need."""
    centers = floats(init.toarray() if issparse(init) else init, "init")
    if centers.ndim != 2 or (n_clusters is not None and centers.shape[0] != n_clusters):
        msg = (
            f"The shape of the initial centers {centers.shape} does not match the number of "
            f"clusters {'(2D: n_clusters, n_features)' if n_clusters is None else n_clusters}."
        )
        raise ValueError(msg)
    if centers.shape[1] != n_features:
        msg = (
            f"The shape of the initial centers {centers.shape} does not match the number of "
            f"features of the data {n_features}."
        )
        raise ValueError(msg)
    check_finite(centers, "init")
    return asarray(centers, place)


def floats(x: Any, name: str) -> np.ndarray:
    """Weights or centres, of any library, as a new float64 array on the host."""
    x = adopted(x)
    return host_floats(to_host(x) if is_array(x) and not isinstance(x, np.ndarray) else x, name)


def check_n_clusters(n_clusters: int, n_samples: int) -> None:
    """Raise ValueError when there are more clusters than rows."""
    if n_samples < n_clusters:
        msg = f"n_samples={n_samples} should be >= n_clusters={n_clusters}."
        raise ValueError(msg)


def check_max_samples(value: Any) -> None:
    """Raise TypeError or ValueError for what is neither a number of rows nor a share of them."""
    if value is None:
        return
    if isinstance(value, Integral):
        check_integer("max_samples", value, 1)
    elif not isinstance(value, Real):
        msg = f"max_samples must be an integer, a float or None, got {value!r}."
        raise TypeError(msg)
    elif not 0 < float(value) <= 1:
        msg = f"max_samples={value!r} is no share of the rows; pass 0 < share <= 1 or an integer."
        raise ValueError(msg)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise ValueError when `value` is not one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        msg = f"{name}={value!r} is not known; use one of {', '.join(map(repr, choices))}."
        raise ValueError(msg)


def check_integer(name: str, value: Any, least: int) -> None:
    """Raise TypeError or ValueError when `value` is not an integer of at least `least`."""
    if not isinstance(value, Integral) or isinstance(value, bool | np.bool_):
        msg = f"{name} must be an integer, got {value!r} ({type(value).__name__})."
        raise TypeError(msg)
    if value < least:
        msg = f"{name}={value} must be at least {least}."
        raise ValueError(msg)


def check_tol(tol: Any) -> None:
    """Raise TypeError or ValueError when `tol` is not a number of at least 0."""
    if not isinstance(tol, Real) or isinstance(tol, bool | np.bool_):
        msg = f"tol must be a number, got {tol!r} ({type(tol).__name__})."
        raise TypeError(msg)
    if not float(tol) >= 0:
        msg = f"tol={tol} must be at least 0 (0: iterate until no label changes)."
        raise ValueError(msg)


def check_memory_budget(memory_budget: Any) -> None:
    """Raise when `memory_budget` is neither None nor bytes enough for a block."""
    if memory_budget is not None:
        check_integer("memory_budget (bytes)", memory_budget, MIN_MEMORY_BUDGET)
