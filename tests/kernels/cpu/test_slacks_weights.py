"""Room for rounding in sums: what has left a cluster, losses that fall, halves that are equal."""

import numpy as np
import pytest

from kmgpu import KMeans, KMedians
from kmgpu.kernels.cpu.highdim.engine import HighDimensionalL2
from kmgpu.kernels.cpu.lowdim.engine import LowDimMeans
from kmgpu.kernels.cpu.medians.engine import Medians
from tests.support.oracles import costs_in_order

WIDTHS = pytest.mark.parametrize("d", [3, 40, 200])


@WIDTHS
@pytest.mark.parametrize("heavy", [1e17, 1e19])
def test_a_heavy_row_at_the_origin_of_sums_leaves_no_weight_behind(backend, d, heavy):
    """It adds nothing to the sums that leave with it, but it fills the empty cluster."""
    light = np.random.default_rng(d).standard_normal((201, d))
    x = np.concatenate([light, -light, np.zeros((1, d))])
    x[x > 0] *= 3
    weight = np.ones(403)
    weight[402] = heavy
    init = np.stack([np.full(d, 0.3), np.full(d, 1e3)])
    model = KMeans(2, init=init, tol=0, max_iter=1).fit(backend.asarray(x), sample_weight=weight)
    assert model.n_relocated_ == 1
    found = backend.to_numpy(model.cluster_centers_)
    expected = np.stack([x[:402].mean(axis=0), np.zeros(d)])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("engine", "loss", "d"),
    [
        (LowDimMeans, "l2", 3),
        (HighDimensionalL2, "l2", 40),
        (Medians, "l1", 3),
        (Medians, "l1", 40),
    ],
)
def test_a_loss_that_falls_to_nearly_nothing_is_summed_anew(engine, loss, d):
    """Half of the rows at 1 begin in the cluster of those at 0."""
    rng = np.random.default_rng(d)
    x = 1e-9 * rng.standard_normal((300, d))
    x[200:] += 1
    centers, found = np.repeat([[0.5], [1.5]], d, axis=1), engine(x, None, 2)
    for _ in range(3):
        at_assignment, _ = found.assign(centers)
        costs = costs_in_order(x, centers, loss).min(axis=1)
        np.testing.assert_allclose(at_assignment, costs.sum(), rtol=1e-9)
        centers, at_refit = found.refit()
        own = costs_in_order(x, centers, loss)[np.arange(300), found.labels]
        np.testing.assert_allclose(at_refit, own.sum(), rtol=1e-9)
    assert at_refit < 1e-4


@pytest.mark.parametrize(
    ("values", "weight", "median"),
    [
        ([1, 2, 3], [0.1, 0.2, 0.3], 2.5),
        ([0] * 8000 + [10], [2.1] * 8000 + [16800], 5),
        ([1, 2, 3], [2.0**49, 1, 2.0**49], 2),
    ],
    ids=["rounded weights", "rounded units", "exact"],
)
@pytest.mark.parametrize("d", [1, 40])
def test_halves_that_are_equal_up_to_their_rounding(backend, values, weight, median, d):
    x = backend.asarray(np.repeat(np.array(values, np.float64)[:, None], d, axis=1))
    found = KMedians(1, init="random", random_state=0).fit(x, sample_weight=np.array(weight))
    assert (backend.to_numpy(found.cluster_centers_) == median).all()
