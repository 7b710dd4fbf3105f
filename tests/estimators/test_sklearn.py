"""scikit-learn's conventions, and its own tests of k-means pointed at ours."""

import os
import pickle
import re
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from kmgpu import KMeans, KMedians, kernels
from tests.support import oracles

BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])
NAME = {KMeans: "l2", KMedians: "l1"}
X = oracles.blobs(120, 3, 4, seed=40)
WIDTHS = pytest.mark.parametrize("d", [3, 40, 200])
WIDE = {d: oracles.blobs(120, d, 4, seed=40, spread=(d / 3) ** 0.5) for d in (3, 40, 200)}
MODES = pytest.mark.parametrize("mode", ["fused", "reference"])
# as scikit-learn expects of its own KMeans: seeding draws otherwise for weights than for copies;
# what holds exactly is tested below, the draws in test_seeding.py
WEIGHT_CHECKS = {
    f"check_sample_weight_equivalence_on_{kind}_data": "seeding draws at random"
    for kind in ("dense", "sparse")
}


@BOTH
@MODES
@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_check_estimator(monkeypatch, estimator, mode):
    """So small data meet no kernel unless it is forced; test_array_api.py has other libraries."""
    monkeypatch.delenv("SCIPY_ARRAY_API", raising=False)
    with kernels.use(mode):
        outcomes = check_estimator(
            estimator(), expected_failed_checks=WEIGHT_CHECKS, on_skip=None, on_fail=None
        )
    assert len(outcomes) > 40
    failed = {o["check_name"]: o["exception"] for o in outcomes if o["status"] == "failed"}
    assert not failed


@BOTH
@WIDTHS
@pytest.mark.parametrize("n_clusters", [3, 9])
def test_from_given_centres_weights_equal_repetition(backend, estimator, n_clusters, d):
    weight = np.random.default_rng(0).integers(0, 4, size=120)
    x = WIDE[d]
    options = {"init": x[weight > 0][:n_clusters], "tol": 0, "max_iter": 5}
    once = estimator(n_clusters, **options).fit(backend.asarray(x), sample_weight=weight)
    repeated = np.repeat(x, weight, axis=0)
    often = estimator(n_clusters, **options).fit(backend.asarray(repeated))
    np.testing.assert_array_equal(
        np.repeat(backend.to_numpy(once.labels_), weight), backend.to_numpy(often.labels_)
    )
    np.testing.assert_allclose(
        backend.to_numpy(once.cluster_centers_),
        backend.to_numpy(often.cluster_centers_),
        rtol=0 if estimator is KMedians else 1e-13,
        atol=0 if estimator is KMedians else 1e-13,
    )
    assert once.inertia_ == pytest.approx(often.inertia_, rel=1e-13)
    assert once.n_iter_ == often.n_iter_
    assert once.n_relocated_ == 0  # a relocation takes a row, whatever its weight


@BOTH
@WIDTHS
def test_from_given_centres_zero_weight_equals_absence(backend, estimator, d):
    weight = np.random.default_rng(1).integers(0, 2, size=120)
    x = WIDE[d]
    junk = np.where(weight[:, None] > 0, x, 1e6)
    options = {"init": x[:4], "tol": 1e-3, "max_iter": 5}
    all_rows = estimator(4, **options).fit(backend.asarray(junk), sample_weight=weight)
    present = estimator(4, **options).fit(backend.asarray(x[weight > 0]))
    labels = backend.to_numpy(all_rows.labels_)[weight > 0]
    np.testing.assert_array_equal(labels, backend.to_numpy(present.labels_))
    assert all_rows.inertia_ == pytest.approx(present.inertia_, rel=1e-12)
    assert all_rows.n_iter_ == present.n_iter_


