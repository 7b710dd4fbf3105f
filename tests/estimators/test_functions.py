"""`k_means` and `kmeans_plusplus`."""

import numpy as np
import pytest

from kmgpu import KMeans, k_means, kmeans_plusplus


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(120, 3))


@pytest.mark.parametrize("loss", ["l2", "l1", "cosine"])
def test_seeds_are_distinct_rows_by_the_same_draws(backend, loss, x):
    centers, indices = kmeans_plusplus(backend.asarray(x), 6, loss=loss, random_state=1)
    found = backend.to_numpy(indices)
    assert len(set(found.tolist())) == 6
    rows = (
        x[found] / np.linalg.norm(x[found], axis=1, keepdims=True) if loss == "cosine" else x[found]
    )
    np.testing.assert_allclose(backend.to_numpy(centers), rows, rtol=1e-14)
    again = kmeans_plusplus(x, 6, loss=loss, random_state=1)[1]
    np.testing.assert_array_equal(found, again)


def test_seeds_are_those_of_an_estimator_and_of_rows_with_weight(x):
    centers, _ = kmeans_plusplus(x, 4, random_state=3)
    one, other = (
        KMeans(4, init=init, random_state=3, max_iter=1).fit(x) for init in (centers, "k-means++")
    )
    assert one.history_[0].loss == other.history_[0].loss
    weight = np.zeros(120)
    weight[[5, 50, 99]] = 1
    _, indices = kmeans_plusplus(x, 3, sample_weight=weight, random_state=0)
    assert sorted(indices) == [5, 50, 99]
    with pytest.raises(ValueError, match="n_clusters"):
        kmeans_plusplus(x, 0)
    with pytest.raises(ValueError, match="n_samples"):
        kmeans_plusplus(x, 121)


def test_k_means_is_the_estimator(x):
    model = KMeans(3, random_state=0).fit(x)
    centers, labels, inertia, n_iter = k_means(x, 3, random_state=0, return_n_iter=True)
    np.testing.assert_array_equal(centers, model.cluster_centers_)
    np.testing.assert_array_equal(labels, model.labels_)
    assert (inertia, n_iter) == (model.inertia_, model.n_iter_)
    assert len(k_means(x, 3, random_state=0)) == 3


def test_kmeans_plusplus_refuses_what_a_fit_refuses():
    x = np.array([[1e200, 1], [1, 2], [3, 4e200]])
    for refuses in (KMeans(2).fit, lambda x: kmeans_plusplus(x, 2)):
        with pytest.raises(ValueError, match="too large"):
            refuses(x)
