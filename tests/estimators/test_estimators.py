"""KMeans and KMedians."""

import inspect

import numpy as np
import pytest
import sklearn.cluster
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from kmgpu import KMeans, KMedians
from tests.support import oracles

BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])
NAME = {KMeans: "l2", KMedians: "l1"}
X = oracles.blobs(150, 3, 4, seed=12)


@BOTH
@pytest.mark.parametrize("init", ["k-means++", "random", "array", "callable"])
def test_a_fit_is_a_local_optimum_reached_by_alternation(backend, estimator, init):
    given = {"array": X[:4], "callable": lambda x, k, random_state: x[:k, ...]}.get(init, init)
    model = estimator(4, init=given, random_state=0, tol=0).fit(backend.asarray(X))
    centers, labels = backend.to_numpy(model.cluster_centers_), backend.to_numpy(model.labels_)
    again = oracles.lloyd(X, centers, NAME[estimator], max_iter=1)
    np.testing.assert_allclose(again[0], centers, rtol=1e-12)
    np.testing.assert_array_equal(again[1], labels)
    assert model.inertia_ == pytest.approx(again[2], rel=1e-12)
    assert model.converged_
    if init in ("array", "callable"):
        assert model.inertia_ == pytest.approx(oracles.lloyd(X, X[:4], NAME[estimator])[2])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("tol", [0, 1e-4, 0.05])
def test_kmeans_from_given_centres_is_scikit_learns(weighted, tol):
    weight = np.random.default_rng(0).random(150) if weighted else None
    options = {"init": X[:6], "n_init": 1, "tol": tol}
    ours = KMeans(6, **options).fit(X, sample_weight=weight)
    theirs = sklearn.cluster.KMeans(6, **options).fit(X, sample_weight=weight)
    np.testing.assert_array_equal(ours.labels_, theirs.labels_)
    np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-12)
    assert ours.inertia_ == pytest.approx(theirs.inertia_)
    assert ours.n_iter_ == theirs.n_iter_
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), rtol=1e-9)


def test_the_parameters_are_scikit_learns_and_more():
    theirs = inspect.signature(sklearn.cluster.KMeans).parameters
    for estimator in (KMeans, KMedians):
        ours = inspect.signature(estimator).parameters
        for name, parameter in theirs.items():
            assert ours[name].default == parameter.default, name
            assert ours[name].kind == parameter.kind, name
        assert set(ours) - set(theirs) == {
            "empty_cluster", "device", "memory_budget", "progress", "max_samples", "checkpoint",
            "callback",
        }  # fmt: skip


@BOTH
@pytest.mark.parametrize("kind", ["list", "rows", "columns", "sparse", "frame"])
def test_host_data_of_every_kind(estimator, kind):
    x = np.where(X > 1, X, 0)
    if kind == "frame":
        pandas = pytest.importorskip("pandas")
        given = pandas.DataFrame(x, columns=["a", "b", "c"])
    else:
        made = {"list": list, "rows": np.array, "columns": np.asfortranarray}
        given = made.get(kind, sparse.csr_matrix)(x)
    model = estimator(4, init=x[:4]).fit(given)
    expected = oracles.lloyd(x, x[:4], NAME[estimator])
    np.testing.assert_array_equal(model.labels_, expected[1])
    assert model.inertia_ == pytest.approx(expected[2])
    np.testing.assert_array_equal(model.predict(given), expected[1])
    measured = oracles.costs(x, model.cluster_centers_, NAME[estimator])
    measured = np.sqrt(measured) if estimator is KMeans else measured
    np.testing.assert_allclose(model.transform(given), measured, rtol=1e-9, atol=1e-9)
    assert hasattr(model, "feature_names_in_") == (kind == "frame")


@BOTH
def test_the_short_forms(backend, estimator):
    x = backend.asarray(X)
    weight = np.arange(150.0)
    model = estimator(4, random_state=1).fit(x, sample_weight=weight)
    labels = estimator(4, random_state=1).fit_predict(x, sample_weight=weight)
    np.testing.assert_array_equal(backend.to_numpy(labels), backend.to_numpy(model.labels_))
    measured = estimator(4, random_state=1).fit_transform(x, sample_weight=weight)
    centers = backend.to_numpy(model.cluster_centers_)
    expected = oracles.costs(X, centers, NAME[estimator])
    expected = np.sqrt(expected) if estimator is KMeans else expected
    np.testing.assert_allclose(backend.to_numpy(measured), expected, rtol=1e-9)
    assert model.score(x, sample_weight=weight) == pytest.approx(-model.inertia_, rel=1e-12)
    assert model.score(x) == pytest.approx(-oracles.total(X, centers, NAME[estimator]))


@BOTH
def test_new_rows_are_not_the_old_ones(backend, estimator):
    model = estimator(4, random_state=0).fit(backend.asarray(X[:100]))
    new = 3 * X[100:]
    found = backend.to_numpy(model.predict(backend.asarray(new)))
    centers = backend.to_numpy(model.cluster_centers_)
    np.testing.assert_array_equal(found, oracles.labels(new, centers, NAME[estimator]))


