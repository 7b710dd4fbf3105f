"""Callbacks see every half-step and may end a fit, which then is consistent."""

import pickle

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from kmgpu import (
    HistoryEntry,
    KMeans,
    KMedians,
    RowBlocks,
    SphericalKMeans,
    kernels,
    load_model,
    save_model,
)
from kmgpu.algorithm import restarts
from tests.support import oracles

BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])
NAME = {KMeans: "l2", KMedians: "l1"}
SHAPES = {3: (900, 3, 20), 40: (400, 40, 12)}


class At:
    """Ends a fit at one half-step; keeps what it was told."""

    def __init__(self, kind, iteration, n_restarts=1):
        self.when, self.left, self.told = (kind, iteration), n_restarts, []

    def __call__(self, entry):
        self.told.append(entry)
        self.left -= entry[:2] == self.when
        return self.left == 0 and entry[:2] == self.when


def data(d):
    n, d, k = SHAPES[d]
    return np.random.default_rng(d).normal(size=(n, d)), k


def consistent(model, x, weight=None, rel=1e-9):
    """Labels, loss and weights are those of the centres, by brute force in float64."""
    centers, labels = np.asarray(model.cluster_centers_, np.float64), np.asarray(model.labels_)
    costs = oracles.costs(x, centers, NAME[type(model)])
    weight = np.ones(len(x)) if weight is None else weight
    np.testing.assert_array_equal(labels, costs.argmin(axis=1))
    assert model.inertia_ == pytest.approx((weight * costs.min(axis=1)).sum(), rel=rel)
    counts = np.bincount(labels, weight, minlength=len(centers))
    np.testing.assert_allclose(model.counts_, counts, rtol=1e-12)


@BOTH
@pytest.mark.parametrize("d", SHAPES)
@pytest.mark.parametrize(("kind", "at"), [("assign", 1), ("refit", 1), ("assign", 3), ("refit", 3)])
def test_a_fit_ends_after_that_half_step(backend, estimator, d, kind, at):
    x, k = data(d)
    callback = At(kind, at)
    model = estimator(k, init=x[:k], tol=0, callback=callback).fit(backend.asarray(x))
    done = at - (kind == "assign")
    expected = oracles.lloyd(x, x[:k], NAME[estimator], max_iter=done)[0] if done else x[:k]
    centers, labels = backend.to_numpy(model.cluster_centers_), backend.to_numpy(model.labels_)
    np.testing.assert_allclose(centers, expected, rtol=1e-9, atol=1e-12)
    costs = oracles.costs(x, centers, NAME[estimator])
    np.testing.assert_array_equal(labels, costs.argmin(axis=1))
    np.testing.assert_array_equal(backend.to_numpy(model.predict(backend.asarray(x))), labels)
    assert model.inertia_ == pytest.approx(costs.min(axis=1).sum(), rel=1e-9)
    counts = backend.to_numpy(model.counts_)
    np.testing.assert_array_equal(counts, np.bincount(labels, minlength=k))
    assert model.converged_ is False
    assert model.n_iter_ == at
    assert model.history_ == tuple(callback.told)
    assert all(isinstance(entry, HistoryEntry) for entry in callback.told)
    assert model.history_[-1][:3] == ("assign", at, model.inertia_)
    assert model.history_[-2][:2] == (kind, at)


