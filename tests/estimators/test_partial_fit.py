"""Mini-batches: Sculley's rule row by row, scikit-learn's centres, and what is kept."""

import copy

import numpy as np
import pytest
import sklearn.cluster
from scipy import sparse
from sklearn.exceptions import NotFittedError

from kmgpu import KMeans, KMedians, kernels, load_model, save_model
from tests.support import oracles

X = oracles.blobs(300, 3, 4, seed=21)
BATCHES = np.split(X, [60, 61, 180])
WEIGHTS = np.split(np.random.default_rng(3).integers(0, 4, 300).astype(float), [60, 61, 180])


def sculley(batches, centers, weights=None):
    """Algorithm 1 of Sculley (2010), one row after the other: the centres and their counts."""
    centers = np.array(centers, dtype=np.float64)
    counts = np.zeros(len(centers))
    for at, batch in enumerate(batches):
        weight = np.ones(len(batch)) if weights is None else weights[at]
        nearest = oracles.labels(batch, centers, "l2")
        for row, j, w in zip(np.asarray(batch, np.float64), nearest, weight, strict=True):
            if w > 0:
                counts[j] += w
                rate = w / counts[j]
                centers[j] = (1 - rate) * centers[j] + rate * row
    return centers, counts


def one_row_weighs(weights):
    return [weight if weight.any() else weight + 2 for weight in weights]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("d", [3, 40])
