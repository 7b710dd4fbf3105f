"""Models as they are on disk: without labels, and of the formats of earlier versions."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kmgpu import KMeans, KMedians, SphericalKMeans, load_model, save_model
from tests.support import oracles

FILES = Path(__file__).parent / "files"
# the rows that the models in FILES are of
ROWS = np.array([[0.0, 1], [1, 0], [1, 2], [10, 9], [11, 10], [9, 11], [20, 0], [21, 1]])
MEANS = [[10, 10], [2 / 3, 1], [20.5, 0.5]]


@pytest.mark.parametrize(
    ("name", "estimator", "centers", "counts", "loss"),
    [
        ("v1_kmeans", KMeans, MEANS, [3, 3, 2], 23 / 3),
        ("v1_names", KMeans, MEANS, [3, 3, 2], 23 / 3),
        ("v1_kmedians", KMedians, [[5, 5.5], [21, 1]], [6, 4], 57),
    ],
)
def test_models_of_format_1_are_loaded(name, estimator, centers, counts, loss):
    model = load_model(FILES / f"{name}.npz")
    assert type(model) is estimator
    np.testing.assert_allclose(model.cluster_centers_, centers, rtol=1e-12)
    np.testing.assert_array_equal(model.counts_, counts)
    assert model.inertia_ == pytest.approx(loss, rel=1e-12)
    rows = pd.DataFrame(ROWS, columns=["age", "spend"]) if name == "v1_names" else ROWS
    expected = oracles.labels(ROWS, np.array(centers, float), estimator.loss.name)
    np.testing.assert_array_equal(model.labels_, expected)
    np.testing.assert_array_equal(model.predict(rows), expected)
    assert list(getattr(model, "feature_names_in_", [])) == list(getattr(rows, "columns", []))


def test_a_model_of_format_1_is_saved_in_the_present_one(tmp_path):
    old = load_model(FILES / "v1_kmedians.npz")
    save_model(old, tmp_path / "m.npz", labels=True)
    new = load_model(tmp_path / "m.npz")
    np.testing.assert_array_equal(new.labels_, old.labels_)
    np.testing.assert_array_equal(new.init, ROWS[[0, 3]])
    assert new.history_ == old.history_


@pytest.mark.parametrize("estimator", [KMeans, KMedians, SphericalKMeans])
def test_a_model_is_saved_without_labels(tmp_path, estimator):
    x = np.random.default_rng(0).normal(size=(50_000, 3))
    model = estimator(3, random_state=0, max_iter=5, tol=1e9).fit(x)
    save_model(model, tmp_path / "m.npz")
    save_model(model, tmp_path / "labels.npz", labels=True)
    sizes = [(tmp_path / name).stat().st_size for name in ("m.npz", "labels.npz")]
    assert sizes[0] < 10_000
    assert sizes[1] > 4 * len(x)
    np.testing.assert_array_equal(load_model(tmp_path / "labels.npz").labels_, model.labels_)

    loaded = load_model(tmp_path / "m.npz")
    assert not hasattr(loaded, "labels_")
    with pytest.raises(AttributeError, match=r"has no labels_: .* labels=True\)\. predict\(X\)"):
        _ = loaded.labels_
    with pytest.raises(AttributeError, match=r"has no labels_.* summary\(X\)"):
        loaded.summary()
    np.testing.assert_array_equal(loaded.predict(x), model.labels_)
    assert repr(loaded.summary(x)) == repr(model.summary(x))
    with pytest.raises(ValueError, match="has no labels_: leave labels out"):
        save_model(loaded, tmp_path / "m.npz", labels=True)
    for same in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):
        np.testing.assert_array_equal(same.predict(x[:50]), model.labels_[:50])


def test_other_missing_attributes_are_told_as_ever():
    with pytest.raises(AttributeError, match="'KMeans' object has no attribute 'labels_'"):
        _ = KMeans(2).labels_
    with pytest.raises(AttributeError, match="'KMeans' object has no attribute 'colour'"):
        _ = KMeans(2).colour
    with pytest.raises(AttributeError, match="KMedians has no partial_fit"):
        _ = KMedians(2).partial_fit
