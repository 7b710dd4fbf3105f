"""Labels of a block of a stream, with bounds that wait beside it, against float64."""

import weakref

import numpy as np
import pytest

from kmgpu.algorithm.losses import LOSSES
from kmgpu.kernels.cpu.streaming import nearest_again
from tests.support import oracles


def held_bytes(thing, seen):
    """Of all arrays that an object reaches; views count once, as their base."""
    if id(thing) in seen:
        return 0
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return thing.nbytes if thing.base is None else held_bytes(thing.base, seen)
    parts = thing if isinstance(thing, tuple | list) else getattr(thing, "__dict__", {}).values()
    return sum(held_bytes(part, seen) for part in parts)


@pytest.fixture(params=["as chosen", "of all"])
def bounds_of_all(request, monkeypatch):
    """Let data of a test's size be screened, and have bounds stored, as large data are."""
    if request.param == "of all":
        monkeypatch.setattr("kmgpu.kernels.cpu.highdim.policy.LEAST_DENSE", 0.0)
        monkeypatch.setattr("kmgpu.kernels.cpu.highdim.policy.byte_product", lambda: 0.0)
        monkeypatch.setattr("kmgpu.kernels.cpu.streaming.one_bound_pays", lambda *_: False)


@pytest.mark.parametrize("loss", ["l2", "l1"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("d", [3, 40, 200])
@pytest.mark.parametrize("room", [0, 8, 40, 2000])
def test_labels_are_those_of_float64_whatever_is_kept(loss, dtype, d, room, bounds_of_all):
    rng = np.random.default_rng(d)
    k, n = 37, 3000
    middles = rng.uniform(50, 200, (k, d))
    x = (middles[rng.integers(k, size=n)] + rng.normal(0, 15, (n, d))).clip(0, 255).astype(dtype)
    centers, kept = x[:k].astype(np.float64), {}
    for step in range(7):
        rows = x.copy()
        labels = nearest_again(rows, centers, LOSSES[loss], kept, room * n)
        np.testing.assert_array_equal(labels, oracles.labels_in_order(x, centers, loss))
        again = weakref.ref(rows)
        del rows
        assert again() is None  # of a stream, only bounds stay in memory
        centers += rng.normal(0, 4.0 / (step + 1), (k, d))
    found = held_bytes(kept.get("bounds"), set())
    assert found <= room * n + 50 * k * d + 10_000


def test_labels_that_were_given_out_do_not_change():
    x = np.random.default_rng(0).normal(size=(2000, 40)).astype(np.float32)
    kept = {}
    first = nearest_again(x, x[:5].astype(float), LOSSES["l2"], kept, 1 << 20)
    before = first.copy()
    nearest_again(x, x[5:10].astype(float), LOSSES["l2"], kept, 1 << 20)
    np.testing.assert_array_equal(first, before)
