"""Exact medians of clusters whose rows are never all in memory: brackets, counts, selection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kmgpu.kernels.agreement import middle_ranks, unit_factors
from kmgpu.kernels.cells import EMPTY, FOUND
from kmgpu.kernels.cells import solve_columns as plain_solve
from kmgpu.kernels.dispatch import chosen
from kmgpu.streaming.brackets import FEWEST, Sample, Search
from kmgpu.streaming.statistics import Brackets, Cells

Look = Callable[[Brackets], Cells]


class MedianSearch:
    """The refit of k-medians: from the brackets of one assignment to the medians.

    Parameters
    ----------
    sample : Sample
    centers : ndarray of shape (n_clusters, n_features), float64
        Those that the rows are being assigned to.
    n_rows : int
    most : int
        Values that may be held at a time.
    mass : float or None
        Weight of all rows; None where there are no weights.
    most_edges : int
        Of one bracket.
    """

    def __init__(
        self,
        sample: Sample,
        centers: np.ndarray,
        n_rows: int,
        most: int,
        mass: float | None,
        most_edges: int,
    ) -> None:
        most = max(most, 2 * FEWEST * centers.size)
        self._sample, self._centers, self._most = sample, centers, most
        self._search = Search(sample, centers, n_rows, most, most_edges)
        self._factors: np.ndarray | None = None
        if mass is not None:  # the clusters' weights are guessed, and corrected later
            self._factors = np.stack(unit_factors(mass * sample.shares()))
        self._wanted = np.ones(centers.shape, bool)
        self._state = np.full(centers.shape, EMPTY)
        self._at = np.zeros(centers.shape, np.int64)
        self._medians = centers.copy()
        self._losses = np.zeros(centers.shape)

    @property
    def brackets(self) -> Brackets:
        """What the next look at the rows counts and collects."""
        return Brackets(self._search.edges, self._search.collected, self._factors, self._most)

    def medians(self, cells: Cells, look: Look) -> tuple[np.ndarray, float]:
        """The medians, and the loss there; looks at the rows again as often as needed.

        Parameters
        ----------
        cells : Cells
            Of `brackets`.
        look : callable
            ``look(brackets)`` gives the cells of other brackets.
        """
        while self._unsolved(cells):
            cells = look(self.brackets)
        self._sample.learn(self._medians)
        return self._medians, float(self._losses.sum())

    def _unsolved(self, cells: Cells) -> bool:
        """Solve what can be solved; True where another look is needed."""
        wanted = self._wanted
        wrong = self._correct_factors(cells)
        if wrong.any():
            wanted = wanted & ~wrong[:, None]
        self._solve(cells, wanted)
        self._wanted = self._wanted & ~(wanted & np.isin(self._state, (FOUND, EMPTY)))
        if self._wanted.any() and not wrong.any():  # else the same brackets, counted rightly
            left = self._left_to_search(cells)
            self._search.narrow(self._wanted, self._state, self._at, self._medians, left)
        return bool(self._wanted.any())

    def _correct_factors(self, cells: Cells) -> np.ndarray:
        """Set the factors right; which clusters were counted in other units, (n_clusters,)."""
        if self._factors is None:
            return np.zeros(len(self._centers), bool)
        before, self._factors = self._factors, np.stack(unit_factors(cells.moments.mass))
        return (before != self._factors).any(axis=0) & (cells.moments.counts > 0)

    def _solve(self, cells: Cells, wanted: np.ndarray) -> None:
        counts, mass = cells.moments.counts, cells.moments.mass
        (k, d), edges = self._centers.shape, self._search.edges
        collected = self._search.collected if cells.complete else np.full((k, d), -1)
        keys = _joined(cells.keys, np.int32)
        values, weights = _joined(cells.values, edges.dtype), _joined(cells.weights, np.float64)
        starts, values, weights = sorted_columns(k * d, keys, values, weights)
        units = np.empty(0, np.int64)
        if self._factors is not None:
            half, rest = self._factors.repeat(np.diff(starts).reshape(k, d).sum(axis=1), axis=1)
            units = np.rint(weights * half * rest).astype(np.int64)
        low, high = middle_ranks(cells.units, 0 if self._factors is None else counts)
        solve = chosen("solve_columns", self._centers, edges.shape[2]) or plain_solve
        solve(
            edges, collected, cells.below, cells.inside, cells.lower, cells.inside_sums,
            cells.moments.sums, self._centers, mass, cells.units, low, high, starts, values, units,
            weights, self._factors is not None, wanted, self._state, self._at, self._medians,
            self._losses,
        )  # fmt: skip

    def _left_to_search(self, cells: Cells) -> np.ndarray:
        """Values in what is left of every column, (n_clusters, n_features)."""
        at = np.minimum(self._at, cells.inside.shape[2] - 1)  # of solved columns: whatever
        inside = np.take_along_axis(cells.inside, at[..., None], axis=2)[..., 0]
        above = cells.units[:, None] - cells.below - cells.inside.sum(axis=2)
        units = np.choose(self._state, [0, cells.below, above, inside, 0])
        return units * (cells.moments.counts / np.maximum(cells.units, 1))[:, None]


def _joined(parts: tuple[np.ndarray, ...], dtype: Any) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def sorted_columns(
    n_columns: int, keys: np.ndarray, values: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where every column starts, and its values, ascending, with their weights, if any."""
    kernel = chosen("sorted_columns", values[:, None], 1)
    if kernel is not None:
        return kernel(n_columns, keys, values, weights)
    order = np.lexsort((values, keys))
    starts = np.searchsorted(keys[order], np.arange(n_columns + 1))
    return starts, values[order], weights[order] if weights.size else weights
