"""``--standardize``: columns less their means, divided by their standard deviations."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from kmgpu.backend.arrays import HOST, to_host
from kmgpu.io.opening import is_long, mapped, pieces
from kmgpu.io.tables import Table
from kmgpu.sources.row_blocks import RowBlocks
from kmgpu.validation import check_finite
from kmgpu.weights import check_sample_weight


def fitted_scaler(table: Table, sample_weight: np.ndarray | None) -> Any:
    """A StandardScaler of the rows, read once, block by block.

    Parameters
    ----------
    table : Table
    sample_weight : ndarray of shape (n_samples,) or None
        Means and variances are weighted by them, as rows repeated so often would be.

    Raises
    ------
    ValueError
        For NaN, infinity and bad weights.

    Warns
    -----
    UserWarning
        For constant columns, which are divided by 1.
    """
    from sklearn.preprocessing import StandardScaler

    data, weight = table.data, None
    if sample_weight is not None:
        known = data.n_samples if isinstance(data, RowBlocks) else len(data)
        n_samples = len(sample_weight) if known is None else known
        weight = to_host(check_sample_weight(sample_weight, n_samples, HOST))
    scaler, start = StandardScaler(), 0
    for rows in pieces(data):
        check_finite(rows, "X", start)
        own = None if weight is None else weight[start : start + len(rows)]
        start += len(rows)
        if own is not None:
            rows, own = rows[own > 0], own[own > 0]
        if len(rows):
            scaler.partial_fit(rows, sample_weight=own)
    constant = np.flatnonzero(scaler.scale_ != np.sqrt(scaler.var_))
    if len(constant):
        names = [f"column {at}" if table.names is None else table.names[at] for at in constant]
        shown = ", ".join(map(str, names[:8])) + (", …" if len(names) > 8 else "")
        warnings.warn(
            f"--standardize: {shown} {'is' if len(names) == 1 else 'are'} constant and cannot "
            f"tell rows apart; --drop leaves columns out.",
            stacklevel=1,
        )
    return scaler


def standardized(data: np.ndarray | RowBlocks, scaler: Any) -> np.ndarray | RowBlocks:
    """The rows as a scaler without names makes them; by blocks where they were or would be large.

    Raises
    ------
    ValueError
        For NaN and infinity; the message names the row.
    """

    def change(rows: np.ndarray, start: int) -> np.ndarray:
        check_finite(rows, "X", start)
        return scaler.transform(rows)

    if isinstance(data, RowBlocks) or is_long(data):
        return mapped(data, change)
    return change(np.asarray(data), 0)