@BOTH
@pytest.mark.parametrize("kind", ["assign", "refit"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("algorithm", ["lloyd", "dense", "elkan"])
@pytest.mark.parametrize("d", [3, 40, 200])
def test_every_engine(estimator, d, algorithm, dtype, kind):
    """So small data meet no kernel unless it is forced."""
    x = np.random.default_rng(d).normal(size=(700, d)).astype(dtype)
    weight = np.random.default_rng(0).integers(0, 4, 700) / 2
    for at in (1, 2, 4):
        model = estimator(
            9, init=x[:9], tol=0, algorithm=algorithm, empty_cluster="keep", callback=At(kind, at)
        )
        with kernels.use("fused"):
            model.fit(x, sample_weight=weight)
            np.testing.assert_array_equal(model.predict(x), model.labels_)
        consistent(model, x, weight)
        assert (model.n_iter_, model.converged_) == (at, False)


@BOTH
@pytest.mark.parametrize("kind", ["assign", "refit"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "int64"])
def test_labels_are_those_of_the_rounded_centres(estimator, kind, dtype):
    x, k = data(3)
    x = (100 * x).astype(dtype)
    start = x[:k].astype(np.float64) + 1 / 3
    model = estimator(k, init=start, tol=0, callback=At(kind, 2)).fit(x)
    consistent(model, x.astype(np.float64))
    np.testing.assert_array_equal(model.predict(x), model.labels_)


@BOTH
def test_what_returns_nothing_changes_nothing(backend, estimator):
    x, k = data(3)
    told = []
    plain = estimator(k, random_state=0).fit(backend.asarray(x))
    model = estimator(k, random_state=0, callback=told.append).fit(backend.asarray(x))
    assert tuple(told) == model.history_ == plain.history_
    for name in ("cluster_centers_", "labels_"):
        a, b = (backend.to_numpy(getattr(m, name)) for m in (model, plain))
        np.testing.assert_array_equal(a, b)
    assert model.converged_
    assert model.converged_ is plain.converged_


@BOTH
@pytest.mark.parametrize("kind", ["sparse", "blocks", "dask", "sample"])
@pytest.mark.parametrize("half", ["assign", "refit"])
def test_every_kind_of_rows(estimator, kind, half):
    x, k = data(3)
    x = np.where(np.abs(x) > 0.2, x, 0)
    if kind == "dask":
        pytest.importorskip("dask.array")
    given = {
        "sparse": lambda: sparse.csr_matrix(x),
        "blocks": lambda: RowBlocks(np.array_split(x, 5)),
        "dask": lambda: __import__("dask.array").array.from_array(x, chunks=(200, 3)),
        "sample": lambda: x,
    }[kind]()
    weight = np.random.default_rng(0).integers(0, 3, len(x)) + 0.5
    most = 500 if kind == "sample" else None
    model = estimator(
        k, init=x[:k], tol=0, random_state=0, max_samples=most, callback=At(half, 2)
    ).fit(given, sample_weight=weight)
    consistent(model, x, weight)
    assert (model.n_iter_, model.converged_) == (2, False)
    assert model.history_[-2][:2] == (half, 2)


def test_spherical_kmeans():
    x, k = data(40)
    model = SphericalKMeans(k, random_state=0, tol=0, callback=At("refit", 2)).fit(x)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = unit @ model.cluster_centers_.T
    np.testing.assert_array_equal(model.labels_, cosine.argmax(axis=1))
    assert model.inertia_ == pytest.approx((1 - cosine.max(axis=1)).sum())
    assert (model.n_iter_, model.converged_) == (2, False)


@BOTH
def test_restarts(estimator):
    """The best of those until then; the first here, which has converged."""
    x, k = data(3)
    options = {"init": "random", "n_init": 5, "tol": 0, "random_state": 0}
    first = estimator(k, **options | {"n_init": 1}).fit(x)
    callback = At("assign", 1, n_restarts=2)
    model = estimator(k, **options, callback=callback).fit(x)
    assert sum(entry[:2] == ("assign", 1) for entry in callback.told) == 2 + 1  # its last, too
    assert model.inertia_ == first.inertia_
    assert model.converged_
    np.testing.assert_array_equal(model.labels_, first.labels_)
    assert model.history_ == first.history_


def test_a_true_result_at_the_end_of_a_restart_begins_no_other(capsys):
    x, k = data(3)
    model = KMeans(
        k, init="random", n_init=4, tol=0, random_state=0, verbose=1, callback=at_the_end
    ).fit(x)
    assert capsys.readouterr().out.count("Initialization complete") == 1
    assert model.converged_
    consistent(model, x)


def at_the_end(entry):
    return entry.kind == "assign" and entry.n_changed == 0


def test_one_that_converges_at_that_half_step_has_converged():
    x, k = data(3)
    model = KMeans(k, init=x[:k], tol=1e9, callback=At("refit", 1)).fit(x)
    assert model.converged_ is True


def test_clusters_that_are_empty_for_now_are_no_duplicates():
    x, k = data(3)
    start = np.concatenate([x[: k - 1], np.full((1, 3), 1e3)])
    model = KMeans(k, init=start, callback=At("assign", 1)).fit(x)  # warnings are errors
    assert model.counts_[-1] == 0
    consistent(model, x)


@pytest.mark.parametrize("progress", [False, True])
def test_an_error_leaves_the_estimator_as_it_was(capsys, progress):
    x, k = data(3)

    class Stop(Exception):
        pass

    def broken(entry):
        if entry[:2] == ("refit", 2):
            raise Stop

    model = KMeans(k, random_state=0).fit(x)
    before = dict(vars(model))
    model.set_params(callback=broken, progress=progress, n_clusters=5)
    with pytest.raises(Stop):
        model.fit(x)
    after = dict(vars(model))
    for name in ("callback", "progress", "n_clusters"):
        del before[name], after[name]
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)
    assert ("KMeans" in capsys.readouterr().err) is progress


@BOTH
def test_checkpoints(tmp_path, monkeypatch, estimator):
    """An error leaves the file, from which a fit goes on; a fit that is ended removes it."""
    x, k = data(3)
    monkeypatch.setattr(restarts, "EVERY", 3)
    options = {"init": "random", "tol": 0, "random_state": 3, "n_init": 2}
    whole = estimator(k, **options, checkpoint=tmp_path / "whole").fit(x)
    path = tmp_path / "state"

    def late(entry):
        if entry.iteration == 8:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        estimator(k, **options, checkpoint=path, callback=late).fit(x)
    assert path.exists()
    told = []
    again = estimator(k, **options, checkpoint=path, callback=told.append).fit(x)
    assert told[0].iteration == 7
    np.testing.assert_array_equal(again.labels_, whole.labels_)
    assert again.history_ == whole.history_
    assert not path.exists()
    for kind, at in (("refit", 3), ("refit", 6), ("assign", 7)):  # as it would save, and after
        model = estimator(k, **options, checkpoint=path, callback=At(kind, at)).fit(x)
        consistent(model, x)
        assert model.n_iter_ == at
        assert not path.exists()


def test_it_is_a_parameter_like_others(tmp_path):
    x, k = data(3)
    callback = At("refit", 1)
    model = KMeans(k, callback=callback, random_state=0)
    assert model.get_params()["callback"] is callback
    assert clone(model).callback.when == callback.when
    assert clone(model.set_params(callback=print)).callback is print
    model.set_params(callback=At("refit", 1)).fit(x)
    again = pickle.loads(pickle.dumps(model))
    assert again.callback.told == list(model.history_)
    assert again.fit(x).n_iter_ > 1  # its one stop was spent
    save_model(model, tmp_path / "model.npz")
    assert load_model(tmp_path / "model.npz").callback is None
    scores = cross_val_score(KMeans(3, random_state=0, callback=print_nothing), x, cv=2)
    assert len(scores) == 2


def print_nothing(entry):
    return False


@pytest.mark.parametrize("bad", [3, "stop", [print]])
def test_what_cannot_be_called(bad):
    x, k = data(3)
    with pytest.raises(TypeError, match=r"callback=.* cannot be called; give a function of one"):
        KMeans(k, callback=bad).fit(x)


def test_verbose_says_so(capsys):
    x, k = data(3)
    KMeans(k, init=x[:k], verbose=1, tol=0, callback=At("refit", 2)).fit(x)
    assert capsys.readouterr().out.endswith("Stopped by the callback at iteration 2.\n")
