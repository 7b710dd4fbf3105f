"""Greedy weighted k-means++ seeding of NumPy arrays on a CPU: the rows of the plain algorithm."""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from kmgpu.backend.blocks import kept_bytes
from kmgpu.backend.threads import Workers
from kmgpu.kernels.agreement import TIE
from kmgpu.kernels.cpu.lowlevel.blocks import ROWS, BlockWorkers
from kmgpu.kernels.cpu.seeding.draws import draw_rows
from kmgpu.kernels.cpu.seeding.high import high_accept, high_gains
from kmgpu.kernels.cpu.seeding.low import low_accept, low_gains, pack
from kmgpu.kernels.cpu.seeding.sketch import MOST_FEATURES, Sketch, bytes_of

# Below, measuring every distance in float64 costs no more than screening.
_FEW_FEATURES = 24
_LEAST_BUDGET = 1 << 26
# closest and which trials win it; with a sketch limit, label, and a list of the won, too.
_BYTES_A_ROW = 12
_BYTES_IF_SKETCHED = 9
_ALL = np.uint32(2**32 - 1)


class _Seeding:
    """What a step changes: the cost of every row at its nearest centre, and which trials win it.

    Attributes
    ----------
    closest : (n,) float64
        Cost of each row at the nearest centre so far.
    block_sums : (ceil(n / ROWS),) float64
        Sums of weight * closest.
    labels : (n,) int32, or None
        Which centre that is, where it is kept.
    """

    labels: np.ndarray | None = None

    def __init__(
        self, X: np.ndarray, is_l1: bool, weight: np.ndarray, workers: BlockWorkers
    ) -> None:
        self._X, self._is_l1, self._weight, self._workers = X, is_l1, weight, workers
        self.block_sums = np.zeros(-(-len(X) // ROWS))
        self._costs = np.empty(len(self.block_sums) * ROWS)  # the same, to the end of a block
        self.closest = self._costs[: len(X)]

    def gains(self, points: np.ndarray) -> np.ndarray:
        """What each of `points` (t, d) would take off the potential: (t,) float64."""
        raise NotImplementedError

    def best(self, points: np.ndarray) -> tuple[int, int]:
        """Which of `points` (t, d) float64 takes most off the potential, and its bit of wins."""
        gains = self.gains(points)
        best = int(np.argmax(gains >= gains.max() - TIE * self.block_sums.sum()))
        return best, best


class _Low(_Seeding):
    """Few features, or little memory: all distances in float64, on transposed blocks."""

    def __init__(self, X, is_l1, weight, workers, keeps_tiles):
        super().__init__(X, is_l1, weight, workers)
        self._wins = np.empty(len(self._costs), np.uint32)
        self._l1 = True if is_l1 else None
        self._tiles = np.empty(len(self._costs) * X.shape[1] if keeps_tiles else 0, X.dtype)
        if keeps_tiles:
            workers.run(pack, X.size, X, self._tiles)
        self._heaviest = weight.max()
        self._share = _frozen(weight / self._heaviest)
        self._rounds: bool | None = None

    def best(self, points: np.ndarray) -> tuple[int, int]:
        """See _Seeding.best. Float32 decides if rounding cannot; else float64, between those left.

        For float32 data a difference of coordinates errs by a relative u = 2^-24, so a distance by
        (d + 2) u, a gain by (d + 6 + ROWS) u of the potential at most, and by what underflows.
        """
        if self._rounds is None:  # closest only decreases from here on
            in_range = self._share[self._share > 0].min() > 1e-30 and self.closest.max() < 1e34
            self._rounds = bool(self._X.dtype == np.float32 and in_range)
        if not self._rounds:
            return super().best(points)
        n, d = self._X.shape
        tiny = (d + 2) * 1.2e-38
        margins = np.array([1 - (d + 8) * 2.0**-23, tiny], np.float32)
        gains = self._gains(points.astype(np.float32), margins, self._share)
        total = self.block_sums.sum() / self._heaviest
        error = (d + 8 + ROWS) * 2.0**-24 * total + n * tiny
        left = np.flatnonzero(~(gains < gains.max() - 2 * error))
        if len(left) == 1:
            return int(left[0]), int(left[0])
        best, bit = super().best(points[left])
        return int(left[best]), bit

    def gains(self, points: np.ndarray) -> np.ndarray:
        """See _Seeding.best."""
        return self._gains(points, np.array([1.0, 0.0]), self._weight)

    def _gains(self, points: np.ndarray, margins: np.ndarray, weight: np.ndarray) -> np.ndarray:
        gains = np.empty((len(self.block_sums), len(points)))
        self._workers.run(
            low_gains,
            0.2 * self._X.size * len(points),
            *(self._X, self._tiles, points, margins, self._l1, self._costs, weight),
            *(gains, self._wins),
        )
        return gains.sum(axis=0)

    def accept(self, point: np.ndarray, bit: int, label: int) -> None:
        """Make `point` (d,) float64 the centre `label`; `bit` of the wins is its."""
        won = np.uint32(1 << bit if label else 0)
        self._workers.run(
            low_accept,
            0.2 * self._X.size,
            *(self._X, self._tiles, point[None], won, self._wins, self._l1),
            *(self._costs, self._weight, self.block_sums),
        )


class _High(_Seeding):
    """Many features: a sketch of the rows says which can be won, only these are measured."""

    def __init__(self, X, is_l1, weight, workers):
        super().__init__(X, is_l1, weight, workers)
        self._sketch = Sketch.of(X, is_l1, workers)
        n, n_blocks = len(X), len(self.block_sums)
        self.closest[:] = np.inf
        self._limits = np.empty(n, np.float32)
        self.labels = np.empty(n, np.int32)
        n_won = np.minimum(ROWS, n - ROWS * np.arange(n_blocks))
        row = np.tile(np.arange(ROWS, dtype=np.uint8), (n_blocks, 1))
        self._wins = (n_won, row, np.full((n_blocks, ROWS), _ALL))

    def gains(self, points: np.ndarray) -> np.ndarray:
        """What each of `points` (t, d) would take off the potential: (t,) float64."""
        gains = np.empty((len(self.block_sums), len(points)))
        s = self._sketch
        self._workers.run(
            high_gains,
            0.015 * self._X.size * len(points),
            *(self._X, points, s.codes, s.steps, self._limits, s.factors(points)),
            *(self._is_l1, self.closest, self._weight, gains, self._wins),
        )
        return gains.sum(axis=0)

    def accept(self, point: np.ndarray, bit: int, label: int) -> None:
        """Make `point` (d,) float64 the centre `label`; `bit` of the wins is its."""
        n_won, s = self._wins[0].sum(), self._sketch
        self._workers.run(
            high_accept,
            0.3 * n_won * self._X.shape[1],
            *(self._X, point, np.uint32(1 << bit), np.int32(label), self._wins),
            *((s.length, s.error, s.unit), self._is_l1),
            *(self.closest, self.labels, self._limits, self._weight, self.block_sums),
        )


def _start(
    X: np.ndarray, is_l1: bool, weight: np.ndarray, workers: BlockWorkers, budget: int
) -> _Low | _High:
    """The faster way that `budget` bytes allow."""
    n, d = X.shape
    left = budget - _BYTES_A_ROW * n
    sketch = bytes_of(n, d) + _BYTES_IF_SKETCHED * n
    if _FEW_FEATURES < d <= MOST_FEATURES and sketch <= left:
        return _High(X, is_l1, weight, workers)
    return _Low(X, is_l1, weight, workers, X.nbytes <= left)


def _draw_by_weight(n: int, sample_weight: np.ndarray | None, u: float) -> int:
    """First of n rows at which the cumulative weight exceeds u times the total."""
    if sample_weight is None:
        return min(int(u * n), n - 1)
    cumulative = np.cumsum(sample_weight)
    row = np.searchsorted(cumulative, u * np.sum(sample_weight), side="right")
    return int(min(row, np.searchsorted(cumulative, cumulative[-1])))


def _frozen(array: np.ndarray) -> np.ndarray:
    """A read-only contiguous view or copy: kernels are compiled for one kind of array only."""
    array = np.ascontiguousarray(array).view()
    array.flags.writeable = False
    return array


def greedy_seed(
    X: np.ndarray,
    n_clusters: int,
    loss: Any,
    sample_weight: np.ndarray | None,
    rng: np.random.Generator,
    memory_budget: int | None = None,
    n_threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows of X to start from, by greedy k-means++ (Arthur and Vassilvitskii 2007, section 4).

    Each centre but the first is the best of 2 + int(log(n_clusters)) rows drawn with probability
    weight * cost: the one that leaves the lowest potential, the first of those that tie to
    `TIE` of the present one.

    Parameters
    ----------
    X : (n, d) float32 or float64
        Finite; copied only if it is not C-contiguous.
    n_clusters : int
        From 1 to n.
    loss : Loss
        Cost of a row: squared Euclidean, or Manhattan, distance to the nearest centre.
    sample_weight : (n,) float64 or None
        Not negative, not all zero. None: all one.
    rng : numpy.random.Generator
        Gives one uniform number, then 2 + int(log(n_clusters)) for each further centre.
    memory_budget : int or None
        Bytes to use beyond X; None: a quarter of X or 64 MB, whichever is larger, but no more than
        half of the memory that is free. Twelve bytes a row are used whatever it says.
    n_threads : int or None
        None: the usable CPUs. The result does not depend on it.

    Returns
    -------
    rows : (n_clusters,) int64
        With fewer distinct rows of positive weight than clusters, the rest is drawn by weight.
    labels : (n,) int32, or None
        The nearest of them, the first of equals; None where keeping it costs more than finding it.
    """
    X = _frozen(X)
    n = len(X)
    weight = _frozen(np.ones(1) if sample_weight is None else np.asarray(sample_weight, float))
    budget = kept_bytes(X.nbytes, memory_budget)
    if memory_budget is None:
        budget = min(budget, max(X.nbytes // 4, _LEAST_BUDGET))
    n_trials = 2 + int(log(n_clusters))
    rows = np.empty(n_clusters, np.int64)
    rows[0] = _draw_by_weight(n, sample_weight, rng.random())
    workers = BlockWorkers(Workers(n_threads), -(-n // ROWS))
    state = _start(X, not loss.squared, weight, workers, budget)
    state.accept(X[rows[0]].astype(np.float64), 0, 0)
    for c in range(1, n_clusters):
        u = rng.random(n_trials)
        if not state.block_sums.any():
            rows[c] = _draw_by_weight(n, sample_weight, u[0])
            continue
        trials = draw_rows(state.closest, weight, state.block_sums, u)
        points = X[trials].astype(np.float64)
        best, bit = state.best(points)
        state.accept(points[best], bit, c)
        rows[c] = trials[best]
    return rows, state.labels
