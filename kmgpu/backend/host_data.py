"""Host data as they arrive: what scikit-learn takes becomes numbers, the rest is told why not.

scikit-learn's own check knows lists, frames, extension dtypes and sparse matrices. Here is what it
reads wrongly or refuses in words that help nobody: masks and NaT that it loses, numbers as text,
records, tables that are not computed yet, and things that are no data at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_array

# NumPy's kinds of dtypes
TEXT, TIMES, OBJECTS, COMPLEX = "SUT", "mM", "O", "c"
PROTOCOLS = ("__array__", "__array_interface__", "__dataframe__", "__arrow_c_stream__")
FILL = "drop such rows or fill them in (for example with sklearn.impute.SimpleImputer)"


def host_numbers(x: Any, name: str, check: Callable[..., Any] = check_array) -> Any:
    """`x` as scikit-learn checks it: a NumPy array of real numbers, or a CSR matrix.

    Parameters
    ----------
    x : array-like, frame or sparse matrix
        Times become whole numbers of their unit; text and objects become float64. NaN and
        infinity pass.
    name : str
        What messages call it.
    check : callable, default=sklearn.utils.validation.check_array
        Or ``functools.partial(validate_data, estimator, reset=…)``.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what was received (for one value its row and column), and the remedy.
    """
    x = _readable(x, name)
    if isinstance(x, np.ndarray):
        x = _as_numbers(x, name)
    try:
        x = check(x, accept_sparse="csr", dtype="numeric", ensure_all_finite=False)
    except np.exceptions.DTypePromotionError as error:
        msg = f"{name} has columns of numbers and of times; convert the times to numbers first."
        raise TypeError(msg) from error
    except ValueError as error:
        if "could not convert" in str(error):
            _as_numbers(np.asarray(x, dtype=object), name)  # says where
        raise
    return x if issparse(x) else _as_numbers(x, name)


def host_floats(x: Any, name: str) -> np.ndarray:
    """Weights or centres of any shape as a new float64 array."""
    found = np.asarray(_readable(x, name))
    if found.dtype.kind in TIMES + COMPLEX:
        msg = f"{name} has dtype {found.dtype}; pass real numbers."
        raise ValueError(msg)
    return _as_numbers(found, name).astype(np.float64)


def _readable(x: Any, name: str) -> Any:
    """`x`, lists as arrays and without a mask; an error for what holds no numbers."""
    if isinstance(x, list | tuple):
        x = _array_of(x, name)
    if isinstance(x, np.ma.MaskedArray):
        if np.ma.is_masked(x):
            masked = _place(np.ma.getmaskarray(x))
            msg = f"{name} is masked: first at {masked}; {FILL}, or pass {name}.filled(value)."
            raise ValueError(msg)
        x = np.asarray(x)
    if getattr(x, "dtype", None) is not None and getattr(x.dtype, "names", None):
        msg = (
            f"{name} is an array of records with the fields {', '.join(x.dtype.names)}; pass "
            f"numpy.lib.recfunctions.structured_to_unstructured({name})."
        )
        raise TypeError(msg)
    known = isinstance(x, Sequence | memoryview) and not isinstance(x, str | bytes | bytearray)
    if not (known or issparse(x) or any(hasattr(x, protocol) for protocol in PROTOCOLS)):
        raise TypeError(_no_data(x, name))
    return x


def _no_data(x: Any, name: str) -> str:
    if hasattr(x, "collect"):
        remedy = f"it is not computed yet: pass {name}.collect()"
    elif isinstance(x, str | bytes | bytearray):
        remedy = "read the file first, for example with numpy.load or pandas.read_csv"
    else:
        remedy = "pass an array, a frame, a list of rows or a sparse matrix"
    return f"{name} is of type {type(x).__name__}, which holds no rows of numbers; {remedy}."


def _array_of(x: Sequence[Any], name: str) -> np.ndarray:
    try:
        return np.asarray(x)
    except ValueError as error:
        msg = f"{name} is no table: its rows differ in length ({error}); make them equally long."
        raise ValueError(msg) from error


def _as_numbers(x: np.ndarray, name: str) -> np.ndarray:
    if x.dtype.kind in TIMES:
        missing = np.isnat(x)
        if missing.any():
            msg = f"Input {name} contains NaT: first at {_place(missing)}; {FILL}."
            raise ValueError(msg)
        return x.astype(np.int64)
    if x.dtype.kind not in TEXT + OBJECTS:
        return x
    try:
        return x.astype(np.float64)
    except (TypeError, ValueError) as error:
        at = next((at for at, value in np.ndenumerate(x) if not _is_number(value)), None)
        msg = f"{name} cannot be read as numbers: {error}."
        if at is not None:
            value = x[at].item() if isinstance(x[at], np.generic) else x[at]
            msg = (
                f"{name} holds {value!r} at {_named(at)}, which is no number ({error}); drop the "
                f"column or encode it as numbers."
            )
        raise type(error)(msg) from error


def _is_number(value: Any) -> bool:
    try:
        np.asarray(value).astype(np.float64)
    except (TypeError, ValueError):
        return False
    return True


def _place(where: np.ndarray) -> str:
    """The first row and column that is True."""
    return _named(tuple(np.argwhere(where)[0]))


def _named(at: tuple[int, ...]) -> str:
    return ", ".join(f"{axis} {i}" for axis, i in zip(("row", "column", "layer"), at, strict=False))
