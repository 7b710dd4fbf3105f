"""Clusters and centres as they are printed after a fit: the first few, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kmgpu.io.reading import shortened
from kmgpu.io.tables import Table
from kmgpu.members import ClusterTable

MOST_CLUSTERS, MOST_COLUMNS, LONGEST_NAME = 20, 8, 24


def clusters_text(clusters: ClusterTable) -> str:
    """The table of clusters, of at most `MOST_CLUSTERS`."""
    shown = ClusterTable(clusters.entries[:MOST_CLUSTERS])
    return f"{shown!r}\n{_more(len(clusters), MOST_CLUSTERS, 'clusters')}"


def centers_text(centers: np.ndarray, table: Table, scaler: Any) -> str:
    """The centres with the names of the columns.

    Parameters
    ----------
    centers : ndarray of shape (n_clusters, n_features)
        In the units of the data.
    table : Table
        The data.
    scaler : StandardScaler or None
        Its means and standard deviations are two more lines.
    """
    lines = [["centre", *names_of(table, centers.shape[1])[:MOST_COLUMNS]]]
    lines += [[f"{j}", *_cells(center)] for j, center in enumerate(centers[:MOST_CLUSTERS])]
    if scaler is not None:
        lines += [["mean", *_cells(scaler.mean_)], ["std", *_cells(np.sqrt(scaler.var_))]]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
    clusters = _more(len(centers), MOST_CLUSTERS, "centres")
    return f"{text}\n{clusters}{_more(centers.shape[1], MOST_COLUMNS, 'columns')}"


def names_of(table: Table, n_features: int) -> Sequence[str]:
    """The names of the columns, for people; x and the number of the column where there are none."""
    if table.names is not None:
        return [shortened(name)[:LONGEST_NAME] for name in table.names]
    numbers = range(n_features) if table.columns is None else table.columns.positions
    return [f"x{number}" for number in numbers]


def _cells(values: np.ndarray) -> list[str]:
    return [f"{value:,.6g}" for value in values[:MOST_COLUMNS]]


def _more(n: int, shown: int, what: str) -> str:
    return f"… and {n - shown:,} more {what}\n" if n > shown else ""
