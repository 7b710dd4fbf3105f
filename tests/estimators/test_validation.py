"""What users may pass, and what they are told when they may not."""

import re

import numpy as np
import pytest
from scipy import sparse

from kmgpu import KMeans, KMedians, lloyd, weights
from kmgpu.backend.arrays import place_of
from kmgpu.validation import check_data
from kmgpu.weights import check_sample_weight, relative_weights

BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])
X = np.arange(40.0).reshape(20, 2)


@BOTH
@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_clusters": 0}, ValueError, "n_clusters=0 must be at least 1"),
        ({"n_clusters": 2.0}, TypeError, "n_clusters must be an integer, got 2.0 (float)"),
        ({"n_clusters": True}, TypeError, "n_clusters must be an integer, got True (bool)"),
        ({"n_clusters": 21}, ValueError, "n_samples=20 should be >= n_clusters=21"),
        ({"n_init": 0}, ValueError, "n_init=0 must be at least 1"),
        ({"n_init": "many"}, TypeError, "n_init must be an integer, got 'many'"),
        ({"max_iter": 0}, ValueError, "max_iter=0 must be at least 1"),
        ({"tol": -1}, ValueError, "tol=-1 must be at least 0"),
        ({"tol": float("nan")}, ValueError, "tol=nan must be at least 0"),
        ({"tol": "small"}, TypeError, "tol must be a number, got 'small'"),
        ({"algorithm": "full"}, ValueError, "algorithm='full' is not known; use one of 'lloyd'"),
        ({"empty_cluster": None}, ValueError, "empty_cluster=None is not known"),
        ({"memory_budget": 10}, ValueError, "memory_budget (bytes)=10 must be at least 65536"),
        ({"memory_budget": 1e9}, TypeError, "memory_budget (bytes) must be an integer"),
        ({"init": "best"}, ValueError, "init='best' is not known; use one of 'k-means++'"),
        ({"init": X[:3]}, ValueError, "initial centers (3, 2) does not match the number of clu"),
        ({"init": X[:2, :1]}, ValueError, "initial centers (2, 1) does not match the number of f"),
        ({"init": X[:2] * np.nan}, ValueError, "init contains NaN: first at row 0, column 0"),
        ({"random_state": "seed"}, ValueError, "random_state='seed' cannot be used to seed"),
        ({"random_state": -1}, ValueError, "random_state=-1 cannot be used to seed"),
        ({"device": "tpu"}, ValueError, "device='tpu' is not known"),
    ],
)
def test_parameters(estimator, parameters, error, message):
    with pytest.raises(error, match=re.escape(message)):
        estimator(**{"n_clusters": 2} | parameters).fit(X)


@BOTH
@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_not_finite_data_are_named_by_row_and_column(backend, estimator, value, word, dtype):
    bad = X.astype(dtype)
    bad[13, 1] = bad[17, 0] = value
    good = estimator(2, random_state=0).fit(backend.asarray(X.astype(dtype)))
    message = f"Input X contains {word}.*row 13, column 1"
    bad = backend.asarray(bad)
    for call in (estimator(2).fit, good.predict, good.transform, good.score):
        with pytest.raises(ValueError, match=message):
            call(bad)
    with pytest.raises(ValueError, match=message):
        lloyd(bad, bad[:2, :])


def test_the_row_is_counted_from_the_first_not_from_its_block():
    x = np.zeros((200_000, 1))
    x[150_001] = np.nan
    with pytest.raises(ValueError, match="row 150001, column 0"):
        KMeans(2).fit(x)


def test_not_finite_sparse_data_are_named_too():
    bad = sparse.csr_matrix(np.where(X == 27, np.nan, X * (X > 20)))
    with pytest.raises(ValueError, match="X contains NaN: first at row 13, column 1"):
        KMeans(2).fit(bad)


@BOTH
@pytest.mark.parametrize("value", [-1e-300, np.nan, np.inf])
def test_bad_weights_are_named_by_row(backend, estimator, value):
    weight = np.ones(20)
    weight[7] = value
    x = backend.asarray(X)
    for bad in (weight, backend.asarray(weight)):
        with pytest.raises(ValueError, match=r"sample_weight\[7\] is .*finite and non-negative"):
            estimator(2).fit(x, sample_weight=bad)
        with pytest.raises(ValueError, match=r"sample_weight\[7\]"):
            estimator(2).fit(x).score(x, sample_weight=bad)