@BOTH
def test_only_a_fitted_model_predicts(estimator):
    for method in ("predict", "transform", "score"):
        with pytest.raises(NotFittedError):
            getattr(estimator(2), method)(X)


@pytest.mark.parametrize(
    ("init", "n_init", "runs"),
    [("k-means++", "auto", 1), ("random", "auto", 10), ("random", 3, 3), (X[:4], "auto", 1)],
)
def test_n_init(capsys, init, n_init, runs):
    KMeans(4, init=init, n_init=n_init, verbose=1, random_state=0).fit(X)
    assert capsys.readouterr().out.count("Initialization complete") == runs


def test_many_restarts_find_no_worse_a_clustering():
    once = KMedians(8, random_state=0, init="random", n_init=1).fit(X)
    often = KMedians(8, random_state=0, init="random", n_init=10).fit(X)
    assert often.inertia_ < once.inertia_


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"init": X[:2], "n_init": 5}, "performing only one init in KMeans instead of n_init=5"),
        ({"n_clusters": 1, "algorithm": "elkan"}, "doesn't make sense for a single cluster"),
    ],
)
def test_warnings_name_the_line_of_the_user(parameters, message):
    with pytest.warns(RuntimeWarning, match=message) as caught:
        KMeans(**{"n_clusters": 2} | parameters).fit(X)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("algorithm", ["lloyd", "elkan", "auto", "dense"])
def test_algorithm_changes_nothing(algorithm):
    model = KMeans(4, random_state=0, algorithm=algorithm).fit(X)
    np.testing.assert_array_equal(model.labels_, KMeans(4, random_state=0).fit(X).labels_)


@BOTH
def test_fewer_distinct_points_than_clusters_warns_and_ends(backend, estimator):
    x = np.repeat([[1.0, 2], [3, 4]], 10, axis=0)
    message = r"Number of distinct clusters \(2\) found smaller than n_clusters \(5\)"
    with pytest.warns(ConvergenceWarning, match=message) as caught:
        model = estimator(5, random_state=0).fit(backend.asarray(x))
    assert caught[0].filename == __file__
    assert model.inertia_ == 0
    assert model.n_iter_ <= 2
    assert model.cluster_centers_.shape == (5, 2)
    assert len(np.unique(backend.to_numpy(model.labels_))) == 2


@BOTH
@pytest.mark.parametrize("empty_cluster", ["farthest", "keep", "error"])
def test_empty_clusters(backend, estimator, empty_cluster):
    start = np.concatenate([X[:3], np.full((1, 3), 1e3)])
    model = estimator(4, init=start, empty_cluster=empty_cluster)
    if empty_cluster == "error":
        with pytest.raises(ValueError, match=r"empty_cluster='error': cluster\(s\) \[3\]"):
            model.fit(backend.asarray(X))
    elif empty_cluster == "farthest":
        model.fit(backend.asarray(X))
        assert model.n_relocated_ == 1
        assert (np.bincount(backend.to_numpy(model.labels_), minlength=4) > 0).all()
    else:
        with pytest.warns(ConvergenceWarning, match=r"clusters \(3\)"):
            model.fit(backend.asarray(X))
        assert model.n_relocated_ == 0
        np.testing.assert_array_equal(backend.to_numpy(model.cluster_centers_)[3], 1e3)


@BOTH
def test_history(backend, estimator):
    model = estimator(4, random_state=3).fit(backend.asarray(X))
    assert [entry.kind for entry in model.history_[:2]] == ["assign", "refit"]
    assert model.history_[-1].loss == model.inertia_
    assert model.history_[-1].iteration == model.n_iter_
    assert model.history_[0].n_changed == 150
    assert estimator(4, random_state=3, max_iter=1).fit(X).converged_ is False


@BOTH
def test_progress(capsys, estimator):
    quiet = estimator(4, random_state=0).fit(X)
    assert capsys.readouterr() == ("", "")
    shown = estimator(4, random_state=0, progress=True).fit(X)
    assert estimator.__name__ in capsys.readouterr().err
    np.testing.assert_array_equal(shown.labels_, quiet.labels_)
    assert shown.history_ == quiet.history_


@BOTH
def test_the_budget_of_memory_changes_no_result(backend, estimator):
    x = backend.asarray(oracles.blobs(3000, 8, 6, seed=2).astype(np.float32))
    free = estimator(6, random_state=0, max_iter=4).fit(x)
    tight = estimator(6, random_state=0, max_iter=4, memory_budget=1 << 16).fit(x)
    assert tight.inertia_ == pytest.approx(free.inertia_, rel=1e-6)
    agree = backend.to_numpy(tight.labels_) == backend.to_numpy(free.labels_)
    assert agree.mean() > 0.999
