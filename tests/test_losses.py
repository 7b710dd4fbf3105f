"""What a point costs at a centre."""

import dataclasses

import numpy as np
import pytest

from kmgpu.losses import L1, L2, LOSSES, get_loss
from tests import oracles

BOTH = pytest.mark.parametrize("loss", [L2, L1], ids=lambda loss: loss.name)
X = oracles.blobs(40, 3, seed=1)
CENTERS = X[:6] + 0.125


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pairwise_and_scorer(backend, loss, dtype):
    x, centers = X.astype(dtype), CENTERS.astype(dtype)
    expected = oracles.costs(x, centers, loss.name)
    atol = 16 * np.finfo(dtype).eps * float((x**2).sum(axis=1).max())
    found = loss.pairwise(backend.asarray(x), backend.asarray(centers))
    assert found.dtype == getattr(backend.xp, dtype)
    np.testing.assert_allclose(backend.to_numpy(found), expected, atol=atol, rtol=0)
    scores = backend.to_numpy(loss.scorer(backend.asarray(centers))(backend.asarray(x)))
    assert scores.dtype == dtype
    constant = scores - expected
    np.testing.assert_allclose(constant, constant[:, :1] + 0 * constant, atol=atol, rtol=0)


@BOTH
def test_cost_of_differences(backend, loss):
    gaps = X - CENTERS[0]
    expected = oracles.costs(X, CENTERS[:1], loss.name)[:, 0]
    found = loss.cost(backend.asarray(gaps))
    np.testing.assert_allclose(backend.to_numpy(found), expected, rtol=1e-14)


@BOTH
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e8])
def test_a_point_costs_nothing_at_itself(backend, loss, scale):
    x = scale * X
    costs = backend.to_numpy(loss.pairwise(backend.asarray(x), backend.asarray(x)))
    np.testing.assert_array_equal(np.diagonal(costs), 0)
    assert (costs >= 0).all()
    assert (costs + np.eye(len(x)) > 0).all()


def test_distances_are_in_units_of_the_data(backend):
    costs = backend.asarray(np.array([4.0, 9.0]))
    np.testing.assert_array_equal(backend.to_numpy(L2.distance(costs)), [2, 3])
    np.testing.assert_array_equal(backend.to_numpy(L1.distance(costs)), [4, 9])


def test_losses_by_name():
    assert get_loss("l2") is get_loss(L2) is LOSSES["l2"]
    assert get_loss("l1") is LOSSES["l1"] is L1
    assert L2.units != L1.units
    for unknown in ("L2", "cosine", None, 2):
        with pytest.raises(ValueError, match=r"loss=.* is not known; use 'l2'"):
            get_loss(unknown)


@BOTH
def test_losses_are_frozen(loss):
    with pytest.raises(dataclasses.FrozenInstanceError):
        loss.name = "other"