@BOTH
@WIDTHS
def test_pipeline_and_grid_search(estimator, d):
    x = WIDE[d]
    pipeline = make_pipeline(StandardScaler(), estimator(4, random_state=0))
    labels = pipeline.fit_predict(x)
    scaled = StandardScaler().fit_transform(x)
    np.testing.assert_array_equal(labels, estimator(4, random_state=0).fit_predict(scaled))
    search = GridSearchCV(estimator(random_state=0), {"n_clusters": [1, 2, 4]}, cv=3).fit(x)
    assert search.best_params_ == {"n_clusters": 4}
    np.testing.assert_array_equal(search.predict(x), search.best_estimator_.labels_)


@BOTH
def test_clone_and_parameters(estimator):
    model = estimator(3, init=X[:3], tol=0.1, device="cpu", progress=False, empty_cluster="keep")
    copy = clone(model)
    ours, theirs = model.get_params(), copy.get_params()
    np.testing.assert_array_equal(ours.pop("init"), theirs.pop("init"))
    assert ours == theirs
    assert model.set_params(n_clusters=5).n_clusters == 5


@BOTH
def test_pickle(backend, estimator):
    model = estimator(4, random_state=0).fit(X)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.labels_)
    assert again.history_ == model.history_
    if backend.name != "strict":  # its namespace is no module that pickle knows
        there = estimator(4, random_state=0).fit(backend.asarray(X))
        again = pickle.loads(pickle.dumps(there))
        labels = backend.to_numpy(again.predict(backend.asarray(X)))
        np.testing.assert_array_equal(labels, backend.to_numpy(there.labels_))


@BOTH
def test_frames_in_and_out(estimator):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"], index=np.arange(120) + 7)
    model = estimator(4, random_state=0).set_output(transform="pandas").fit(frame)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    names = [f"{estimator.__name__.lower()}{j}" for j in range(4)]
    assert model.get_feature_names_out().tolist() == names
    out = model.transform(frame)
    assert out.columns.tolist() == names
    np.testing.assert_array_equal(out.index, frame.index)
    np.testing.assert_array_equal(out.to_numpy().argmin(axis=1), model.labels_)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["c", "b", "a"]])


@pytest.mark.slow
@BOTH
def test_joblib(estimator):
    models = [estimator(3, random_state=seed) for seed in range(3)]
    fitted = Parallel(n_jobs=2)(delayed(model.fit)(X) for model in models)
    for model, there in zip(models, fitted, strict=True):
        np.testing.assert_array_equal(there.labels_, model.fit(X).labels_)
        assert there.inertia_ == model.inertia_


# other estimators, private helpers of scikit-learn's, and what its functions do on their own
NOT_OURS = (
    "minibatch MiniBatch kmeans_plusplus k_means_function is_same_clustering euclidean_distance "
    "test_inertia test_relocate_empty_clusters test_sample_weight_init test_sample_weight_zero"
)

THEIR_TESTS = """
import sys
import sklearn.cluster
import kmgpu
import kmgpu.kernels

sklearn.cluster.KMeans = kmgpu.KMeans
import pytest
import sklearn.cluster.tests.test_k_means as theirs

assert theirs.KMeans is kmgpu.KMeans
# as a plugin alone: below the root that pytest finds, it would be read a second time
options = ["--noconftest", "-p", "sklearn.conftest", "-p", "no:cacheprovider", "-q"]
options += ["--import-mode=importlib"]
chosen = " and ".join(f"not {name}" for name in sys.argv[1].split())
with kmgpu.kernels.use(sys.argv[2]):
    sys.exit(pytest.main([theirs.__file__, *options, "-k", chosen, "--tb=short"]))
"""


@pytest.mark.slow
@MODES
def test_scikit_learns_own_tests_of_kmeans(request, tmp_path, mode):
    try:
        found = find_spec("sklearn.cluster.tests.test_k_means")
    except ModuleNotFoundError:
        found = None
    if found is None:
        pytest.skip("this scikit-learn was installed without its tests")
    run = subprocess.run(
        [sys.executable, "-c", THEIR_TESTS, NOT_OURS, mode],
        cwd=tmp_path,
        env=_environment(request.config.rootpath),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", run.stdout)[1]) > 80, run.stdout


def _environment(root):
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
