"""Saved models of standardized columns, and of some columns of a wider table."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from kmgpu import KMeans, KMedians, SphericalKMeans, load_model, save_model
from kmgpu.io.columns import Picked
from tests.support import oracles

X = oracles.blobs(200, 3, 3, seed=1) * [1, 10, 100] + [0, 5, 9]
FRESH = oracles.blobs(90, 3, 3, seed=2) * [1, 10, 100]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "m.npz"


def fitted(estimator=KMeans, x=X):
    return make_pipeline(StandardScaler(), estimator(3, random_state=0)).fit(x)


@pytest.mark.parametrize("estimator", [KMeans, KMedians, SphericalKMeans])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_pipeline_gives_what_it_gave(path, estimator, dtype):
    model = fitted(estimator, X.astype(dtype))
    save_model(model, path)
    loaded = load_model(path)
    assert type(loaded) is Pipeline
    assert type(loaded[1]) is estimator
    for x in (X, FRESH):
        np.testing.assert_array_equal(
            loaded.predict(x.astype(dtype)), model.predict(x.astype(dtype))
        )
    np.testing.assert_array_equal(loaded.transform(FRESH), model.transform(FRESH))
    for name in ("mean_", "scale_", "var_", "n_samples_seen_", "n_features_in_"):
        np.testing.assert_array_equal(getattr(loaded[0], name), getattr(model[0], name))
    assert not hasattr(loaded[1], "labels_")
    save_model(model, path, labels=True)
    np.testing.assert_array_equal(load_model(path)[1].labels_, model[1].labels_)


def test_labels_are_those_of_standardized_rows(path):
    save_model(fitted(), path)
    loaded = load_model(path)
    z = (FRESH - X.mean(axis=0)) / X.std(axis=0)
    expected = oracles.labels(z, loaded[1].cluster_centers_, "l2")
    np.testing.assert_array_equal(loaded.predict(FRESH), expected)


def test_names_are_checked_by_the_pipeline(path):
    save_model(fitted(x=pd.DataFrame(X, columns=["a", "b", "c"])), path)
    loaded = load_model(path)
    assert loaded.feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(pd.DataFrame(X, columns=["a", "c", "b"]))
    save_model(loaded, path)
    assert load_model(path).feature_names_in_.tolist() == ["a", "b", "c"]


def test_what_is_learned_later_goes_on_from_the_scale(path):
    model = fitted()
    model[0].partial_fit(FRESH, sample_weight=np.full(len(FRESH), 2.0))
    save_model(model, path)
    loaded = load_model(path)[0].partial_fit(X)
    every = np.concatenate([X, FRESH, FRESH, X])
    np.testing.assert_allclose(loaded.mean_, every.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(loaded.scale_, every.std(axis=0), rtol=1e-12)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(MinMaxScaler(), KMeans(3)),
        make_pipeline(StandardScaler(with_mean=False), KMeans(3)),
        make_pipeline(StandardScaler(), StandardScaler(), KMeans(3)),
        make_pipeline(StandardScaler()),
    ],
)
def test_other_pipelines_are_refused(path, model):
    said = r"KMeans, KMedians, SphericalKMeans can be saved, alone or as make_pipeline\(Standard"
    with pytest.raises(TypeError, match=said):
        save_model(model.fit(X), path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scaler_mean": None}, "its scaler is incomplete or damaged"),
        ({"scaler_mean": np.zeros(2)}, r"its scaler_mean have shape \(2,\)"),
        ({"scaler_mean": np.full(3, np.nan)}, "its scaler_mean hold NaN"),
        ({"scaler_scale": np.zeros(3)}, "its scaler_scale or scaler_variance is not above 0"),
        ({"scaler_variance": np.full(3, -1.0)}, "scaler_variance is not above 0"),
        ({"scaler_scale": np.ones(3, np.float32)}, "scaler_scale are float32"),
        ({"document": lambda d: d.pop("scaler_rows")}, "incomplete or damaged"),
        ({"document": lambda d: d.update(scaler_rows=-1)}, "of -1 rows"),
        ({"document": lambda d: d.update(scaler_rows="many")}, "of 'many' rows"),
        ({"document": lambda d: d.update(columns=[[0, 1], 5])}, "columns are"),
        ({"document": lambda d: d.update(columns=[[0, 1, 5], 5])}, "columns are"),
        ({"document": lambda d: d.update(columns=[[0, 1, 1], 5])}, "columns are"),
        ({"document": lambda d: d.update(columns=[[0, 1, True], 5])}, "columns are"),
        ({"document": lambda d: d.update(columns=[[0, 1, 2], "5"])}, "columns are"),
        ({"document": lambda d: d.update(columns=7)}, "damaged"),
        ({"document": lambda d: d.update(columns={"a": 1})}, "damaged"),
    ],
)
def test_damage_is_found(path, change, said):
    save_model(fitted(), path)
    with np.load(path) as archive:
        contents = {name: archive[name] for name in archive.files}
    document = json.loads(contents["kmgpu_model"].item())
    change.get("document", lambda _: None)(document)
    contents |= {name: value for name, value in change.items() if name != "document"}
    contents["kmgpu_model"] = np.array(json.dumps(document))
    np.savez(path, **{name: value for name, value in contents.items() if value is not None})
    with pytest.raises(ValueError, match=rf"m\.npz is not a model .*{said}.*save_model"):
        load_model(path)


def test_a_fit_of_other_data_forgets_the_columns(path):
    model = KMeans(3, random_state=0).fit(X)
    model._columns = Picked((4, 0, 2), 6)
    save_model(model, path)
    loaded = load_model(path)
    assert loaded._columns == Picked((4, 0, 2), 6)
    save_model(loaded.fit(X), path)
    assert not hasattr(load_model(path), "_columns")
