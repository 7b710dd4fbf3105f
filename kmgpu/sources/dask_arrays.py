"""What users give of Dask, frames and weights, as arrays in the chunks of the rows."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np

from kmgpu.backend.arrays import Array, adopted
from kmgpu.validation import check_device_array


def rows_of(data: Any) -> da.Array:
    """The rows as one array; frames by partitions, chunks merged across columns."""
    array = data
    if hasattr(data, "map_partitions"):
        if data.ndim != 2:
            msg = f"X is a {type(data).__name__} of one column; pass a frame, such as X.to_frame()."
            raise ValueError(msg)
        like = _numbers(data._meta)
        array = data.map_partitions(_numbers, like.dtype, meta=like, enforce_metadata=False)
    check_device_array(array, "X")
    if not float(array.shape[1]).is_integer():
        msg = "X has an unknown number of columns; call X.compute_chunk_sizes() first."
        raise ValueError(msg)
    return array if array.numblocks[1] == 1 else array.rechunk({1: -1})


def _numbers(frame: Any, dtype: Any = None) -> Array:
    """The numbers of a partition of a frame, of pandas or cuDF, in one array."""
    for name, kind in zip(frame.columns, frame.dtypes, strict=True):
        if kind.kind not in "fiub":
            msg = f"column {name!r} of X has dtype {kind}; drop it or encode it as numbers."
            raise TypeError(msg)
    if hasattr(frame, "to_cupy"):
        return adopted(frame)
    if dtype is None:
        dtype = frame.to_numpy().dtype
        dtype = dtype if dtype.kind in "fiub" else np.dtype(np.float64)
    missing = {"na_value": np.nan} if dtype.kind == "f" else {}
    return np.asarray(frame.to_numpy(dtype=dtype, **missing))


def weights_of(given: Any, rows: da.Array) -> da.Array:
    """Weights in the chunks of the rows."""
    weight = given.to_dask_array() if hasattr(given, "to_dask_array") else given
    if weight.ndim != 1:
        msg = (
            f"sample_weight is {weight.ndim}-dimensional; expected (n_samples,): one weight a row."
        )
        raise ValueError(msg)
    n_weights, n_rows = weight.shape[0], rows.shape[0]
    known = n_weights == n_weights and n_rows == n_rows
    if known and n_weights != n_rows:
        msg = f"sample_weight.shape == {weight.shape}, expected {(n_rows,)}: one weight a row."
        raise ValueError(msg)
    if known:
        return weight.rechunk((rows.chunks[0],))
    if weight.numblocks[0] != rows.numblocks[0]:
        msg = (
            f"sample_weight has {weight.numblocks[0]} chunks and X has {rows.numblocks[0]}, of "
            f"unknown lengths; call compute_chunk_sizes() of both, or give them the same chunks."
        )
        raise ValueError(msg)
    return weight
