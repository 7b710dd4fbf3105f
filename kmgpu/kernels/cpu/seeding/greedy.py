"""Greedy weighted k-means++ seeding of NumPy arrays: the same rows as `kmgpu.algorithm.seeding`."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from kmgpu.backend.blocks import kept_bytes
from kmgpu.backend.threads import Workers
from kmgpu.kernels.agreement import TIE
from kmgpu.kernels.cpu.lowlevel.chunks import CHUNK_ROWS, ChunkWorkers, chunks_of
from kmgpu.kernels.cpu.lowlevel.rows import frozen, weight_of
from kmgpu.kernels.cpu.lowlevel.tile_costs import l1_of
from kmgpu.kernels.cpu.seeding.draws import draw_rows
from kmgpu.kernels.cpu.seeding.high import high_accept, high_gains
from kmgpu.kernels.cpu.seeding.low import low_accept, low_gains, pack
from kmgpu.kernels.cpu.seeding.sketch import MOST_SKETCHED, Sketch, bytes_of

_FEW_FEATURES = 24  # up to so many, computing every cost costs no more than a sketch
_LEAST_BUDGET = 1 << 26
_BYTES_A_ROW = 12  # of closest and wins
_BYTES_IF_SKETCHED = 9  # of limits, labels and the list of won rows
_ALL = np.uint32(2**32 - 1)  # the bits of all trials


class _Seeding:
    """The state of a seeding: the cost of every row at its nearest centre, and which trials win it.

    A trial wins a row that is nearer to it than to any centre so far. The potential is the sum of
    weight * closest.

    Attributes
    ----------
    closest : ndarray of shape (n,), float64
        Cost of each row at the nearest centre so far.
    chunk_sums : ndarray of shape (n_chunks,), float64
        Sums of weight * closest over the rows of each chunk.
    labels : ndarray of shape (n,), int32, or None
        The nearest centre so far, where it is kept.
    """

    labels: np.ndarray | None = None

    def __init__(
        self, X: np.ndarray, squared: bool, weight: np.ndarray, workers: ChunkWorkers
    ) -> None:
        self._X, self._squared, self._weight, self._workers = X, squared, weight, workers
        self.chunk_sums = np.zeros(chunks_of(len(X)))
        self._costs = np.empty(len(self.chunk_sums) * CHUNK_ROWS)  # `closest` and padding
        self.closest = self._costs[: len(X)]

    def gains(self, points: np.ndarray) -> np.ndarray:
        """What each of `points`, (t, d) float64, would take off the potential, (t,) float64."""
        raise NotImplementedError

    def accept(self, point: np.ndarray, bit: int, label: int) -> None:
        """Make `point`, (d,) float64, the centre `label`; `bit` is this trial's bit in the wins."""
        raise NotImplementedError

    def best(self, points: np.ndarray) -> tuple[int, int]:
        """The index of the point that takes most off the potential, and its bit in the wins."""
        gains = self.gains(points)
        best = int(np.argmax(gains >= gains.max() - TIE * self.chunk_sums.sum()))
        return best, best


class _Low(_Seeding):
    """Seeding of few features, or with little memory: all costs are computed, tile by tile."""

    def __init__(self, X, squared, weight, workers, keeps_tiles):
        super().__init__(X, squared, weight, workers)
        self._wins = np.empty(len(self._costs), np.uint32)
        self._l1 = l1_of(squared)
        self._tiles = np.empty(len(self._costs) * X.shape[1] if keeps_tiles else 0, X.dtype)
        if keeps_tiles:
            workers.run(pack, X.size, X, self._tiles)
        self._heaviest = weight.max() if weight.size else 1.0
        self._share = frozen(weight / self._heaviest)
        self._fits_float32: bool | None = None

    def best(self, points: np.ndarray) -> tuple[int, int]:
        """See `_Seeding.best`. float64 decides only among trials that float32 leaves open.

        For float32 data a difference of coordinates errs by a relative u = 2^-24, so a cost by
        (d + 2) u, and a gain by at most (d + 6 + CHUNK_ROWS) u of the potential and what
        underflows.
        """
        if self._fits_float32 is None:  # closest only decreases from here on
            least = self._share[self._share > 0].min() if self._share.size else 1.0
            in_range = least > 1e-30 and self.closest.max() < 1e34
            self._fits_float32 = bool(self._X.dtype == np.float32 and in_range)
        if not self._fits_float32:
            return super().best(points)
        n, d = self._X.shape
        tiny = (d + 2) * 1.2e-38
        margins = np.array([1 - (d + 8) * 2.0**-23, tiny], np.float32)
        gains = self._gains(points.astype(np.float32), margins, self._share)
        total = self.chunk_sums.sum() / self._heaviest
        error = (d + 8 + CHUNK_ROWS) * 2.0**-24 * total + n * tiny
        left = np.flatnonzero(~(gains < gains.max() - 2 * error))
        if len(left) == 1:
            return int(left[0]), int(left[0])
        best, bit = super().best(points[left])
        return int(left[best]), bit

    def gains(self, points: np.ndarray) -> np.ndarray:
        """See `_Seeding.gains`."""
        return self._gains(points, np.array([1.0, 0.0]), self._weight)

    def _gains(self, points: np.ndarray, margins: np.ndarray, weight: np.ndarray) -> np.ndarray:
        gains = np.empty((len(self.chunk_sums), len(points)))
        self._workers.run(
            low_gains,
            0.2 * self._X.size * len(points),
            *(self._X, self._tiles, points, margins, self._l1, self._costs, weight),
            *(gains, self._wins),
        )
        return gains.sum(axis=0)

    def accept(self, point: np.ndarray, bit: int, label: int) -> None:
        """See `_Seeding.accept`."""
        won = np.uint32(1 << bit if label else 0)
        self._workers.run(
            low_accept,
            0.2 * self._X.size,
            *(self._X, self._tiles, point[None], won, self._wins, self._l1),
            *(self._costs, self._weight, self.chunk_sums),
        )