def test_every_row_moves_its_centre_by_one_over_its_count(backend, weighted, d):
    x = oracles.blobs(300, d, 4, seed=21, spread=(d / 3) ** 0.5)
    batches, weights = np.split(x, [60, 61, 180]), one_row_weighs(WEIGHTS) if weighted else None
    init = x[[0, 10, 20, 30, 40]]
    model = KMeans(5, init=init)
    for at, batch in enumerate(batches):
        model.partial_fit(backend.asarray(batch), sample_weight=weights[at] if weighted else None)
    centers, counts = sculley(batches, init, weights)
    found = backend.to_numpy(model.cluster_centers_)
    np.testing.assert_allclose(found, centers, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(backend.to_numpy(model.counts_), counts, rtol=1e-14)
    assert model.n_steps_ == 4
    last = batches[-1]
    labels = backend.to_numpy(model.labels_)
    np.testing.assert_array_equal(labels, oracles.labels(last, found, "l2"))
    np.testing.assert_array_equal(labels, backend.to_numpy(model.predict(backend.asarray(last))))
    weight = weights[-1] if weighted else None
    assert model.inertia_ == pytest.approx(oracles.total(last, found, "l2", weight))


@pytest.mark.parametrize("mode", ["fused", "reference"])
def test_the_centres_are_scikit_learns(mode):
    ours = KMeans(4, init=X[:4])
    theirs = sklearn.cluster.MiniBatchKMeans(4, init=X[:4], n_init=1, reassignment_ratio=0)
    with kernels.use(mode):
        for batch, weight in zip(BATCHES, one_row_weighs(WEIGHTS), strict=True):
            ours.partial_fit(batch, sample_weight=weight)
            theirs.partial_fit(batch, sample_weight=weight)
            np.testing.assert_allclose(ours.cluster_centers_, theirs.cluster_centers_, rtol=1e-12)
            np.testing.assert_array_equal(ours.labels_, theirs.labels_)
            assert ours.inertia_ == pytest.approx(theirs.inertia_)
    assert ours.n_steps_ == theirs.n_steps_
    assert ours.n_features_in_ == theirs.n_features_in_


def test_the_attributes_are_those_that_scikit_learns_has():
    theirs = sklearn.cluster.MiniBatchKMeans(4, n_init=1).partial_fit(X)
    ours = KMeans(4).partial_fit(X)
    public = {name for name in vars(theirs) if name.endswith("_")}
    assert public <= set(vars(ours)), public - set(vars(ours))
    assert ours.get_feature_names_out().tolist() == ["kmeans0", "kmeans1", "kmeans2", "kmeans3"]


def test_the_first_batch_seeds_and_the_seed_decides(backend):
    batch = backend.asarray(X[:60])
    one, two = (KMeans(6, random_state=5).partial_fit(batch) for _ in range(2))
    np.testing.assert_array_equal(
        backend.to_numpy(one.cluster_centers_), backend.to_numpy(two.cluster_centers_)
    )
    seeds = KMeans(6, random_state=5, max_iter=1, tol=0).fit(X[:60])
    # from the same seeds, one batch of all rows is one iteration of Lloyd's
    np.testing.assert_allclose(
        backend.to_numpy(one.cluster_centers_), seeds.cluster_centers_, rtol=1e-12
    )


def test_float32_loses_no_step_to_rounding():
    """Far from the origin, a step of 1 / count is far below what float32 can add to a centre."""
    rng = np.random.default_rng(0)
    stream = (1000 + rng.normal(size=(400, 50, 2))).astype(np.float32)
    model = KMeans(1, init=stream[0][:1])
    for batch in stream:
        model.partial_fit(batch)
    mean = stream.reshape(-1, 2).astype(np.float64).mean(axis=0)
    assert model.cluster_centers_.dtype == np.float32
    np.testing.assert_array_equal(model.cluster_centers_[0], mean.astype(np.float32))


def test_a_fit_is_gone_on_from_and_fit_starts_afresh(backend):
    weight = np.arange(180) % 3 + 0.0
    old = KMeans(4, random_state=0).fit(backend.asarray(X[:180]), sample_weight=weight)
    labels, before = backend.to_numpy(old.labels_), backend.to_numpy(old.cluster_centers_)
    counts = np.bincount(labels, weight, minlength=4)
    np.testing.assert_allclose(backend.to_numpy(old.counts_), counts)
    old.partial_fit(backend.asarray(X[180:]))
    nearest = oracles.labels(X[180:], before, "l2")
    arrived = np.bincount(nearest, minlength=4)
    sums = np.stack([X[180:][nearest == j].sum(axis=0) for j in range(4)])
    expected = (counts[:, None] * before + sums) / (counts + arrived)[:, None]
    np.testing.assert_allclose(backend.to_numpy(old.cluster_centers_), expected, rtol=1e-12)
    assert not hasattr(old, "history_")
    assert not hasattr(old, "n_iter_")
    again = old.fit(backend.asarray(X))
    fresh = KMeans(4, random_state=0).fit(backend.asarray(X))
    np.testing.assert_array_equal(backend.to_numpy(again.labels_), backend.to_numpy(fresh.labels_))
    assert set(vars(again)) == set(vars(fresh))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_model_goes_on_after_it_was_saved(backend, tmp_path, dtype):
    batches = [backend.asarray(batch.astype(dtype)) for batch in BATCHES]
    model = KMeans(4, random_state=1)
    for batch in batches[:2]:
        model.partial_fit(batch)
    save_model(model, tmp_path / "m.npz")
    loaded = load_model(tmp_path / "m.npz")
    assert vars(loaded).keys() == vars(model).keys() - {"device_", "labels_"}
    for batch in batches[2:]:
        model.partial_fit(batch)
        loaded.partial_fit(batch)
    assert loaded.n_steps_ == model.n_steps_ == 4
    for name in ("cluster_centers_", "counts_", "labels_"):
        np.testing.assert_array_equal(
            backend.to_numpy(getattr(loaded, name)), backend.to_numpy(getattr(model, name))
        )


def test_a_fit_that_was_saved_goes_on(tmp_path):
    model = KMeans(4, random_state=1).fit(X, sample_weight=np.arange(300) % 4)
    save_model(model, tmp_path / "m.npz")
    loaded = load_model(tmp_path / "m.npz").partial_fit(BATCHES[2])
    np.testing.assert_array_equal(
        loaded.cluster_centers_, model.partial_fit(BATCHES[2]).cluster_centers_
    )


@pytest.mark.parametrize("kind", ["list", "sparse", "frame", "uint8", "columns"])
def test_batches_of_every_kind(kind):
    pandas = pytest.importorskip("pandas")
    x = (10 * np.abs(X)).astype(np.uint8).astype(np.float64)
    made = {
        "list": np.ndarray.tolist,
        "sparse": sparse.csr_matrix,
        "uint8": lambda batch: batch.astype(np.uint8),
        "columns": np.asfortranarray,
        "frame": lambda batch: pandas.DataFrame(batch, columns=["a", "b", "c"]),
    }[kind]
    model = KMeans(3, init=x[:3])
    for batch in np.split(x, [60, 180]):
        model.partial_fit(made(batch))
    centers, counts = sculley(np.split(x, [60, 180]), x[:3])
    np.testing.assert_allclose(model.cluster_centers_, centers, rtol=1e-12)
    np.testing.assert_array_equal(model.counts_, counts)
    assert hasattr(model, "feature_names_in_") == (kind == "frame")


def state(model):
    return copy.deepcopy({k: v for k, v in vars(model).items() if k != "_running"})


@pytest.mark.parametrize(
    ("batch", "weight", "says"),
    [
        (np.ones((5, 2)), None, "X has 2 features.* expecting 3 .*pass batches of 3 columns"),
        (np.where(np.arange(15).reshape(5, 3) == 7, np.nan, 1.0), None, "NaN.*row 2, column 1"),
        (np.ones((5, 3)), [1, 1, -1, 1, 1], r"sample_weight\[2\]"),
        (np.ones((5, 3)), np.ones(4), "sample_weight.shape"),
        (np.full((5, 3), 1e200), None, "scale X"),
    ],
)
def test_bad_batches_change_nothing(batch, weight, says):
    model = KMeans(4, random_state=0).partial_fit(X)
    before, running = state(model), getattr(model, "_running", None)
    with pytest.raises(ValueError, match=says):
        model.partial_fit(batch, sample_weight=weight)
    after = state(model)
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
    assert getattr(model, "_running", None) is running


def test_a_first_batch_of_too_few_rows_is_refused():
    model = KMeans(4)
    with pytest.raises(ValueError, match=r"n_samples=3 .*n_clusters=4\. The first batch"):
        model.partial_fit(X[:3])
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(np.where(X > 0, X, np.nan))
    assert not [name for name in vars(model) if name.endswith("_")]
    with pytest.raises(NotFittedError):
        model.predict(X)
    assert KMeans(4, init=X[:4]).partial_fit(X[7:8]).counts_.sum() == 1


def test_other_names_and_another_number_of_clusters_are_refused():
    pandas = pytest.importorskip("pandas")
    model = KMeans(4).partial_fit(pandas.DataFrame(X, columns=["a", "b", "c"]))
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(pandas.DataFrame(X, columns=["a", "c", "b"]))
    with pytest.raises(ValueError, match=r"n_clusters=5, and there are 4 centres.*n_clusters=4"):
        model.set_params(n_clusters=5).partial_fit(X)


def test_kmedians_says_what_to_do_instead():
    assert not hasattr(KMedians(2), "partial_fit")
    with pytest.raises(AttributeError, match=r"init=old\.cluster_centers_.*RowBlocks"):
        KMedians(2).partial_fit(X)
