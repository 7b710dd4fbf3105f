"""Room for rounding: what bounds add so that float32 never excludes the nearest."""

import numba
import numpy as np
import pytest

from kmgpu.backend.threads import Workers
from kmgpu.kernels.cpu.lowlevel.chunks import ChunkWorkers
from kmgpu.kernels.cpu.seeding.sketch import Sketch, row_limit
from tests.support import oracles

ROOM = 4 * 2.0**-24  # of every term: scores, limits, offsets and their sum are rounded


@numba.njit
def _limit(closest, length, error, unit, squared):
    return row_limit(closest, length, error, unit, squared)


@pytest.mark.parametrize("squared", [True, False], ids=["l2", "l1"])
def test_limits_of_a_sketch_leave_room_for_rounding(squared):
    rng = np.random.default_rng(0)
    for closest, length, error in 10.0 ** rng.uniform(-6, 1, (200, 3)):
        unit = 3.0
        if squared:
            reach, others = (np.sqrt(closest) / unit + error) ** 2, length
            exact = 0.5 * (reach - length)
        else:
            reach, others = closest / unit + error, 0.0
            exact = reach
        room = float(_limit(closest, length, error, unit, squared)) - exact
        assert ROOM * (reach + others) < room < 4 * ROOM * (reach + others)


@pytest.mark.parametrize("squared", [True, False], ids=["l2", "l1"])
def test_offsets_of_a_sketch_leave_room_for_rounding(squared):
    """Points that the factors write exactly leave nothing else."""
    X = oracles.blobs(400, 40, seed=2)
    sketch = Sketch.of(X, squared, ChunkWorkers(Workers(1), len(X)))
    whole = np.random.default_rng(1).integers(-127, 128, (20, 40)).astype(float)
    whole[:, 0] = 127
    if squared:
        z = whole / sketch.scale
        size = (z**2).sum(axis=1) / sketch.unit**2
        exact = -0.5 * size
    else:
        z = whole / 128 * sketch.scale
        size, exact = np.abs(z).sum(axis=1) / sketch.unit, 0.0
    room = sketch.factors(sketch.middle + z).offsets - exact
    assert (room > ROOM * size).all()
    assert (room < 4 * ROOM * size + 1e-9 * size).all()
