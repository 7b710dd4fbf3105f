"""Contracts 7, 8 and 9: memory, the input's layout and bytes, and where results are."""

import tracemalloc

import numpy as np
import pytest

from kmgpu import KMeans, KMedians, lloyd
from kmgpu.backend.arrays import place_of
from tests.support import oracles

BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])
NAME = {KMeans: "l2", KMedians: "l1"}
X = oracles.blobs(200, 3, 5, seed=20, spread=2)
MIB = 1 << 20


def peak_of(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def fit_and_use(estimator, x, k):
    model = estimator(k, init=x[:k].astype(float), max_iter=2, memory_budget=MIB, tol=0).fit(x)
    model.predict(x)
    model.score(x)


@BOTH
def test_contract_07_no_samples_by_clusters_array(estimator):
    """40000 x 200 float32 would be 32 MB; per-row work arrays take a few numbers a row."""
    x = np.random.default_rng(0).standard_normal((40_000, 2)).astype(np.float32)
    fit_and_use(estimator, x[:300], 20)
    assert peak_of(lambda: fit_and_use(estimator, x, 200)) < 8 * MIB


@BOTH
@pytest.mark.parametrize(("layout", "dtype"), [("rows", "float32"), ("columns", "uint8")])
def test_contract_07_the_input_is_not_copied(estimator, layout, dtype):
    """16 MB of float32; 4 MB of integers, which would be 32 MB converted."""
    shape = (20_000, 200)
    x = np.random.default_rng(0).integers(0, 255, size=shape, dtype=np.uint8).astype(dtype)
    x = np.asfortranarray(x) if layout == "columns" else x
    fit_and_use(estimator, x, 2)  # compiles whatever it uses
    assert peak_of(lambda: fit_and_use(estimator, x, 2)) < 6 * MIB


@BOTH
def test_contract_07_seeding_keeps_within_its_blocks(estimator):
    x = np.random.default_rng(0).standard_normal((40_000, 16)).astype(np.float32)
    model = estimator(64, random_state=0, max_iter=1, memory_budget=MIB)
    model.fit(x)  # what loading and compiling kernels takes is no array of the fit
    assert peak_of(lambda: model.fit(x)) < 8 * MIB


@BOTH
@pytest.mark.parametrize("budget", [2 * MIB, 8 * MIB])
def test_contract_07_few_rows_of_many_features(estimator, budget):
    """16 MB of float32, 800 kB of centres; blocks of a fixed number of rows would be 10 MB each."""
    x = np.random.default_rng(0).standard_normal((400, 10_000)).astype(np.float32)
    model = estimator(10, random_state=0, max_iter=3, memory_budget=budget)
    model.fit(x)
    assert peak_of(lambda: model.fit(x)) < budget + 12 * 800_000


LAYOUTS = {
    "columns": np.asfortranarray,
    "every other": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "unaligned": lambda x: np.frombuffer(b"0" + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
}


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_contract_08_any_strides_and_never_written_to(estimator, layout, dtype):
    plain = (X * 10).astype(dtype)
    x = LAYOUTS[layout](plain)
    x.flags.writeable = False
    before = x.tobytes()
    weight = np.arange(200.0)
    weight.flags.writeable = False
    start = X[:5] * 10
    start.flags.writeable = False
    model = estimator(5, init=start).fit(x, sample_weight=weight)
    assert x.tobytes() == before
    expected = estimator(5, init=start).fit(plain, sample_weight=weight)
    np.testing.assert_array_equal(model.labels_, expected.labels_)
    np.testing.assert_allclose(model.cluster_centers_, expected.cluster_centers_, rtol=1e-6)
    np.testing.assert_array_equal(model.predict(x), expected.labels_)
    np.testing.assert_allclose(model.transform(x), expected.transform(plain), rtol=1e-4)


@BOTH
def test_contract_08_no_backend_writes_to_its_input(backend, estimator):
    given = backend.asarray(X), backend.asarray(np.arange(200.0)), backend.asarray(X[:5] + 9)
    before = [backend.to_numpy(array).copy() for array in given]
    x, weight, start = given
    model = estimator(5, init=start).fit(x, sample_weight=weight)
    model.predict(x), model.transform(x), model.score(x, sample_weight=weight)
    list(lloyd(x, start, NAME[estimator], sample_weight=weight))
    for array, copy in zip(given, before, strict=True):
        assert backend.to_numpy(array).tobytes() == copy.tobytes()


@BOTH
@pytest.mark.parametrize("device", [None, "cpu", "auto"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_contract_09_out_comes_what_went_in(backend, estimator, device, dtype):
    x = backend.asarray((X * 9 + 120).clip(0, 255).astype(dtype))
    model = estimator(4, random_state=0, device=device).fit(x)
    arrays = {
        "cluster_centers_": model.cluster_centers_,
        "labels_": model.labels_,
        "predict": model.predict(x),
        "transform": model.transform(x),
        "fit_predict": estimator(4, random_state=0, device=device).fit_predict(x),
    }
    for name, array in arrays.items():
        assert place_of(array) == place_of(x), name
    floating = getattr(backend.xp, "float32" if dtype == "float32" else "float64")
    assert model.cluster_centers_.dtype == arrays["transform"].dtype == floating
    assert model.labels_.dtype == arrays["predict"].dtype == backend.xp.int32
    assert type(model.inertia_) is float
    assert type(model.score(x)) is float


@BOTH
def test_contract_09_a_model_predicts_on_arrays_of_another_library(backend, estimator):
    model = estimator(4, random_state=0).fit(backend.asarray(X))
    on_host = model.predict(X)
    assert isinstance(on_host, np.ndarray)
    np.testing.assert_array_equal(on_host, backend.to_numpy(model.labels_))
    host_model = estimator(4, random_state=0).fit(X)
    labels = host_model.predict(backend.asarray(X))
    assert place_of(labels) == place_of(backend.asarray(X))
    np.testing.assert_array_equal(backend.to_numpy(labels), host_model.labels_)
