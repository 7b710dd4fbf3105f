"""Tables of clusters and their nearest rows, against plain loops."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from kmgpu import KMeans, KMedians, RowBlocks, SphericalKMeans

COST = {
    KMeans: lambda x, c: ((x - c) ** 2).sum(axis=1),
    KMedians: lambda x, c: np.abs(x - c).sum(axis=1),
    SphericalKMeans: lambda x, c: 1 - x @ c / np.linalg.norm(x, axis=1) / np.linalg.norm(c),
}


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(200, 3)) + 2


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("estimator", list(COST))
def test_every_column_is_that_of_a_loop(backend, estimator, weighted, x):
    weight = np.random.default_rng(1).integers(0, 3, 200) / 2 if weighted else None
    given = backend.asarray(x)
    model = estimator(4, random_state=0).fit(given, sample_weight=weight)
    table = model.summary(given, sample_weight=weight)
    w = np.ones(200) if weight is None else weight
    labels, centers = (backend.to_numpy(a) for a in (model.labels_, model.cluster_centers_))
    assert len(table) == 4
    for entry, center in zip(table, centers, strict=True):
        rows = np.flatnonzero(labels == entry.cluster)
        cost = COST[estimator](x[rows], center)
        loss = (w[rows] * cost).sum()
        mean = loss / w[rows].sum()
        assert entry.size == len(rows)
        assert entry.weight == pytest.approx(w[rows].sum())
        assert entry.share == pytest.approx(w[rows].sum() / w.sum())
        assert entry.loss == pytest.approx(loss)
        assert entry.spread == pytest.approx(mean**0.5 if estimator is KMeans else mean)
        there = w[rows] > 0
        assert entry.nearest_row == rows[there][cost[there].argmin()]
    assert sum(entry.loss for entry in table) == pytest.approx(model.inertia_)
    without = model.summary()
    for entry, other in zip(without, table, strict=True):
        assert entry[:4] == pytest.approx(other[:4])
    assert {entry[4:] for entry in without} == {(None, None, None)}


@pytest.mark.parametrize("estimator", list(COST))
def test_the_nearest_members_in_order(backend, estimator, x):
    model = estimator(3, random_state=0).fit(backend.asarray(x))
    found = model.nearest_rows(backend.asarray(x), 5)
    assert found.shape == (3, 5)
    labels = backend.to_numpy(model.labels_)
    for j, center in enumerate(backend.to_numpy(model.cluster_centers_)):
        rows = np.flatnonzero(labels == j)
        order = np.argsort(COST[estimator](x[rows], center), kind="stable")
        np.testing.assert_array_equal(found[j], rows[order][:5])


def test_equals_come_by_index_and_short_clusters_are_filled_up():
    x = np.array([[1.0], [-1], [1], [50]])
    model = KMeans(2, init=[[0.0], [50]], max_iter=1).fit(x)
    model.cluster_centers_ = np.array([[0.0], [50]])
    np.testing.assert_array_equal(model.nearest_rows(x, 4), [[0, 1, 2, -1], [3, -1, -1, -1]])
    with pytest.raises(ValueError, match="n_rows"):
        model.nearest_rows(x, 0)


def test_it_reads_as_text_html_and_a_frame(x):
    model = KMeans(3, random_state=0).fit(x)
    table = model.summary(x)
    assert repr(table).splitlines()[0].split() == [
        "cluster", "size", "share", "weight", "loss", "spread", "nearest", "row",
    ]  # fmt: skip
    assert len(repr(table).splitlines()) == 4
    assert table._repr_html_().count("<tr>") == 4
    assert "–" in repr(model.summary())
    frame = table.to_frame()
    assert list(frame.index) == [0, 1, 2]
    assert frame["size"].sum() == 200


def test_blocks_and_lazy_rows_give_the_same_table(x):
    da = pytest.importorskip("dask.array")
    model = KMeans(3, random_state=0).fit(x)
    table = model.summary(x)
    assert model.summary(RowBlocks([x[:70], x[70:]])) == table
    assert model.summary(da.from_array(x, chunks=(90, 3))) == table
    lazy = KMeans(3, init=x[:3]).fit(da.from_array(x, chunks=(90, 3)))
    assert sum(entry.size for entry in lazy.summary()) == 200


def test_bad_calls_say_what_to_do(x):
    with pytest.raises(NotFittedError):
        KMeans(2).summary(x)
    model = KMeans(2, random_state=0).fit(x)
    with pytest.raises(ValueError, match="without X"):
        model.summary(sample_weight=np.ones(200))
    with pytest.raises(ValueError, match="sample_weight"):
        model.summary(x, sample_weight=np.ones(3))


def test_after_batches_rows_are_asked_for(x):
    model = KMeans(3, random_state=0).partial_fit(x[:100]).partial_fit(x[100:150])
    with pytest.raises(ValueError, match=r"labels_ are of the last batch alone; pass summary\(X\)"):
        model.summary()
    assert sum(entry.size for entry in model.summary(x)) == len(x)
