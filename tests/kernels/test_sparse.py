"""Sparse rows: the labels of the same rows made dense, without making them dense."""

import tracemalloc
import warnings
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from kmgpu import KMeans, KMedians, kernels
from kmgpu.algorithm.assignment import costs_at, distances, nearest
from kmgpu.algorithm.losses import L1, L2
from kmgpu.algorithm.refit import group_rows
from kmgpu.algorithm.seeding import initial_centers
from kmgpu.algorithm.spread import scaled_tolerance
from kmgpu.backend.sparse import SparseRows, canonical
from kmgpu.kernels import dispatch
from kmgpu.kernels.sparse import plain, rows
from tests.support import oracles

LOSSES = pytest.mark.parametrize("loss", [L2, L1], ids=lambda loss: loss.name)
ESTIMATORS = pytest.mark.parametrize("estimator", [KMeans, KMedians])


@pytest.fixture(params=["reference", "fused"], autouse=True)
def mode(request):
    if request.param == "fused" and not dispatch.numba_usable().yes:
        pytest.skip("no Numba")
    with kernels.use(request.param):
        yield request.param


def scattered(n, d, density, seed=0, dtype=np.float64):
    """Rows of a few normal values each, some rows empty."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) * (rng.random((n, d)) < density)).astype(dtype)


def drawn(x, k, seed=0):
    return x[np.random.default_rng(seed).choice(len(x), k, replace=False)].astype(np.float64)


def _cases():
    rng = np.random.default_rng(5)
    for d, density in ((3, 0.6), (40, 0.2), (200, 0.04)):
        for dtype in (np.float64, np.float32):
            x = scattered(300, d, density, dtype=dtype)
            mixed = np.random.default_rng(1).dirichlet(np.ones(300), 7) @ x.astype(np.float64)
            yield f"means, d={d} {dtype.__name__}", x, mixed
            yield f"rows, d={d} {dtype.__name__}", x, drawn(x, 7)
        counts = rng.poisson(density, (300, d)).astype(np.float64)
        yield f"counts: ties, d={d}", counts, drawn(counts, 9)
        few = np.repeat(drawn(counts, 3), 3, axis=0)
        yield f"equal centres, d={d}", counts, few + 0.0
        yield f"zero centres, d={d}", counts, np.zeros((4, d))
        grid = np.round(scattered(300, d, density), 1)
        yield f"grid of 0.1, d={d}", grid, np.round(drawn(grid, 9) * 0.5, 1)
        close = scattered(300, d, density, dtype=np.float32)
        nudged = np.nextafter(drawn(close, 1).astype(np.float32), np.float32(9))
        at = np.concatenate([nudged, drawn(close, 1), drawn(close, 5, seed=3)])
        yield f"centres a rounding apart, d={d}", close, at.astype(np.float64)
        far = np.where(scattered(300, d, density) != 0, 1e7, 0.0) + scattered(300, d, density)
        yield f"far groups, d={d}", far, drawn(far, 7) + 1e-3
        huge = scattered(300, d, density, dtype=np.float32) * np.float32(1e17)
        at = np.concatenate([np.full((1, d), 1e21), np.full((1, d), -1e21), drawn(huge, 4)])
        yield f"centres at 1e21, d={d}", huge, at
        yield f"1e-170, d={d}", counts * 1e-170, drawn(counts, 5) * 1e-170
        yield f"1e-30 float32, d={d}", close * np.float32(1e-30), drawn(close, 6) * 1e-30
        yield f"1e160, d={d}", counts * 1e160, np.concatenate([drawn(counts, 4) * 1e160, [[0] * d]])
        yield f"nothing stored, d={d}", np.zeros((20, d)), drawn(grid, 3)


CASES = {name: (x, centers) for name, x, centers in _cases()}


@LOSSES
@pytest.mark.parametrize("case", CASES)
def test_a_label_is_that_of_float64_costs_in_order(case, loss):
    x, centers = CASES[case]
    expected = oracles.labels_in_order(x, centers, loss.name)
    given = canonical(sparse.csr_array(x))
    assert_array_equal(nearest(given, centers, loss), expected)
    assert_array_equal(nearest(given, centers, loss, 1 << 16), expected)
    some = np.arange(len(x) - 1, 0, -7)
    assert_array_equal(nearest(sparse.csr_array(x)[some], centers, loss), expected[some])


@LOSSES
@pytest.mark.parametrize("case", CASES)
def test_distances_are_accurate_and_the_first_least_is_the_label(case, loss):
    x, centers = CASES[case]
    costs = oracles.costs_in_order(x, centers, loss.name)
    found = distances(canonical(sparse.csr_array(x)), centers, loss)
    with np.errstate(over="ignore"):
        expected = (np.sqrt(costs) if loss is L2 else costs).astype(x.dtype)
    assert found.dtype == x.dtype
    assert_allclose(found, expected, rtol=1e-6)
    assert_array_equal(found.argmin(axis=1), costs.argmin(axis=1))


@LOSSES
@pytest.mark.parametrize("case", CASES)
def test_costs_of_the_labels(case, loss):
    x, centers = CASES[case]
    labels = np.random.default_rng(2).integers(len(centers), size=len(x)).astype(np.int32)
    found = costs_at(canonical(sparse.csr_array(x)), centers, labels, loss)
    expected = oracles.costs_in_order(x, centers, loss.name)[np.arange(len(x)), labels]
    assert_allclose(found, expected, rtol=1e-6)
    assert_array_equal(found == 0, expected == 0)


@LOSSES
def test_exact_costs_are_the_same_bits(loss, mode):
    terms = plain
    if mode == "fused":
        from kmgpu.kernels.cpu import sparse as terms
    x, centers = scattered(60, 50, 0.2), drawn(scattered(60, 50, 0.5, seed=1), 5)
    which, clusters = (each.ravel() for each in np.mgrid[0:60, 0:5])
    at = rows.Centers(centers, loss.squared)
    found = terms.exact_costs(sparse.csr_array(x), at, which, clusters)
    assert_array_equal(found, oracles.costs_in_order(x, centers, loss.name).ravel())


@ESTIMATORS
@pytest.mark.parametrize(
    ("d", "density", "dtype"),
    [
        (3, 0.6, np.float64),
        (40, 0.2, np.float32),
        (40, 0.2, np.bool_),
        (200, 0.04, np.float64),
        (200, 0.04, np.int16),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_fit_is_that_of_the_dense_rows(estimator, d, density, dtype, weighted):
    x = scattered(400, d, density) * 3
    x = (np.round(x) if np.dtype(dtype).kind != "f" else x).astype(dtype)
    weight = np.random.default_rng(1).integers(0, 4, 400) * 0.1 if weighted else None
    init = drawn(np.unique(x, axis=0), 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = estimator(5, init=init, tol=0).fit(sparse.csr_matrix(x), sample_weight=weight)
        dense = estimator(5, init=init, tol=0).fit(x, sample_weight=weight)
    assert_array_equal(found.labels_, dense.labels_)
    assert_allclose(found.cluster_centers_, dense.cluster_centers_, rtol=1e-5, atol=1e-9)
    assert found.cluster_centers_.dtype == dense.cluster_centers_.dtype
    assert found.inertia_ == pytest.approx(dense.inertia_, rel=1e-6)
    assert_array_equal(found.predict(sparse.csr_matrix(x)), found.labels_)
    assert_array_equal(found.predict(x), found.labels_)
    assert found.score(sparse.csc_array(x), sample_weight=weight) == pytest.approx(-found.inertia_)


@ESTIMATORS
def test_the_same_seed_draws_the_same_rows(estimator):
    x = scattered(500, 60, 0.2)
    found = estimator(6, random_state=3).fit(sparse.csr_array(x))
    dense = estimator(6, random_state=3).fit(x)
    assert_array_equal(found.labels_, dense.labels_)
    assert found.inertia_ == pytest.approx(dense.inertia_, rel=1e-9)


@LOSSES
def test_seeding_stops_at_cost_zero_where_rows_coincide(loss):
    x = canonical(sparse.csr_array(np.repeat(scattered(3, 40, 0.5), 50, axis=0)))
    start = initial_centers(x, "k-means++", 5, loss, None, np.random.default_rng(0))
    assert len(np.unique(start.centers, axis=0)) == 3


def test_fewer_distinct_rows_than_clusters_warn_and_end():
    x = sparse.csr_array(np.repeat(scattered(3, 40, 0.5), 49, axis=0) / 3)
    for estimator in (KMeans, KMedians):
        with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(3\)"):
            model = estimator(5, random_state=0).fit(x)
        assert model.inertia_ == 0
        assert model.n_iter_ < 5


@LOSSES
@pytest.mark.parametrize("weighted", [False, True])
def test_refits_are_the_weighted_means_and_medians(loss, weighted):
    rng = np.random.default_rng(4)
    x = np.round(scattered(120, 30, 0.5), 1)
    labels = rng.integers(4, size=120).astype(np.int32)
    labels[labels == 2] = 0  # one is empty
    weight = rng.integers(0, 5, 120).astype(np.float64) if weighted else None
    previous = np.full((4, 30), 9.0)
    groups = group_rows(labels, 4, weight)
    found = loss.refit(canonical(sparse.csr_array(x)), groups, weight, previous, 1 << 12)
    assert_allclose(found, oracles.centers(x, labels, previous, loss.name, weight), atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("zeros", [0.0, 0.1, 0.5, 0.9])
def test_medians_of_few_rows_on_either_side_of_zero(zeros, weighted, dtype):
    """Where no zero is left out, the middle of two values is theirs alone."""
    rng = np.random.default_rng(7)
    for n in range(1, 9):
        x = rng.integers(-9, 10, (n, 60)).astype(dtype)
        x[x == 0] = 1
        x[rng.random(x.shape) < zeros] = 0
        weight = rng.integers(1, 4, n).astype(np.float64) if weighted else None
        groups = group_rows(np.zeros(n, np.int32), 1, weight)
        rows = canonical(sparse.csr_array(x))
        found = L1.refit(rows, groups, weight, np.zeros((1, 60)), 1 << 20)
        repeated = np.repeat(x, weight.astype(int) if weighted else 1, axis=0)
        assert_array_equal(found[0], np.median(repeated.astype(np.float64), axis=0))


def test_integer_weights_are_repetition_and_even_counts_give_the_midpoint():
    x = np.array([[0.0, 2], [0, 0], [4, 0], [6, -2]])
    labels, weight = np.zeros(4, np.int32), np.array([1.0, 2, 2, 1])
    repeated = np.repeat(np.arange(4), weight.astype(int))
    previous = np.zeros((1, 2))
    found = L1.refit(
        canonical(sparse.csr_array(x)), group_rows(labels, 1, weight), weight, previous, 1 << 20
    )
    again = L1.refit(
        canonical(sparse.csr_array(x[repeated])),
        group_rows(labels[[0] * 6], 1),
        None,
        previous,
        1 << 20,
    )
    assert_array_equal(found, [[2.0, 0.0]])
    assert_array_equal(again, found)


def test_equal_weights_mean_no_weights():
    x = sparse.csr_array(np.r_[np.zeros(500), np.full(500, 100.0)][:, None])
    for weight in (None, np.full(1000, 0.1), np.full(1000, 1e-300), np.full(1000, 3e200)):
        assert KMedians(1).fit(x, sample_weight=weight).cluster_centers_ == 50


def test_a_light_cluster_has_a_median_of_its_own():
    x = sparse.csr_array([[0.0], [0], [0], [100], [101], [190]])
    weight = [1e9] * 3 + [1e-9] * 3
    model = KMedians(2, init=[[0.0], [100]]).fit(x, sample_weight=weight)
    assert_array_equal(model.cluster_centers_, [[0], [101]])


def test_identical_rows_have_themselves_as_mean():
    x = np.repeat(scattered(4, 50, 0.4) / 3, [7, 49, 3, 11], axis=0)
    labels = np.repeat(np.arange(4), [7, 49, 3, 11]).astype(np.int32)
    for weight in (None, np.full(len(x), 0.1)):
        groups = group_rows(labels, 4, weight)
        found = L2.refit(canonical(sparse.csr_array(x)), groups, weight, np.zeros((4, 50)), 1 << 20)
        assert_array_equal(found, x[[0, 7, 56, 59]])


@pytest.mark.parametrize("form", ["csc", "coo", "lil", "dok", "bsr", "dia"])
def test_other_formats(form):
    x = scattered(80, 12, 0.3)
    model = KMeans(3, random_state=0).fit(sparse.csr_array(x))
    assert_array_equal(model.predict(sparse.csr_array(x).asformat(form)), model.labels_)


def messy(dtype=np.float64):
    """CSR with unsorted and repeated entries, explicit zeros and an empty row."""
    indices = np.array([4, 0, 4, 4, 1, 2, 0, 3, 1, 1])
    data = np.array([0.1, 2, 0.2, 0.3, 0, 5, 0, 7, 3, -3]).astype(dtype)
    indptr = np.array([0, 4, 6, 6, 7, 10])
    return sparse.csr_matrix((data, indices, indptr), shape=(5, 5))


@pytest.mark.parametrize("wide", [np.int32, np.int64])
@ESTIMATORS
def test_messy_matrices_are_read_as_dense_ones_and_left_alone(estimator, wide):
    x = messy()
    x.indices, x.indptr = x.indices.astype(wide), x.indptr.astype(wide)
    before = [part.copy() for part in (x.data, x.indices, x.indptr)]
    for part in (x.data, x.indices, x.indptr):
        part.flags.writeable = False
    init = np.eye(5)[:2] * 2
    found, dense = (estimator(2, init=init).fit(given) for given in (x, x.toarray()))
    assert_array_equal(found.labels_, dense.labels_)
    assert_array_equal(found.cluster_centers_, dense.cluster_centers_)
    assert_array_equal(found.transform(x).argmin(axis=1), found.labels_)
    for part, old in zip((x.data, x.indices, x.indptr), before, strict=True):
        assert part.dtype == old.dtype
        assert_array_equal(part, old)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.uint64, np.bool_])
def test_canonical_rows_hold_the_same_numbers(dtype):
    x = messy(dtype)
    made = canonical(x)
    assert_array_equal(made.toarray(), x.toarray().astype(made.dtype))
    assert made.dtype == (np.float32 if dtype == np.float32 else np.float64)
    assert all((np.diff(made.indices[a:b]) > 0).all() for a, b in pairwise(made.indptr))


def test_canonical_rows_are_no_copy():
    x = sparse.csr_array(scattered(50, 20, 0.3))
    made = canonical(x)
    assert np.shares_memory(made.data, x.data)
    assert canonical(made) is made
    assert np.shares_memory(made.block(10, 12).data, x.data)


@LOSSES
@pytest.mark.parametrize("weighted", [False, True])
def test_the_scale_of_the_tolerance(loss, weighted):
    x = scattered(200, 30, 0.3) + np.where(np.arange(30) < 2, 1e6, 0)
    weight = np.random.default_rng(0).random(200) if weighted else None
    given = canonical(sparse.csr_array(x))
    apart = x - np.average(x, axis=0, weights=weight)
    cost = np.square(apart) if loss is L2 else np.abs(apart)
    expected = np.average(cost, axis=0, weights=weight).mean()
    assert scaled_tolerance(given, weight, loss, 0.5, 1 << 16) == pytest.approx(0.5 * expected)


@LOSSES
@pytest.mark.parametrize("weighted", [False, True])
def test_the_widths_of_features(loss, weighted):
    x = scattered(60, 30, 0.3) + np.where(np.arange(30) < 2, 7.0, 0)
    x[:, 3] = np.where(np.arange(60) == 5, 9.0, 2.0)  # stored everywhere
    weight = (np.arange(60) % 5 > 0) * 1.0 if weighted else None
    measure = dispatch.chosen("widths", sparse.csr_array(x), 1)
    found = measure(sparse.csr_array(x), weight, 1 << 16)
    assert_array_equal(found, np.ptp(x if weight is None else x[weight > 0], axis=0))
    assert measure(sparse.csr_array(x), np.zeros(60), None).max() == 0


@ESTIMATORS
def test_no_block_of_rows_is_made_dense(estimator, monkeypatch):
    made = []
    toarray = sparse.csr_array.toarray

    def heard(self, *args, **kwargs):
        made.append(self.shape)
        return toarray(self, *args, **kwargs)

    monkeypatch.setattr(sparse.csr_array, "toarray", heard)
    monkeypatch.setattr(SparseRows, "toarray", heard)
    x = sparse.csr_array(scattered(400, 50, 0.1))
    model = estimator(4, random_state=0).fit(x)
    model.predict(x), model.transform(x), model.score(x)
    # centres and candidates of seeding: as many rows as clusters, or fewer
    assert max(n for n, _ in made) <= 4


@ESTIMATORS
def test_memory_is_that_of_the_stored_values_and_the_centres(estimator):
    n, d, k = 3000, 20_000, 4
    x = sparse.random_array((n, d), density=1e-3, format="csr", rng=np.random.default_rng(0))
    model = estimator(k, random_state=0, max_iter=3, memory_budget=1 << 20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x[:50])  # what is compiled and loaded once
        tracemalloc.start()
        model.fit(x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16 * 8 * k * d + 8 * x.nnz * 4 + 4 * (1 << 20)  # dense rows take 480 MB


@ESTIMATORS
def test_threads_and_blocks_decide_nothing(estimator):
    x = sparse.csr_array(scattered(3000, 40, 0.2))
    fits = [
        estimator(8, random_state=0, memory_budget=budget).fit(x) for budget in (1 << 16, 1 << 22)
    ]
    assert_array_equal(fits[0].labels_, fits[1].labels_)
    assert_array_equal(fits[0].cluster_centers_, fits[1].cluster_centers_)


@ESTIMATORS
def test_an_empty_cluster_takes_the_costliest_row(estimator):
    x = scattered(200, 30, 0.3)
    x[17] = 50.0
    init = np.concatenate([drawn(x[:10], 2), np.full((1, 30), 1e3)])
    found, dense = (estimator(3, init=init).fit(given) for given in (sparse.csr_array(x), x))
    assert found.n_relocated_ == dense.n_relocated_ > 0
    assert_array_equal(found.labels_, dense.labels_)


def test_labels_of_many_ties_take_no_longer_than_products():
    """All medians of rows this sparse are zero or nearly so: nearly every row is a tie."""
    rng = np.random.default_rng(0)
    x = (rng.random((600, 3000)) < 0.01).astype(np.float64)
    centers = np.zeros((6, 3000))
    centers[np.arange(5), np.arange(5)] = 1.0
    found = nearest(canonical(sparse.csr_array(x)), centers, L1)
    assert_array_equal(found, oracles.labels_in_order(x, centers, "l1"))
