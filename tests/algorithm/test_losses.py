"""What a point costs at a centre."""

import dataclasses
import pickle

import numpy as np
import pytest

from kmgpu import lloyd, sweep
from kmgpu.algorithm.losses import L1, L2, LOSSES, get_loss
from kmgpu.backend.arrays import asarray, place_of
from tests.support import oracles

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
    for unknown in ("L2", "cos", None, 2):
        with pytest.raises(ValueError, match=r"loss=.* is not known; use 'l2'"):
            get_loss(unknown)


@BOTH
def test_losses_are_frozen(loss):
    with pytest.raises(dataclasses.FrozenInstanceError):
        loss.name = "other"


def stretched(name="mine", weight=(1.0, 9.0)):
    """k-means of features that count differently: not what any kernel computes."""
    root = np.sqrt(weight)

    def scaled(values):
        return values * asarray(root, place_of(values), values.dtype)

    def scorer(centers):
        score = L2.scorer(scaled(centers))
        return lambda x: score(scaled(x))

    return dataclasses.replace(
        L2,
        name=name,
        scorer=scorer,
        pairwise=lambda x, centers: L2.pairwise(scaled(x), scaled(centers)),
        cost=lambda differences: L2.cost(scaled(differences)),
    )


@pytest.mark.parametrize("name", ["mine", "l2", "l1"])
def test_a_loss_of_ones_own_is_never_replaced_by_a_kernel(backend, name):
    x = np.random.default_rng(0).normal(size=(2000, 2))
    *_, last = lloyd(backend.asarray(x), backend.asarray(x[:3]), stretched(name))
    there = x * [1, 3]
    centers, labels, loss = oracles.lloyd(there, there[:3], "l2")
    np.testing.assert_array_equal(backend.to_numpy(last.labels), labels)
    np.testing.assert_allclose(backend.to_numpy(last.centers) * [1, 3], centers, rtol=1e-9)
    assert last.loss == pytest.approx(loss)
    assert (labels != oracles.lloyd(x, x[:3], "l2")[1]).any(), "the plain loss would do as well"


@pytest.mark.parametrize("name", ["mine", "l2", "l1"])
def test_seeding_follows_a_loss_of_ones_own(name):
    x = np.random.default_rng(0).normal(size=(2000, 2))
    found = sweep(x, [3, 4], loss=stretched(name), random_state=0, tol=0)
    same = sweep(x * [1, 3], [3, 4], random_state=0, tol=0)
    for entry, expected in zip(found, same, strict=True):
        assert entry.loss == pytest.approx(expected.loss, rel=1e-9)
        assert entry.silhouette == pytest.approx(expected.silhouette, rel=1e-6)


def test_a_loss_of_ones_own_has_a_name_of_its_own():
    found = sweep(X[:, :2], [2, 3], loss=stretched(), random_state=0)
    assert found.loss == "mine"
    assert "loss mine, in its own units" in repr(found)


def test_only_the_own_records_have_kernels():
    assert (L1.kernel_name, L2.kernel_name) == ("l1", "l2")
    assert dataclasses.replace(L2, name="l1").kernel_name is None
    assert dataclasses.replace(L2, name="mine").kernel_name is None
    assert dataclasses.replace(L2).kernel_name is None


def test_a_third_loss_that_is_entered_has_no_kernels_yet(monkeypatch):
    """Else the kernels of k-medians would run for any loss that is not squared."""
    mine = dataclasses.replace(L1, name="mine")
    monkeypatch.setitem(LOSSES, "mine", mine)
    assert get_loss("mine").kernel_name is None


@pytest.mark.parametrize("loss", [L1, L2])
def test_a_loss_that_is_sent_to_another_process_keeps_its_kernels(loss):
    assert pickle.loads(pickle.dumps(loss)) is loss