class _High(_Seeding):
    """Seeding of many features: only rows that a sketch does not exclude are measured."""

    def __init__(self, X, squared, weight, workers):
        super().__init__(X, squared, weight, workers)
        self._sketch = Sketch.of(X, squared, workers)
        n, n_chunks = len(X), len(self.chunk_sums)
        self.closest[:] = np.inf
        self._limits = np.empty(n, np.float32)
        self.labels = np.empty(n, np.int32)
        n_won = np.minimum(CHUNK_ROWS, n - CHUNK_ROWS * np.arange(n_chunks))
        row = np.tile(np.arange(CHUNK_ROWS, dtype=np.uint8), (n_chunks, 1))
        self._wins = (n_won, row, np.full((n_chunks, CHUNK_ROWS), _ALL))

    def gains(self, points: np.ndarray) -> np.ndarray:
        """See `_Seeding.gains`."""
        gains = np.empty((len(self.chunk_sums), len(points)))
        s = self._sketch
        self._workers.run(
            high_gains,
            0.015 * self._X.size * len(points),
            *(self._X, points, s.codes, s.quanta, self._limits, s.factors(points)),
            *(self._squared, self.closest, self._weight, gains, self._wins),
        )
        return gains.sum(axis=0)

    def accept(self, point: np.ndarray, bit: int, label: int) -> None:
        """See `_Seeding.accept`."""
        n_won, s = self._wins[0].sum(), self._sketch
        self._workers.run(
            high_accept,
            0.3 * n_won * self._X.shape[1],
            *(self._X, point, np.uint32(1 << bit), np.int32(label), self._wins),
            *((s.length, s.error, s.unit), self._squared),
            *(self.closest, self.labels, self._limits, self._weight, self.chunk_sums),
        )


def _start(
    X: np.ndarray, squared: bool, weight: np.ndarray, workers: ChunkWorkers, budget: int
) -> _Low | _High:
    """The faster of the two ways that `budget` bytes allow."""
    n, d = X.shape
    left = budget - _BYTES_A_ROW * n
    sketch = bytes_of(n, d) + _BYTES_IF_SKETCHED * n
    if _FEW_FEATURES < d <= MOST_SKETCHED and sketch <= left:
        return _High(X, squared, weight, workers)
    return _Low(X, squared, weight, workers, X.nbytes <= left)


def _draw_by_weight(n: int, sample_weight: np.ndarray | None, u: float) -> int:
    """The first of n rows at which the cumulative weight exceeds u times the total."""
    if sample_weight is None:
        return min(int(u * n), n - 1)
    cumulative = np.cumsum(sample_weight)
    row = np.searchsorted(cumulative, u * np.sum(sample_weight), side="right")
    return int(min(row, np.searchsorted(cumulative, cumulative[-1])))


def greedy_seed(
    X: np.ndarray,
    n_clusters: int,
    loss: Any,
    sample_weight: np.ndarray | None,
    rng: np.random.Generator,
    memory_budget: int | None = None,
    n_threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows of X to start from, by greedy k-means++ (Arthur and Vassilvitskii 2007, section 7).

    Each centre but the first is the best of 2 + int(log(n_clusters)) rows drawn with probability
    weight * cost: the one that leaves the lowest potential. Potentials that differ by less than
    `TIE` of the present one tie, and the first row wins.

    Parameters
    ----------
    X : ndarray of shape (n, d), float32 or float64
        Finite; copied only if it is not C-contiguous.
    n_clusters : int
        From 1 to n.
    loss : Loss
        The cost of a row: squared Euclidean, or Manhattan, distance to the nearest centre.
    sample_weight : ndarray of shape (n,), float64, or None
        Not negative, not all zero. None: all one.
    rng : numpy.random.Generator
        One uniform number is drawn, then 2 + int(log(n_clusters)) for each further centre.
    memory_budget : int or None
        Bytes to use beyond X; None: a quarter of X or 64 MB, whichever is larger, but no more than
        half of the memory that is free. Twelve bytes a row are used in any case.
    n_threads : int or None
        None: the usable CPUs. The result does not depend on it.

    Returns
    -------
    rows : ndarray of shape (n_clusters,), int64
        With fewer distinct rows of positive weight than clusters, the rest is drawn by weight.
    labels : ndarray of shape (n,), int32, or None
        The nearest of them, the first of equals; None where keeping them costs more than finding.
    """
    X, weight = frozen(np.ascontiguousarray(X)), weight_of(sample_weight)
    n = len(X)
    budget = kept_bytes(X.nbytes, memory_budget)
    if memory_budget is None:
        budget = min(budget, max(X.nbytes // 4, _LEAST_BUDGET))
    n_trials = 2 + int(log(n_clusters))
    rows = np.empty(n_clusters, np.int64)
    rows[0] = _draw_by_weight(n, sample_weight, rng.random())
    workers = ChunkWorkers(Workers(n_threads), n)
    state = _start(X, loss.squared, weight, workers, budget)
    state.accept(X[rows[0]].astype(np.float64), 0, 0)
    for c in range(1, n_clusters):
        u = rng.random(n_trials)
        if not state.chunk_sums.any():
            rows[c] = _draw_by_weight(n, sample_weight, u[0])
            continue
        trials = draw_rows(state.closest, weight, state.chunk_sums, u)
        points = X[trials].astype(np.float64)
        best, bit = state.best(points)
        state.accept(points[best], bit, c)
        rows[c] = trials[best]
    return rows, state.labels
