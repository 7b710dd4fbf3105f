"""What users of dask-ml's KMeans rely on holds here, beside scikit-learn's estimator.

These are the public behaviours that dask-ml (tests/test_kmeans.py) tests, in tests of our own. Left
out: `check_estimator`, which `test_sklearn.py` runs; `row_norms` and `k_init`, functions of its
module (that bad initialisations are refused is tested through the estimator); that frames of Dask
are refused, as they are fitted here (`test_dask.py`); the dtype of `inertia_`, a float here.
"""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans as Reference

from kmgpu import KMeans

CENTERS = np.array([[0.0, 0, 0], [20, 0, 5], [0, 20, -5]])
rng = np.random.default_rng(3)
BLOBS = CENTERS[rng.integers(0, 3, 900)] + rng.normal(size=(900, 3))
LAZY = da.from_array(BLOBS, chunks=(250, 3))


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="sync"):
        yield


def by_first(centers):
    return np.argsort(np.asarray(centers)[:, 1] - np.asarray(centers)[:, 0])


def test_more_clusters_than_blobs_and_few_rows():
    model = KMeans(random_state=0).fit(da.random.default_rng(0).uniform(size=(20, 2), chunks=10))
    assert model.cluster_centers_.shape == (8, 2)
    assert set(model.labels_.compute()) == set(range(8))


@pytest.mark.parametrize("make", [np.asarray, lambda x: da.from_array(x, chunks=-1)])
@pytest.mark.parametrize("x", [np.empty((0, 1)), np.empty((1, 0)), np.ones((20, 2), np.complex64)])
def test_what_cannot_be_fitted(make, x):
    with pytest.raises(ValueError, match=r"minimum of 1|Complex data"):
        KMeans().fit(make(x))


def test_the_same_clusters_as_scikit_learn():
    ours = KMeans(3, random_state=0, n_init=3).fit(LAZY)
    theirs = Reference(3, random_state=0, n_init=3).fit(BLOBS)
    public = {name for name in vars(theirs) if name.endswith("_")}
    assert public <= {name for name in vars(ours) if name.endswith("_")}
    assert ours.inertia_ == pytest.approx(theirs.inertia_, rel=1e-9)
    own, other = by_first(ours.cluster_centers_), by_first(theirs.cluster_centers_)
    np.testing.assert_allclose(ours.cluster_centers_[own], theirs.cluster_centers_[other])
    np.testing.assert_array_equal(np.argsort(own)[ours.labels_], np.argsort(other)[theirs.labels_])
    np.testing.assert_allclose(ours.transform(LAZY)[:, own], theirs.transform(BLOBS)[:, other])
    np.testing.assert_array_equal(ours.predict(LAZY), ours.labels_)
    assert ours.n_iter_ >= 1


@pytest.mark.parametrize("init", ["given", "k-means++", "k-means||", "random"])
def test_every_initialisation_ends_where_scikit_learn_does(init):
    given = BLOBS[[0, 300, 600]] if init == "given" else init
    state = np.random.RandomState(0)
    n_init = 1 if init == "given" else 4
    model = KMeans(3, init=given, random_state=state, n_init=n_init).fit(LAZY)
    peer = Reference(3, random_state=0, n_init=10).fit(BLOBS)
    assert model.inertia_ == pytest.approx(peer.inertia_, abs=1e-4)
    assert model.init is given


@pytest.mark.parametrize("init", [BLOBS[:2], BLOBS[:3, :2], "nearest", 2])
def test_an_initialisation_that_cannot_be(init):
    with pytest.raises((ValueError, TypeError), match="init"):
        KMeans(3, init=init).fit(LAZY)


@pytest.mark.parametrize(
    "x",
    [
        BLOBS,
        LAZY,
        pd.DataFrame(BLOBS, columns=list("abc")),
        dd.from_pandas(pd.DataFrame(BLOBS, columns=list("abc")), npartitions=2),
        LAZY[LAZY[:, 0] > -np.inf],  # of unknown lengths
        da.concatenate([LAZY[:0], LAZY]),  # with an empty chunk
    ],
)
def test_every_kind_of_table(x):
    model = KMeans(3, random_state=0).fit(x)
    lazy = hasattr(x, "dask")
    assert isinstance(model.labels_, da.Array) == lazy
    assert isinstance(model.transform(x), da.Array) == lazy
    assert isinstance(model.cluster_centers_, np.ndarray)
    assert np.asarray(model.transform(x)).shape == (900, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_is_refused(bad):
    with pytest.raises(ValueError, match="row 7 of chunk 0"):
        KMeans(3).fit(da.where(da.arange(900, chunks=250)[:, None] == 7, bad, LAZY))


@pytest.mark.parametrize("fitted", [np.float32, np.float64, np.int32, np.int64])
@pytest.mark.parametrize("asked", [np.float32, np.float64])
def test_dtypes_are_those_of_an_array_in_memory(fitted, asked):
    model = KMeans(3, random_state=0).fit(LAZY.astype(fitted))
    memory = KMeans(3, random_state=0).fit(BLOBS.astype(fitted))
    assert model.cluster_centers_.dtype == memory.cluster_centers_.dtype
    assert isinstance(model.inertia_, float)
    assert model.labels_.dtype == memory.labels_.dtype == model.labels_.compute().dtype
    found = model.transform(LAZY.astype(asked))
    assert found.dtype == found.compute().dtype == memory.transform(BLOBS.astype(asked)).dtype