def test_sparse_weights_are_refused_with_the_remedy():
    with pytest.raises(TypeError, match="sample_weight is a sparse matrix; pass"):
        KMeans(2).fit(np.eye(5), sample_weight=sparse.csr_array(np.ones((5, 1))))


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.zeros(20), "sample_weight is zero for every row"),
        (np.ones(19), "sample_weight.shape == (19,), expected (20,)"),
        (np.ones((20, 1)), "sample_weight.shape == (20, 1), expected (20,)"),
        (0, "sample_weight is zero for every row"),
        (-2.0, "sample_weight[0] is -2.0"),
        (np.full(20, 1e308), "sample_weight sums to inf, with weights up to 1e+308"),
    ],
)
def test_weights_of_no_use(backend, weight, message):
    there = [weight] if np.isscalar(weight) else [weight, backend.asarray(weight)]
    for given in there:
        with pytest.raises(ValueError, match=re.escape(message)):
            KMeans(2).fit(backend.asarray(X), sample_weight=given)


def test_weights_as_they_arrive(backend):
    place = place_of(backend.asarray(X))
    assert check_sample_weight(None, 3, place) is None
    for weight in (2, [2, 2, 2], np.array([2, 2, 2], dtype=">i4"), np.full(3, 2, np.float16)):
        found = check_sample_weight(weight, 3, place)
        assert found.dtype == backend.xp.float64
        assert place_of(found) == place
        np.testing.assert_array_equal(backend.to_numpy(found), [2, 2, 2])


@pytest.mark.parametrize("dtype", ["bool", "int32", "float16", "float32", "float64"])
@pytest.mark.parametrize("kind", ["equal", "some absent", "others"])
def test_weights_on_a_gpu_stay_there(cupy, backend, monkeypatch, kind, dtype):
    """A few numbers come to the host, and the user's array is not the one that is kept."""
    given = {"equal": [3] * 40, "some absent": [0, 3] * 20, "others": [0, 1, 2, 3] * 10}[kind]
    given = np.array(given).astype(dtype)
    if dtype == "bool" and kind == "others":
        kind = "some absent"
    most = given.max().astype(float)
    copied, to_host = [], weights.to_host
    monkeypatch.setattr(weights, "to_host", lambda x: copied.append(x.size) or to_host(x))
    weight = cupy.asarray(given)
    place = place_of(weight)
    found = check_sample_weight(weight, 40, place)
    relative, factor = relative_weights(weight, 40, place)
    assert copied == [5, 5]
    weight[:] = 0
    assert found.dtype == cupy.float64
    np.testing.assert_array_equal(found.get(), given.astype(float))
    if kind == "equal":
        assert (relative, factor) == (None, most)
    else:
        assert factor == (most if kind == "some absent" else 1)
        np.testing.assert_array_equal(factor * relative.get(), given.astype(float))
    with pytest.raises(ValueError, match=r"sample_weight has dtype complex64; pass real numbers"):
        check_sample_weight(cupy.asarray(given, dtype="complex64"), 40, place)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X[0], "2D array, got 1D"),
        (X[None], "got 3D|dim 3"),
        (X[:0], r"0 sample\(s\)"),
        (X[:, :0], r"0 feature\(s\)"),
        (X + 1j, "Complex data not supported"),
    ],
    ids=["1d", "3d", "no rows", "no columns", "complex"],
)
def test_wrong_arrays(backend, x, message):
    model = KMeans(1).fit(backend.asarray(X))
    for call in (KMeans(1).fit, model.predict, lambda x: lloyd(x, X[:1])):
        with pytest.raises(ValueError, match=message):
            call(backend.asarray(x))


@pytest.mark.parametrize("x", [[["a", "b"], ["c", "d"]], [[{}, 1], [2, 3]], "text", None])
def test_what_is_no_table_of_numbers(x):
    with pytest.raises((ValueError, TypeError)):
        KMeans(1).fit(x)


def test_another_number_of_features_is_refused(backend):
    model = KMeans(2).fit(backend.asarray(X))
    for call in (model.predict, model.transform, model.score):
        with pytest.raises(ValueError, match="X has 1 features, but KMeans is expecting 2"):
            call(backend.asarray(X[:, :1]))


def test_good_data_are_not_copied(backend):
    x = backend.asarray(X)
    assert check_data(x) is x


def test_a_scalar_random_state_of_any_kind(backend):
    x = backend.asarray(X)
    for state in (None, 0, np.int64(3), np.random.default_rng(0), np.random.RandomState(0)):
        assert KMeans(3, random_state=state).fit(x).inertia_ > 0
    one, two = (KMeans(3, random_state=np.random.RandomState(5)).fit(x) for _ in range(2))
    assert one.inertia_ == two.inertia_
