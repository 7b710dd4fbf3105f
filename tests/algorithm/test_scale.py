"""Data whose costs overflow or vanish, weights that are too heavy: errors that name them."""

import numpy as np
import pytest
from scipy import sparse

from kmgpu import KMeans, KMedians, lloyd
from kmgpu.algorithm.scale import SAMPLED_ROWS
from tests.support import oracles

WIDTHS = pytest.mark.parametrize("n_features", [1, 3, 40, 200])


def groups(n_features, n_samples=300):
    return oracles.blobs(n_samples, n_features, 3, seed=4)


def fitted(backend, x, **how):
    return KMeans(3, random_state=0, **how).fit(backend.asarray(x))


@WIDTHS
@pytest.mark.parametrize(
    ("scale", "said"),
    [
        (2.0**-520, r"X has values too small: .*vanish in float64.*X \* 2\.0\*\*5\d\d\."),
        (1e-200, r"X has values too small: .*vanish in float64.*X \* 2\.0\*\*6\d\d\."),
        (1e-300, r"X has values too small: .*vanish in float64.*X \* 2\.0\*\*99\d\."),
        (1e160, r"X has values too large: .*overflow in float64.*X \* 2\.0\*\*-53\d\."),
        (1e250, r"X has values too large: .*overflow in float64.*X \* 2\.0\*\*-83\d\."),
    ],
)
def test_squares_that_float64_does_not_hold(backend, n_features, scale, said):
    x = groups(n_features) * scale
    with pytest.raises(ValueError, match=said) as caught:
        fitted(backend, x)
    assert "pass it as float64" not in str(caught.value)
    with pytest.raises(ValueError, match=said):
        lloyd(backend.asarray(x), x[:3])
    # what the message says mends it
    power = str(caught.value).rpartition("2.0**")[2].rstrip(".")
    found = fitted(backend, x * 2.0 ** int(power))
    assert len(np.unique(backend.to_numpy(found.labels_))) == 3


@WIDTHS
@pytest.mark.parametrize("scale", [2.0**-1000, 2.0**-565, 2.0**-500, 2.0**500, 2.0**1000])
def test_what_float64_holds_is_taken(backend, n_features, scale):
    x = groups(n_features)
    for estimator in (KMedians, KMeans):
        if estimator is KMeans and not 2.0**-510 < scale < 2.0**505:
            continue
        found = estimator(3, init=x[:3] * scale).fit(backend.asarray(x * scale))
        assert 0 < found.inertia_ < np.inf


def test_a_tiny_cluster_beside_a_normal_one_is_taken(backend):
    x = np.concatenate([groups(3) * 1e-170, groups(3) + 100])
    assert fitted(backend, x).inertia_ > 0
    feature = groups(3)
    feature[:, 1:] *= 1e-170
    assert fitted(backend, feature).inertia_ > 0


def test_a_constant_is_no_underflow(backend):
    for value in (0.0, 3.0, 1e-200, 1e200):
        found = KMeans(1).fit(backend.asarray(np.full((20, 3), value)))
        assert found.inertia_ == 0


def test_rows_of_zero_weight_do_not_count(backend):
    x = groups(3) * 1e-170
    x[::2] += 1
    weight = np.arange(len(x)) % 2
    with pytest.raises(ValueError, match="X has values too small"):
        KMeans(3, random_state=0).fit(backend.asarray(x), sample_weight=weight)


def test_all_rows_are_looked_at_where_some_are_alike(backend):
    n = 4 * SAMPLED_ROWS
    x = np.zeros((n, 2))
    x[1::4] = 1e-170
    with pytest.raises(ValueError, match="X has values too small"):
        fitted(backend, x)
    x[2::8], x[6::8] = 1, 5
    assert fitted(backend, x).inertia_ == 0
    x[3] = 1e200
    with pytest.raises(ValueError, match="X has values too large"):
        fitted(backend, x)


@WIDTHS
@pytest.mark.parametrize("most", [0.9e308, 1.7e308])
def test_sums_that_float64_does_not_hold(backend, n_features, most):
    x = np.random.default_rng(0).choice([-most, most], (50, n_features))
    with pytest.raises(ValueError, match="X has values too large"):
        KMedians(4, random_state=0).fit(backend.asarray(x))


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_array, sparse.coo_matrix])
def test_sparse_data_too(make):
    for scale, said in ((1e-170, "too small"), (1e170, "too large")):
        with pytest.raises(ValueError, match=f"X has values {said}"):
            KMeans(3, random_state=0).fit(make(groups(3) * scale))


@WIDTHS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_at_fault_are_named(backend, n_features, dtype):
    x = (groups(n_features) * 2.0**60).astype(dtype)
    weight = np.full(len(x), 1e300)
    with pytest.raises(ValueError, match=r"sample_weight has values too large, up to 1e\+300"):
        KMeans(3, random_state=0).fit(backend.asarray(x), sample_weight=weight)
    with pytest.raises(ValueError, match="sample_weight sums to inf"):
        KMeans(3, random_state=0).fit(backend.asarray(x), sample_weight=weight * 1e8)


def test_far_centres_are_named(backend):
    x = groups(3).astype(np.float32)
    with pytest.raises(ValueError, match=r"costs of X at the centres overflow.*X \(or init\)"):
        KMeans(2, init=[[1e200] * 3, [-1e200] * 3]).fit(backend.asarray(x))
