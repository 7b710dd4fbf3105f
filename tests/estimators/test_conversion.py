"""Fitted estimators as scikit-learn's, and what exporters make of them."""

import numpy as np
import pytest
import sklearn.cluster
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier

from kmgpu import KMeans, KMedians, RowBlocks, SphericalKMeans, load_model, save_model
from tests.support import oracles

X = oracles.blobs(300, 5, 4, seed=3)
NEW = oracles.blobs(200, 5, 4, seed=4)


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kmeans_and_its_twin_agree(backend, dtype):
    x, new = X.astype(dtype), NEW.astype(dtype)
    model = KMeans(4, random_state=0, max_iter=50).fit(backend.asarray(x))
    twin = model.to_sklearn()
    assert type(twin) is sklearn.cluster.KMeans
    for name in ("cluster_centers_", "labels_"):
        assert type(getattr(twin, name)) is np.ndarray
        np.testing.assert_array_equal(getattr(twin, name), backend.to_numpy(getattr(model, name)))
    assert (twin.inertia_, twin.n_iter_) == (model.inertia_, model.n_iter_)
    assert twin.n_features_in_ == 5
    given = backend.asarray(new)
    np.testing.assert_array_equal(twin.predict(new), backend.to_numpy(model.predict(given)))
    np.testing.assert_array_equal(twin.predict(x), twin.labels_)
    measured = oracles.costs(new, twin.cluster_centers_, "l2") ** 0.5
    np.testing.assert_allclose(twin.transform(new), measured, rtol=1e-4)
    np.testing.assert_allclose(backend.to_numpy(model.transform(given)), measured, rtol=1e-4)
    assert twin.score(new) == pytest.approx(model.score(given), rel=1e-5)
    assert list(twin.get_feature_names_out()) == list(model.get_feature_names_out())


def test_parameters_are_those_that_scikit_learn_has():
    start = NEW[:4]
    told = {"n_init": 1, "max_iter": 7, "tol": 0.25, "verbose": 0, "random_state": 3}
    twin = KMeans(4, init=start, algorithm="elkan", copy_x=False, **told).fit(X).to_sklearn()
    expected = told | {"n_clusters": 4, "algorithm": "elkan", "copy_x": False}
    found = twin.get_params()
    np.testing.assert_array_equal(found.pop("init"), start)
    assert found == expected
    assert twin.cluster_centers_.flags.owndata
    for given, there in (("greedy", "k-means++"), ("k-means||", "k-means++"), ("random", "random")):
        twin = KMeans(3, init=given, algorithm="dense").fit(X).to_sklearn()
        assert (twin.init, twin.algorithm, twin.n_init) == (there, "lloyd", "auto")
        clone(twin).fit(X)  # scikit-learn checks its parameters here


def test_a_generator_goes_on_there_and_is_not_drawn_from():
    seed = np.random.default_rng(5)
    model = KMeans(3, random_state=seed).fit(X)
    before = seed.bit_generator.state
    model.to_sklearn().fit(X)
    assert seed.bit_generator.state == before


def test_the_twin_is_a_copy():
    model = KMeans(3, random_state=0).fit(X)
    twin = model.to_sklearn()
    twin.cluster_centers_[:] = 0
    twin.labels_[:] = -1
    assert model.cluster_centers_.any()
    assert (model.labels_ >= 0).all()


def test_names_of_features():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcde"))
    for estimator in (KMeans, SphericalKMeans):
        model = estimator(3, random_state=0).fit(frame)
        twin = model.to_sklearn()
        assert list(twin.feature_names_in_) == list("abcde")
        np.testing.assert_array_equal(twin.predict(frame), model.labels_)
        with pytest.raises(ValueError, match="feature names should match"):
            twin.predict(frame[list("bacde")])


def test_spherical_kmeans_is_a_pipeline(backend):
    model = SphericalKMeans(4, init=X[:4], tol=0).fit(backend.asarray(X))
    twin = model.to_sklearn()
    assert [name for name, _ in twin.steps] == ["normalizer", "kmeans"]
    labels = (unit(NEW) @ unit(backend.to_numpy(model.cluster_centers_)).T).argmax(axis=1)
    np.testing.assert_array_equal(twin.predict(NEW), labels)
    given = backend.asarray(NEW)
    np.testing.assert_array_equal(backend.to_numpy(model.predict(given)), labels)
    np.testing.assert_array_equal(twin[-1].labels_, backend.to_numpy(model.labels_))
    there = backend.to_numpy(model.transform(given))
    np.testing.assert_allclose(twin.transform(NEW) ** 2 / 2, there, rtol=1e-9, atol=1e-12)
    assert twin.score(NEW) == pytest.approx(2 * model.score(given))
    assert twin[-1].inertia_ == pytest.approx(-twin.score(X))
    np.testing.assert_allclose(twin[-1].init, unit(X[:4]))


def test_kmedians_has_none_and_the_remedy_works():
    model = KMedians(4, random_state=0).fit(X)
    assert not hasattr(model, "to_sklearn")
    with pytest.raises(AttributeError, match=r"scikit-learn has no .* L1 .*KNeighborsClassifier"):
        model.to_sklearn  # noqa: B018
    twin = KNeighborsClassifier(1, metric="manhattan")
    twin.fit(model.cluster_centers_, range(model.n_clusters))
    np.testing.assert_array_equal(twin.predict(NEW), model.predict(NEW))


def test_only_fitted_models_have_twins():
    with pytest.raises(NotFittedError):
        KMeans(3).to_sklearn()


def test_models_of_batches_of_files_and_of_blocks(tmp_path):
    model = KMeans(3, random_state=0)
    for batch in np.array_split(X, 5):
        model.partial_fit(batch)
    twin = model.to_sklearn()
    assert twin.n_iter_ == 5
    np.testing.assert_array_equal(twin.predict(NEW), model.predict(NEW))
    fitted = KMeans(3, random_state=0).fit(RowBlocks(np.array_split(X, 3)))
    save_model(fitted, tmp_path / "model.npz")
    twin = load_model(tmp_path / "model.npz").to_sklearn()
    np.testing.assert_array_equal(twin.predict(X), fitted.labels_)


def test_lazy_labels_stay_where_they_are():
    lazy = pytest.importorskip("dask.array").from_array(X, chunks=(100, 5))
    model = KMeans(3, random_state=0).fit(lazy)
    twin = model.to_sklearn()
    assert not hasattr(twin, "labels_")
    np.testing.assert_array_equal(twin.predict(X), model.labels_.compute())


@pytest.mark.parametrize("estimator", [KMeans, SphericalKMeans])
def test_onnx(estimator):
    skl2onnx = pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    x, new = X.astype(np.float32), NEW.astype(np.float32)
    model = estimator(4, random_state=0).fit(x)
    exported = skl2onnx.to_onnx(model.to_sklearn(), x[:1])
    session = runtime.InferenceSession(
        exported.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    labels, scores = session.run(None, {session.get_inputs()[0].name: new})
    np.testing.assert_array_equal(labels, model.predict(new))
    measured = model.transform(new)
    if estimator is SphericalKMeans:
        measured = (2 * measured) ** 0.5
    np.testing.assert_allclose(scores, measured, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("estimator", [KMeans, SphericalKMeans])
def test_skops(estimator):
    io = pytest.importorskip("skops.io")
    model = estimator(4, random_state=0).fit(X)
    file = io.dumps(model.to_sklearn())
    assert io.get_untrusted_types(data=file) == []
    np.testing.assert_array_equal(io.loads(file).predict(NEW), model.predict(NEW))
