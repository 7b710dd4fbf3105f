"""scikit-learn's protocol of callbacks, where the installed one has it."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kmgpu import KMeans, KMedians, RowBlocks
from tests.support import oracles

pytest.importorskip("sklearn.callback")

BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])
NAME = {KMeans: "l2", KMedians: "l1"}
X = np.random.default_rng(0).normal(size=(300, 3))


class Recorder:
    """Notes every call; ends a fit after so many iterations."""

    def __init__(self, most=1000, raises=None):
        self.most, self.raises, self.calls, self.given = most, raises, [], []

    def _note(self, what, context):
        self.calls.append((what, context.task_name, context.task_id))
        if what == self.raises:
            raise RuntimeError(what)

    def setup(self, estimator, context):
        self._note("setup", context)

    def teardown(self, estimator, context):
        self._note("teardown", context)

    def on_fit_task_begin(self, estimator, context, *, fitted_estimator=None):
        self._note("begin", context)
        if context.task_name == "iteration":
            self.given.append((context.task_id, "begin", fitted_estimator))

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self._note("end", context)
        self.given.append((context.task_id, context.task_name, fitted_estimator))
        self.last = X, y, metadata
        return context.task_name == "iteration" and context.task_id + 1 == self.most


class Spread(Recorder):
    """One that pipelines hand on."""

    max_propagation_depth = None


@BOTH
def test_tasks_in_their_order(estimator):
    recorder, weight = Recorder(), np.ones(300)
    model = estimator(5, init=X[:5], tol=0).set_callbacks(recorder)
    model.fit(X, "ignored", sample_weight=weight)
    iterations = [(what, "iteration", i) for i in range(model.n_iter_) for what in ("begin", "end")]
    assert recorder.calls == [
        ("setup", "fit", 0), ("begin", "fit", 0), *iterations, ("end", "fit", 0),
        ("teardown", "fit", 0),
    ]  # fmt: skip
    x, y, metadata = recorder.last
    assert x is X
    assert y == "ignored"
    assert metadata["sample_weight"] is weight
    for name in vars(model):
        assert "ctx" not in name
        assert "teardown" not in name


@BOTH
def test_what_it_sees_could_have_been_fitted(backend, estimator):
    recorder = Recorder()
    model = estimator(5, init=backend.asarray(X[:5]), tol=0).set_callbacks(recorder)
    model.fit(backend.asarray(X))
    seen = 0
    for at, what, fitted in recorder.given:
        if what == "fit":
            assert fitted.inertia_ == model.inertia_
            continue
        done = at + (what == "iteration")
        centers = oracles.lloyd(X, X[:5], NAME[estimator], max_iter=done)[0] if done else X[:5]
        found = backend.to_numpy(fitted.cluster_centers_)
        np.testing.assert_allclose(found, centers, rtol=1e-9, atol=1e-12)
        labels = backend.to_numpy(fitted.predict(backend.asarray(X)))
        np.testing.assert_array_equal(labels, oracles.labels(X, found, NAME[estimator]))
        assert fitted.score(backend.asarray(X)) < 0
        seen += 1
    assert seen == 2 * model.n_iter_
    assert fitted is not model


@BOTH
@pytest.mark.parametrize("kind", ["array", "blocks", "dask"])
def test_it_may_end_a_fit(estimator, kind):
    if kind == "dask":
        pytest.importorskip("dask.array")
    given = {
        "array": lambda: X,
        "blocks": lambda: RowBlocks(np.array_split(X, 4)),
        "dask": lambda: __import__("dask.array").array.from_array(X, chunks=(100, 3)),
    }[kind]()
    model = estimator(5, init="random", n_init=3, random_state=0, tol=0)
    model.set_callbacks(Recorder(most=3)).fit(given)
    assert (model.n_iter_, model.converged_) == (3, False)
    labels = oracles.labels(X, model.cluster_centers_, NAME[estimator])
    np.testing.assert_array_equal(np.asarray(model.labels_), labels)


@pytest.mark.parametrize("raises", ["setup", "begin", "end"])
def test_its_errors_leave_the_estimator_as_it_was(raises):
    model = KMeans(3, random_state=0).fit(X)
    recorder = Recorder(raises=raises)
    model.set_callbacks(recorder).set_params(n_clusters=5)
    before = dict(vars(model))
    with pytest.raises(RuntimeError, match=raises):
        model.fit(X)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is before[name] for name in before)
    assert recorder.calls[-1][0] == "teardown"


def test_bad_data_end_in_a_teardown():
    recorder = Recorder()
    with pytest.raises(ValueError, match="NaN"):
        KMeans(3).set_callbacks(recorder).fit(np.full((9, 2), np.nan))
    assert [call[0] for call in recorder.calls] == ["setup", "begin", "teardown"]


def test_in_a_pipeline():
    recorder = Spread()
    pipeline = make_pipeline(StandardScaler(), KMeans(4, random_state=0)).set_callbacks(recorder)
    pipeline.fit(X)
    assert sum(call[:2] == ("end", "iteration") for call in recorder.calls) == pipeline[-1].n_iter_
    assert sum(call[0] == "setup" for call in recorder.calls) == 1
    plain = make_pipeline(StandardScaler(), KMeans(4, random_state=0)).fit(X)
    np.testing.assert_array_equal(pipeline[-1].labels_, plain[-1].labels_)


def test_copies_share_it_and_it_goes_with_the_parameter():
    recorder, told = Recorder(most=2), []
    model = KMeans(5, random_state=0, tol=0, callback=told.append).set_callbacks(recorder)
    copy = clone(model).set_params(callback=told.append).fit(X)
    assert recorder.calls
    assert tuple(told) == copy.history_
    assert (copy.n_iter_, copy.converged_) == (2, False)
    copy.set_params(callback=None).set_callbacks().fit(X)
    assert copy.converged_
    assert not hasattr(pickle.loads(pickle.dumps(copy)), "_skl_callbacks")


def test_both_may_stop_and_both_are_told():
    recorder = Recorder()
    model = KMeans(5, random_state=0, tol=0, callback=lambda step: step.iteration == 2)
    model.set_callbacks(recorder).fit(X)
    assert model.n_iter_ == 2
    begun, ended = ([c for c in recorder.calls if c[0] == what] for what in ("begin", "end"))
    assert len(begun) == len(ended)
