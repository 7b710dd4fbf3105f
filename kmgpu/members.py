"""What clusters hold: a table of them, and the rows next to each centre."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from kmgpu.algorithm.losses import Loss
from kmgpu.backend.arrays import HOST, Array, to_host
from kmgpu.inputs import Input, read_rows
from kmgpu.text_table import as_html, as_text, titles
from kmgpu.validation import check_integer
from kmgpu.weights import check_sample_weight

NOT_KNOWN = "–"


class ClusterEntry(NamedTuple):
    """One cluster of a `ClusterTable`.

    Attributes
    ----------
    cluster : int
        As in `labels_`.
    size : int
        Rows, those of zero weight counted.
    share : float
        Of the weight of all clusters.
    weight : float
        Of its rows.
    loss : float or None
        Its part of the loss; None where the rows were not given.
    spread : float or None
        The root of the mean squared distance of its rows to the centre for k-means, the mean
        distance for k-medians, the mean of 1 - cos for spherical k-means; None without rows.
    nearest_row : int or None
        The row with positive weight that is nearest to the centre, the first of equals.
    """

    cluster: int
    size: int
    share: float
    weight: float
    loss: float | None
    spread: float | None
    nearest_row: int | None


@dataclass(frozen=True)
class ClusterTable:
    """One `ClusterEntry` for every cluster; printed as text, and as HTML in notebooks.

    Attributes
    ----------
    entries : tuple of ClusterEntry
    """

    entries: tuple[ClusterEntry, ...]

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[ClusterEntry]:
        return iter(self.entries)

    def to_dict(self) -> dict[str, list[Any]]:
        """The columns by name."""
        columns = zip(*self.entries, strict=True)
        return dict(zip(ClusterEntry._fields, map(list, columns), strict=True))

    def to_frame(self) -> Any:
        """A pandas frame, a row for every cluster, whose index is `cluster`."""
        try:
            import pandas as pd
        except ImportError as error:
            msg = "to_frame needs pandas: pip install pandas, or use to_dict()."
            raise ImportError(msg) from error
        return pd.DataFrame(self.to_dict()).set_index("cluster")

    def __repr__(self) -> str:
        return as_text(self._lines())

    def _repr_html_(self) -> str:
        return as_html(self._lines())

    def _lines(self) -> list[tuple[str, ...]]:
        return [titles(ClusterEntry._fields), *map(_cells, self.entries)]


class WithMembers:
    """What an estimator says of the members of its clusters."""

    loss: ClassVar[Loss]
    cluster_centers_: Array
    labels_: Array
    counts_: Array

    def _input(self, X: Any) -> Input:
        raise NotImplementedError

    def summary(self, X: Any = None, sample_weight: Any = None) -> ClusterTable:
        """The clusters one by one: size, share, weight, loss, spread, nearest row.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features), optional
            The rows to describe, as for `predict`. Without them the table has the sizes, shares and
            weights of the last fit alone, as a model does not keep its data.
        sample_weight : array-like of shape (n_samples,), optional
            Of the rows of `X`.

        Returns
        -------
        ClusterTable
            It prints as text and as HTML in notebooks; `to_frame()` makes a pandas frame of it.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            For bad input.

        Examples
        --------
        >>> import numpy as np
        >>> from kmgpu import KMeans
        >>> X = np.array([[0.0], [2], [4], [20]])
        >>> KMeans(2, init=X[[0, 3]]).fit(X).summary(X)
        cluster  size  share  weight  loss  spread  nearest row
              0     3  75.0%       3     8   1.633            1
              1     1  25.0%       1     0       0            3
        """
        check_is_fitted(self)
        if X is None:
            if sample_weight is not None:
                msg = "sample_weight was given without X; pass summary(X, sample_weight=…)."
                raise ValueError(msg)
            if hasattr(self, "n_steps_"):
                msg = "after partial_fit, labels_ are of the last batch alone; pass summary(X)."
                raise ValueError(msg)
            counts = to_host(self.counts_).astype(np.float64)
            return cluster_table(self.loss, read_rows(self.labels_), counts)
        labels, costs = self._labels_and_costs(X)
        k = self.cluster_centers_.shape[0]
        if sample_weight is None:
            counts = np.bincount(labels, minlength=k).astype(np.float64)
            return cluster_table(self.loss, labels, counts, costs)
        weight = to_host(check_sample_weight(read_rows(sample_weight), len(labels), HOST))
        masses = np.bincount(labels, weight, minlength=k).astype(np.float64)
        return cluster_table(self.loss, labels, masses, costs, weight)

    def nearest_rows(self, X: Any, n_rows: int = 1) -> np.ndarray:
        """The members of each cluster that are nearest to its centre.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            As for `predict`.
        n_rows : int, default=1

        Returns
        -------
        numpy.ndarray of shape (n_clusters, n_rows), int64
            Indices of rows of `X`, the nearest first, the lower index of equals first; -1 where a
            cluster has fewer rows. On the host, as they are for people to look at.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            For bad input.

        Examples
        --------
        >>> import numpy as np
        >>> from kmgpu import KMeans
        >>> X = np.array([[0.0], [2], [5], [20]])
        >>> KMeans(2, init=X[[0, 3]]).fit(X).nearest_rows(X, 2)
        array([[ 1,  0],
               [ 3, -1]])
        """
        check_integer("n_rows", n_rows, 1)
        labels, costs = self._labels_and_costs(X)
        return nearest_members(labels, costs, self.cluster_centers_.shape[0], n_rows)

    def _labels_and_costs(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Of every row of `X`, on the host."""
        given = self._input(X)
        return read_rows(given.labels()), read_rows(given.costs())


