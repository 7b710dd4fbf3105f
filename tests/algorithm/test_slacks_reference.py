"""Room for rounding in the reference: above `Loss.limit` a score is certainly not the least."""

import numpy as np
import pytest

from kmgpu import kernels
from kmgpu.algorithm.assignment import nearest
from kmgpu.algorithm.losses import L1, L2, LOSSES
from tests.support.near_ties import close_by
from tests.support.oracles import costs_in_order, labels_in_order

WIDTHS = pytest.mark.parametrize("d", [3, 40, 200])


def limits(backend, loss, x, centers, least):
    found = loss.limit(backend.asarray(centers))(backend.asarray(x), backend.asarray(least))
    return backend.to_numpy(found)


@WIDTHS
@pytest.mark.parametrize(("size", "offset"), [(0.01, 0), (1, 0), (100, 0), (1, 1000)])
@pytest.mark.parametrize("loss", [L2, L1], ids=lambda loss: loss.name)
def test_scores_that_err_as_much_as_they_may(backend, loss, d, size, offset):
    """Of two centres the nearer one's score is raised, the other lowered by 0.95 of all it may."""
    rng = np.random.default_rng(d)
    x, centers = size * rng.standard_normal((400, d)), rng.standard_normal((2, d))
    centers[:, 0] += 30 * np.array([-1, 1])
    x[:, 0] *= 1e-6  # about as far from both
    x, centers = (x + offset).astype(np.float32), (centers + offset).astype(np.float32)
    costs, unit = costs_in_order(x, centers, loss.name), np.finfo(np.float32).eps / 2
    norm = 2 if loss is L2 else 1
    length, lengths = (np.linalg.norm(a.astype(np.float64), norm, axis=1) for a in (x, centers))
    if loss is L2:
        error = (d + 16) * unit * (length[:, None] + lengths) ** 2
        costs -= length[:, None] ** 2
    else:
        error = (d + 16) * unit * costs + 2 * unit * length[:, None]
    # as far from both as these errors can hide
    costs[:, 0] = costs[:, 1] - rng.uniform(0, 1.8, 400) * error.min(axis=1)
    raised, lowered = costs[:, 0] + 0.95 * error[:, 0], costs[:, 1] - 0.95 * error[:, 1]
    assert (raised > lowered).mean() > 0.5
    least = np.minimum(raised, lowered).astype(np.float32)[:, None]
    assert (raised <= limits(backend, loss, x, centers, least)[:, 0]).all()


@WIDTHS
@pytest.mark.parametrize("loss", ["l2", "l1"])
@pytest.mark.parametrize("case", ["far rows", "far group", "underflow"])
def test_labels_where_float32_rounds_too_much(backend, loss, d, case):
    x, centers = close_by(np.random.default_rng(d), loss, d, case)
    there = backend.asarray(x), backend.asarray(centers)
    with kernels.use("reference"):
        found = backend.to_numpy(nearest(*there, LOSSES[loss]))
    np.testing.assert_array_equal(found, labels_in_order(x, centers, loss))
