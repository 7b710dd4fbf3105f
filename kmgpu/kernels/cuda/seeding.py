"""Seeding on the GPU: greedy k-means++ whose rounds wait for nothing on the host."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from math import log
from typing import Any

import numpy as np

from kmgpu.backend.arrays import Array, asarray, namespace, place_of, to_host
from kmgpu.kernels.agreement import TIE
from kmgpu.kernels.cuda.module import CHECKED, checked, launch, matrix, type_of
from kmgpu.kernels.cuda.nearest import COST

THREADS = 256
WARPS = THREADS // 32
DRAWING = f"draw_trials<{THREADS}>"
# threads of a row whose features lie side by side and are many
LANES = 8
NARROW_FEATURES = 16
# most trials of a pass over the rows: rows that a thread takes at a time
PASSES = {4: 4, 8: 4, 12: 2}
MOST_TRIALS = max(PASSES)
# blocks of rows, among which a draw searches first
MOST_BLOCKS = 1 << 12


def greedy_seed(
    loss: str,
    x: Array,
    n_clusters: int,
    sample_weight: Array | None,
    rng: np.random.Generator,
    memory_budget: int | None = None,
) -> tuple[np.ndarray, None]:
    """Greedy weighted k-means++, without labels; see `kmgpu.algorithm.seeding.greedy_seed`.

    What all rounds draw is known from the start, so one copy brings it and one takes the rows away.
    A round of t trials reads each number of x once (twice beyond 12 trials), 4nd bytes in float32,
    and makes 2ndt float64 operations. Plain calls read or write some 60nd bytes for L2 and 24ndt
    for L1 (estimates). Some 20 bytes a row are kept beside x.
    """
    del memory_budget
    n_trials = 2 + int(log(n_clusters))
    uniforms = np.empty((n_clusters, n_trials))
    uniforms[0] = rng.random()
    uniforms[1:] = rng.random((n_clusters - 1, n_trials))
    rounds = Rounds(loss, x, sample_weight, uniforms)
    for number in range(n_clusters):
        rounds.run(number)
    return to_host(rounds.chosen), None


class Rounds:
    """Greedy k-means++ round by round, on the device of `x`.

    Attributes
    ----------
    weight : array of shape (n_blocks × rows of a block,), float64
        1 without weights; 0 after the last row.
    closest : array of shape (n_samples,), float64
        Cost of every row at the nearest centre chosen so far.
    lowered : array of shape (n_samples,), uint32
        A bit for each trial of the last round: whether it lowered the row's cost.
    masses : array of shape (n_trials + 1, n_blocks), float64
        Weight × cost of a block's rows as each trial would leave it; last, the block's weight.
    totals : array of shape (n_rounds + 1,), float64
        Weight × cost of all rows before each round and after the last; first, their weight.
    kept : array of shape (n_rounds + 1,), int32
        Which trial of the round before was best.
    drawn : array of shape (n_trials,), int64
        The rows on trial in the last round.
    chosen : array of shape (n_rounds,), int64
        The row that each round made a centre.
    """

    def __init__(
        self, loss: str, x: Array, sample_weight: Array | None, uniforms: np.ndarray
    ) -> None:
        """Before there is a centre.

        Parameters
        ----------
        loss : {"l2", "l1"}
        x : array of shape (n_samples, n_features)
        sample_weight : array of shape (n_samples,), float64, or None
        uniforms : array of shape (n_rounds, n_trials), float64, in [0, 1)
            At most 32 trials; the first round uses the first of its own alone.
        """
        xp, device = place = place_of(x)
        n = x.shape[0]
        rounds, trials = uniforms.shape
        self._x, self._uniforms = x, asarray(uniforms, place)
        self._trying, self._size = try_name(loss, x, trials)
        self._taking = take_name(loss, x.dtype)
        blocks = -(-n // self._size)

        def zeros(shape: int | tuple[int, ...], dtype: Any) -> Array:
            return xp.zeros(shape, dtype=dtype, device=device)

        self.weight, self.closest = zeros(blocks * self._size, xp.float64), zeros(n, xp.float64)
        given = 1.0
        if sample_weight is not None:
            given = checked("sample_weight", sample_weight, np.float64, (n,), x)
        self.weight[:n], self.closest[:] = given, xp.inf
        self.lowered = zeros(n, xp.uint32)
        self.masses = zeros((trials + 1, blocks), xp.float64)
        self.totals = zeros(rounds + 1, xp.float64)
        self.masses[trials, :] = xp.sum(xp.reshape(self.weight, (blocks, self._size)), axis=1)
        self.totals[:1] = xp.sum(self.masses[trials:, :], axis=1)
        self.kept, self.chosen = zeros(rounds + 1, xp.int32), zeros(rounds, xp.int64)
        self.drawn = zeros(trials, xp.int64)

    def run(self, number: int) -> None:
        """The round of that number; all before it have been run."""
        n, d = np.int64(self._x.shape[0]), np.int32(self._x.shape[1])
        trials, blocks = self.drawn.shape[0], self.masses.shape[1]
        size, of, at = np.int32(self._size), np.int32(trials), np.int32(number)
        before = self.weight, self.closest, self.masses, self.totals, self.kept, self._uniforms
        arguments: tuple[Any, ...] = (*before, n, size, np.int32(blocks), of, at, self.drawn)
        launch("seeding", DRAWING, trials, (THREADS,), arguments)
        for first in range(0, trials, MOST_TRIALS):
            arguments = (*matrix(self._x), self.weight, self.closest, self.drawn)
            arguments += (n, size, d, of, np.int32(first), self.lowered, self.masses)
            launch("seeding", self._trying, blocks, (THREADS,), arguments)
        left = namespace(self._x).sum(self.masses[:trials, :], axis=1)
        arguments = (*matrix(self._x), self.drawn, left, self.lowered, n, d, of, at)
        arguments += (np.float64(TIE), self.closest, self.totals, self.kept, self.chosen)
        launch("seeding", self._taking, -(-int(n) // THREADS), (THREADS,), arguments)


def try_name(loss: str, x: Array, n_trials: int) -> tuple[str, int]:
    """The kernel that measures all rows against trials, and the rows of its blocks."""
    n, d = x.shape
    along_rows = abs(x.strides[0]) < abs(x.strides[1])
    lanes = 1 if d <= NARROW_FEATURES or along_rows else LANES
    taken = next((most for most in PASSES if n_trials <= most), MOST_TRIALS)
    rows = PASSES[taken]
    name = f"{type_of(x.dtype)}, {COST[loss]}, {lanes}, {taken}, {rows}, {THREADS}"
    step = THREADS // lanes * rows
    return f"try_rows<{name}>", step * -(-n // (step * MOST_BLOCKS))


def take_name(loss: str, dtype: Any) -> str:
    """The kernel that makes the best trial a centre."""
    return f"take_best<{type_of(dtype)}, {COST[loss]}, {WARPS}>"


def instantiations() -> Iterator[tuple[str, int]]:
    """Every kernel that this file can launch, and the threads of its blocks."""
    yield DRAWING, THREADS
    for dtype, loss in product(CHECKED, COST):
        yield take_name(loss, dtype), THREADS
        for d, n_trials in product((1, NARROW_FEATURES + 1), PASSES):
            yield try_name(loss, np.empty((1, d), dtype), n_trials)[0], THREADS