def cluster_table(
    loss: Loss,
    labels: np.ndarray,
    weights: np.ndarray,
    costs: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> ClusterTable:
    """The table of clusters.

    Parameters
    ----------
    loss : Loss
    labels : ndarray of shape (n_samples,), int
    weights : ndarray of shape (n_clusters,), float64
        Of the rows of each cluster.
    costs : ndarray of shape (n_samples,), float64, optional
        Of every row at its centre.
    sample_weight : ndarray of shape (n_samples,), float64, optional
    """
    k = len(weights)
    sizes = np.bincount(labels, minlength=k)
    total = weights.sum()
    losses: list[float | None] = [None] * k
    spreads: list[float | None] = [None] * k
    nearest: list[int | None] = [None] * k
    if costs is not None:
        weighted = costs if sample_weight is None else costs * sample_weight
        sums = np.bincount(labels, weighted, minlength=k)
        losses = [loss.factor * float(each) for each in sums]
        held = weights > 0
        means = loss.distance(sums / np.where(held, weights, 1.0))
        spreads = [float(mean) if there else None for mean, there in zip(means, held, strict=True)]
        first = nearest_members(labels, costs, k, 1, sample_weight)[:, 0]
        nearest = [int(row) if row >= 0 else None for row in first]
    shares = weights / total if total > 0 else weights
    columns = map(int, sizes), map(float, shares), map(float, weights), losses, spreads, nearest
    rows = zip(range(k), *columns, strict=True)
    return ClusterTable(tuple(ClusterEntry(*row) for row in rows))


def nearest_members(
    labels: np.ndarray,
    costs: np.ndarray,
    n_clusters: int,
    n_rows: int,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """The rows of each cluster that are nearest to its centre, (n_clusters, n_rows), int64.

    In ascending order of their costs, the lower index of equals first; -1 where a cluster has fewer
    rows. Rows of zero weight are left out.
    """
    rows = np.arange(len(labels))
    if sample_weight is not None:
        rows = rows[sample_weight > 0]
    rows = rows[np.lexsort((costs[rows], labels[rows]))]
    starts = np.searchsorted(labels[rows], np.arange(n_clusters + 1))
    found = np.full((n_clusters, n_rows), -1, np.int64)
    for j in range(n_clusters):
        taken = rows[starts[j] : min(starts[j + 1], starts[j] + n_rows)]
        found[j, : len(taken)] = taken
    return found


def _cells(entry: ClusterEntry) -> tuple[str, ...]:
    return (
        f"{entry.cluster}",
        f"{entry.size:,}",
        f"{entry.share:.1%}",
        f"{entry.weight:,.6g}",
        NOT_KNOWN if entry.loss is None else f"{entry.loss:.6g}",
        NOT_KNOWN if entry.spread is None else f"{entry.spread:.4g}",
        NOT_KNOWN if entry.nearest_row is None else f"{entry.nearest_row}",
    )
