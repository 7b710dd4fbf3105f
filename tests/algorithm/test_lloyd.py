"""The loop: what it yields, when it stops, and what it does with empty clusters."""

import dataclasses

import numpy as np
import pytest
import sklearn.cluster

from kmgpu import lloyd
from tests.support import oracles

BOTH = pytest.mark.parametrize("loss", ["l2", "l1"])
X = oracles.blobs(90, 3, 5, seed=8, spread=2)
START = X[:5]


def steps_of(backend, x, start, loss, **options):
    if options.get("sample_weight") is not None:
        options["sample_weight"] = backend.asarray(np.asarray(options["sample_weight"], float))
    return list(lloyd(backend.asarray(x), backend.asarray(start), loss, **options))


@BOTH
@pytest.mark.parametrize("weighted", [False, True])
def test_the_result_is_that_of_plain_alternation(backend, loss, weighted):
    weight = np.random.default_rng(0).integers(0, 4, size=len(X)) if weighted else None
    last = steps_of(backend, X, START, loss, sample_weight=weight)[-1]
    centers, labels, value = oracles.lloyd(X, START, loss, weight)
    np.testing.assert_allclose(backend.to_numpy(last.centers), centers, rtol=1e-12)
    np.testing.assert_array_equal(backend.to_numpy(last.labels), labels)
    assert last.loss == pytest.approx(value, rel=1e-12)


def test_the_result_is_scikit_learns():
    theirs = sklearn.cluster.KMeans(5, init=START, n_init=1, tol=0).fit(X)
    last = list(lloyd(X, START))[-1]
    np.testing.assert_array_equal(last.labels, theirs.labels_)
    np.testing.assert_allclose(last.centers, theirs.cluster_centers_, rtol=1e-12)
    assert last.iteration == theirs.n_iter_


