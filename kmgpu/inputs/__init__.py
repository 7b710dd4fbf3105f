"""What an estimator computes on: an array, rows that are read block by block, a Dask collection."""

from __future__ import annotations

from typing import Any

import numpy as np

from kmgpu.backend.arrays import to_host
from kmgpu.backend.cards import Work
from kmgpu.inputs.arrays import ArrayInput
from kmgpu.inputs.base import Fitted, Input
from kmgpu.inputs.blocks import BlocksInput
from kmgpu.inputs.dask import DaskInput, is_dask
from kmgpu.streaming.door import streamed

__all__ = ["ArrayInput", "Fitted", "Input", "input_of", "is_dask", "read_rows"]


def read_rows(values: Any) -> np.ndarray:
    """An array of one number a row on the host; a lazy one is computed."""
    return to_host(values.compute() if is_dask(values) else values)


def input_of(estimator: Any, X: Any, work: Work, *, reset: bool) -> Input:
    """`X` as it is to be computed on.

    Parameters
    ----------
    estimator : AlternatingMinimizer
        It keeps the number and the names of the features if `reset`, else they are checked.
    X : array-like, sparse matrix, frame, RowBlocks, store or Dask collection
    work : Work
        By which ``device="auto"`` chooses.
    reset : bool

    Raises
    ------
    ValueError, TypeError
        For bad input, NaN and infinity excepted, which are met when the rows are read.
    """
    if is_dask(X):
        return DaskInput(estimator, X, work, reset=reset)
    blocks = streamed(X, estimator.device, estimator.memory_budget, work)
    if blocks is None:
        return ArrayInput(estimator, X, work, reset=reset)
    return BlocksInput(estimator, blocks, work, reset=reset)
