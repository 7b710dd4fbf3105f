"""Seeding on the GPU: greedy k-means++ whose rounds wait for nothing on the host."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import log
from typing import Any

import numpy as np

from kmgpu.arrays import Array, asarray, place_of, to_host
from kmgpu.kernels import TIE
from kmgpu.kernels.cuda.module import TYPES, checked, launch, matrix, type_of
from kmgpu.kernels.cuda.nearest import COST

THREADS = 256
WARPS = THREADS // 32
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
) -> np.ndarray:
    """Row indices of greedy weighted k-means++; see `kmgpu.seeding.greedy_seed`.

    What all rounds draw is known from the start, so one copy brings it and one takes the rows away.
    A round of t trials reads each number of x once (twice beyond 12 trials), 4nd bytes in float32,
    and makes 2ndt float64 operations. Plain calls read or write some 60nd bytes for L2 and 24ndt
    for L1 (estimates). Beside x, 24 bytes a row are kept.
    """
    del memory_budget
    n_trials = 2 + int(log(n_clusters))
    uniforms = np.empty((n_clusters, n_trials))
    uniforms[0] = rng.random()
    uniforms[1:] = rng.random((n_clusters - 1, n_trials))
    return to_host(seeded_rows(loss, x, sample_weight, uniforms))


def seeded_rows(loss: str, x: Array, sample_weight: Array | None, uniforms: np.ndarray) -> Array:
    """Rows chosen in as many rounds as `uniforms` has rows, (n_rounds,) int64, beside `x`.

    Parameters
    ----------
    loss : {"l2", "l1"}
    x : array of shape (n_samples, n_features)
    sample_weight : array of shape (n_samples,), float64, or None
    uniforms : array of shape (n_rounds, n_trials), float64, in [0, 1)
        At most 32 trials; the first round uses the first of its own alone.
    """
    place = place_of(x)
    n, d = np.int64(x.shape[0]), np.int32(x.shape[1])
    rounds, trials = np.int32(uniforms.shape)
    trying, size = try_name(loss, x, trials)
    state = _begun(x, sample_weight, rounds, trials, size)
    drawing, taking = f"draw_trials<{THREADS}>", take_name(loss, x.dtype)
    blocks = state.masses.shape[1]
    at = asarray(uniforms, place)
    for number in map(np.int32, range(rounds)):
        known = state.weight, state.closest, state.masses, state.totals, state.kept, at
        numbers = n, np.int32(size), np.int32(blocks), trials, number
        launch("seeding", drawing, int(trials), (THREADS,), (*known, *numbers, state.drawn))
        for first in map(np.int32, range(0, trials, MOST_TRIALS)):
            arguments = *matrix(x), state.weight, state.closest, state.drawn
            numbers = n, np.int32(size), d, trials, first
            arguments = *arguments, *numbers, state.lowered, state.masses
            launch("seeding", trying, blocks, (THREADS,), arguments)
        left = place.xp.sum(state.masses[:trials, :], axis=1)
        arguments = *matrix(x), state.drawn, left, state.lowered, n, d, trials, number
        results = state.closest, state.totals, state.kept, state.chosen
        arguments = *arguments, np.float64(TIE), *results
        launch("seeding", taking, -(-x.shape[0] // THREADS), (THREADS,), arguments)
    return state.chosen


@dataclass(frozen=True)
class _State:
    """What a run of seeding keeps; see seeding.cu.

    Attributes
    ----------
    weight : array of shape (n_blocks × rows of a block,), float64
        1 without weights; 0 after the last row.
    closest : array of shape (n_samples,), float64
        Cost of every row at the nearest centre chosen so far.
    lowered : array of shape (n_samples,), uint32
        A bit for each trial: whether it would lower the row's cost.
    masses : array of shape (n_trials + 1, n_blocks), float64
    totals : array of shape (n_rounds + 1,), float64
    kept : array of shape (n_rounds + 1,), int32
        Which trial of the round before was best.
    drawn : array of shape (n_trials,), int64
        The rows on trial.
    chosen : array of shape (n_rounds,), int64
    """

    weight: Array
    closest: Array
    lowered: Array
    masses: Array
    totals: Array
    kept: Array
    drawn: Array
    chosen: Array


def _begun(x: Array, sample_weight: Array | None, rounds: int, trials: int, size: int) -> _State:
    """Before there is a centre; blocks are of `size` rows."""
    xp, device = place_of(x)
    n = x.shape[0]
    blocks = -(-n // size)

    def zeros(shape: int | tuple[int, ...], dtype: Any) -> Array:
        return xp.zeros(shape, dtype=dtype, device=device)

    weight, closest = zeros(blocks * size, xp.float64), zeros(n, xp.float64)
    given = 1.0
    if sample_weight is not None:
        given = checked("sample_weight", sample_weight, np.float64, (n,), x)
    weight[:n], closest[:] = given, xp.inf
    masses, totals = zeros((trials + 1, blocks), xp.float64), zeros(rounds + 1, xp.float64)
    masses[trials, :] = xp.sum(xp.reshape(weight, (blocks, size)), axis=1)
    totals[:1] = xp.sum(masses[trials:, :], axis=1)
    return _State(
        weight=weight,
        closest=closest,
        lowered=zeros(n, xp.uint32),
        masses=masses,
        totals=totals,
        kept=zeros(rounds + 1, xp.int32),
        drawn=zeros(trials, xp.int64),
        chosen=zeros(rounds, xp.int64),
    )


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
    yield f"draw_trials<{THREADS}>", THREADS
    for dtype, loss in product(TYPES, COST):
        yield take_name(loss, dtype), THREADS
        for d, n_trials in product((1, NARROW_FEATURES + 1), PASSES):
            yield try_name(loss, np.empty((1, d), dtype), n_trials)[0], THREADS