@BOTH
def test_the_sequence_of_half_steps(backend, loss):
    steps = steps_of(backend, X, START, loss)
    n = steps[-1].iteration
    kinds = ["init"] + n * ["assign", "refit"]
    kinds[-1:] = []  # the last refit would have moved nothing
    assert [step.kind for step in steps] == kinds
    assert [step.iteration for step in steps] == [0] + [i // 2 + 1 for i in range(2 * n - 1)]
    assert [step.stop for step in steps] == [None] * (len(steps) - 1) + ["labels"]
    init, first = steps[:2]
    assert init.labels is None
    assert init.loss is None
    assert first.n_changed == len(X)
    previous = None
    for step in steps[1:]:
        centers, labels = backend.to_numpy(step.centers), backend.to_numpy(step.labels)
        cost = oracles.costs(X, centers, loss)[np.arange(len(X)), labels]
        assert step.loss == pytest.approx(cost.sum(), rel=1e-12)
        if step.kind == "assign":
            np.testing.assert_array_equal(labels, oracles.labels(X, centers, loss))
            if previous is not None:
                assert step.n_changed == (labels != previous).sum()
            previous, before = labels, centers
        else:
            np.testing.assert_array_equal(labels, previous)
            expected = oracles.centers(X, labels, before, loss)
            np.testing.assert_allclose(centers, expected, rtol=1e-12)
            moved = oracles.costs(expected, before, loss).diagonal().sum()
            assert step.shift == pytest.approx(moved, rel=1e-9)


@BOTH
def test_rows_of_zero_weight_are_not_counted_as_changed(backend, loss):
    weight = np.arange(len(X)) % 3.0
    previous = None
    for step in steps_of(backend, X, START, loss, sample_weight=weight):
        if step.kind == "assign":
            labels = backend.to_numpy(step.labels)
            moved = np.ones(len(X), bool) if previous is None else labels != previous
            assert step.n_changed == (moved & (weight > 0)).sum()
            previous = labels


@BOTH
@pytest.mark.parametrize(("n_features", "n_clusters"), [(2, 3), (12, 10), (40, 25)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_records_own_their_arrays(backend, loss, n_features, n_clusters, dtype):
    x = oracles.blobs(150, n_features, n_clusters, seed=3).astype(dtype)
    kept, copies = [], []
    for step in lloyd(backend.asarray(x), x[:n_clusters], loss):
        arrays = [step.centers] + ([] if step.labels is None else [step.labels])
        kept += arrays
        copies += [backend.to_numpy(array).copy() for array in arrays]
    assert len(kept) > 6
    for array, copy in zip(kept, copies, strict=True):
        np.testing.assert_array_equal(backend.to_numpy(array), copy)


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_the_last_record_holds_what_users_get(backend, loss, dtype):
    x = (X * 7 + 100).astype(dtype)
    last = steps_of(backend, x, x[:5], loss)[-1]
    computed = "float32" if dtype == "float32" else "float64"
    assert last.centers.dtype == getattr(backend.xp, computed)
    assert last.labels.dtype == backend.xp.int32
    centers = backend.to_numpy(last.centers)
    assert last.loss == pytest.approx(oracles.total(x, centers, loss), rel=1e-12)
    oracles.assert_nearest(backend.to_numpy(last.labels), x, centers, loss, 1e-6)


@BOTH
@pytest.mark.parametrize("max_iter", [1, 2])
def test_max_iter(backend, loss, max_iter):
    last = steps_of(backend, X, START, loss, max_iter=max_iter)[-1]
    assert (last.kind, last.iteration, last.stop) == ("assign", max_iter, "max_iter")
    centers, labels, value = oracles.lloyd(X, START, loss, max_iter=max_iter)
    np.testing.assert_allclose(backend.to_numpy(last.centers), centers, rtol=1e-12)
    np.testing.assert_array_equal(backend.to_numpy(last.labels), labels)
    assert last.loss == pytest.approx(value, rel=1e-12)


@BOTH
def test_tol_stops_at_the_first_small_shift(backend, loss):
    shifts = [s.shift for s in steps_of(backend, X, START, loss) if s.kind == "refit"]
    assert len(shifts) > 2
    small = sorted(shifts)[1]
    at = next(i for i, shift in enumerate(shifts) if shift <= small)
    steps = steps_of(backend, X, START, loss, tol=small)
    assert (steps[-1].stop, steps[-1].iteration) == ("shift", at + 1)


def stranded(loss):
    """Rows, centres of which the last two get no row, and the rows that cost most."""
    x = np.array([[0.0, 0], [1, 0], [9, 0], [10, 0], [30, 0], [0, 1]])
    start = np.array([[0.0, 0], [9.5, 0], [500, 500], [-500, 0]])
    return x, start, np.argsort(-oracles.costs(x, start, loss).min(axis=1), kind="stable")


@BOTH
def test_farthest_gives_empty_clusters_the_costliest_rows(backend, loss):
    x, start, costliest = stranded(loss)
    steps = steps_of(backend, x, start, loss)
    refit = steps[2]
    assert refit.n_relocated == 2
    labels = backend.to_numpy(refit.labels)
    assert labels[costliest[0]] == 2
    assert labels[costliest[1]] == 3
    np.testing.assert_array_equal(backend.to_numpy(refit.centers)[2], x[costliest[0]])
    assert steps[-1].loss <= min(step.loss for step in steps[1:])
    assert len(np.unique(backend.to_numpy(steps[-1].labels))) == 4


@BOTH
@pytest.mark.parametrize("n_features", [3, 40])
@pytest.mark.parametrize("weighted", [False, True])
def test_changes_are_counted_from_the_last_assignment(backend, loss, n_features, weighted):
    """A row that was moved into an empty cluster in between is compared as it was assigned."""
    x = oracles.blobs(120, n_features, 4, seed=2, spread=2)
    start = np.concatenate([x[:3], np.full((2, n_features), 1e4)])
    weight = np.arange(120) % 3 + 1.0 if weighted else None
    previous, moved = None, 0
    for step in steps_of(backend, x, start, loss, sample_weight=weight):
        if step.kind == "assign":
            labels = backend.to_numpy(step.labels).copy()
            if previous is not None:
                assert step.n_changed == (labels != previous).sum()
            previous = labels
        moved += step.n_relocated
    assert moved == 2


@BOTH
def test_farthest_goes_by_weighted_cost_and_empties_no_cluster(backend, loss):
    x = np.array([[0.0, 0], [1, 0], [9, 0], [30, 0]])
    start = np.array([[0.0, 0], [28, 0], [900, 0]])
    weight = [1, 100, 1, 60]  # the last row costs most, but its cluster has no other
    refit = steps_of(backend, x, start, loss, sample_weight=weight)[2]
    np.testing.assert_array_equal(backend.to_numpy(refit.labels), [0, 2, 0, 1])


@BOTH
def test_keep_leaves_empty_clusters_where_they_are(backend, loss):
    x, start, _ = stranded(loss)
    steps = steps_of(backend, x, start, loss, empty_cluster="keep")
    np.testing.assert_array_equal(backend.to_numpy(steps[-1].centers)[2:], start[2:])
    assert sum(step.n_relocated for step in steps) == 0
    assert steps[-1].loss == pytest.approx(oracles.lloyd(x, start, loss)[2])


@BOTH
def test_error_names_the_empty_clusters(backend, loss):
    x, start, _ = stranded(loss)
    with pytest.raises(ValueError, match=r"empty_cluster='error': cluster\(s\) \[2, 3\]"):
        steps_of(backend, x, start, loss, empty_cluster="error")


@BOTH
def test_nothing_to_relocate_when_every_row_sits_on_its_centre(backend, loss):
    x = np.repeat([[1.0, 2], [3, 4]], 5, axis=0)
    steps = steps_of(backend, x, np.array([[1.0, 2], [3, 4], [3, 4]]), loss)
    assert steps[-1].iteration <= 2
    assert steps[-1].loss == 0
    assert sum(step.n_relocated for step in steps) == 0


def test_costs_beyond_the_floats_are_an_error(backend):
    x = np.array([[1e200], [-1e200], [0.0]])
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(ValueError, match=r"X has values too large: .*Scale X down"),
    ):
        steps_of(backend, x, x[1:] / 1.5, "l2")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "l3"}, "loss='l3' is not known"),
        ({"empty_cluster": "drop"}, "empty_cluster='drop' is not known"),
        ({"init": X[:2, :2]}, "does not match the number of features"),
        ({"init": X[0]}, "The shape of the initial centers"),
        ({"x": X[:3]}, "n_samples=3 should be >= n_clusters=5"),
        ({"sample_weight": np.ones(3)}, "sample_weight.shape"),
    ],
)
def test_bad_arguments_are_refused_before_the_first_step(options, message):
    arguments = {"x": X, "init": START, "loss": "l2"} | options
    with pytest.raises(ValueError, match=message):
        lloyd(**arguments)


@pytest.mark.only("strict")
def test_the_waits_of_a_step_do_not_grow_with_the_data(backend):
    """Each conversion to a Python number is a place where a GPU program waits."""
    from tests.support.envelope import cupy_envelope

    with cupy_envelope() as waits:
        per_step = []
        for step in lloyd(backend.asarray(X), backend.asarray(START), memory_budget=1 << 16):
            per_step.append((step.kind, len(waits)))
            waits.clear()
    assert max(count for kind, count in per_step[1:-1]) <= 3, per_step


def test_half_steps_are_frozen():
    step = next(lloyd(X, START))
    with pytest.raises(dataclasses.FrozenInstanceError):
        step.loss = 0
