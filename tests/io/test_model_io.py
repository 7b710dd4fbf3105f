"""Saved models: what comes back, what is refused, and what an interrupt leaves behind."""

from __future__ import annotations

import errno
import json
import os
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from kmgpu import KMeans, KMedians, load_model, save_model
from tests.support import oracles

ESTIMATORS = {"l2": KMeans, "l1": KMedians}


@pytest.fixture(params=["l2", "l1"])
def loss(request):
    return request.param


@pytest.fixture
def saved(tmp_path):
    """A fitted model, the file it is in, and the data."""
    x = oracles.blobs()
    model = KMeans(4, random_state=0).fit(x)
    save_model(model, tmp_path / "model.npz")
    return model, tmp_path / "model.npz", x


def rewritten(path, *, drop=(), document=None, **arrays):
    """The same archive with arrays left out or replaced, and the document changed."""
    with np.load(path) as archive:
        contents = {name: archive[name] for name in archive.files if name not in drop}
    if document is not None:
        text = json.loads(contents["kmgpu_model"].item())
        document(text)
        contents["kmgpu_model"] = np.array(json.dumps(text))
    np.savez(path, **{**contents, **arrays})


def test_a_loaded_model_is_the_saved_one(backend, loss, tmp_path):
    x = oracles.blobs(seed=1).astype(np.float32)
    weight = np.arange(len(x)) % 3
    model = ESTIMATORS[loss](4, n_init=2, random_state=3, tol=0.0, memory_budget=1 << 20)
    model.fit(backend.asarray(x), sample_weight=weight)
    save_model(model, tmp_path / "m.npz", labels=True)

    loaded = load_model(tmp_path / "m.npz")

    assert type(loaded) is type(model)
    assert loaded.get_params() == model.get_params()
    assert type(loaded.cluster_centers_) is np.ndarray
    assert loaded.cluster_centers_.dtype == np.float32
    np.testing.assert_array_equal(loaded.cluster_centers_, backend.to_numpy(model.cluster_centers_))
    np.testing.assert_array_equal(loaded.labels_, backend.to_numpy(model.labels_))
    for name in ("inertia_", "n_iter_", "converged_", "n_relocated_", "n_features_in_", "history_"):
        assert getattr(loaded, name) == getattr(model, name), name
    assert loaded.history_[0].kind == "assign"
    fresh = oracles.blobs(seed=2)
    centers = loaded.cluster_centers_
    np.testing.assert_array_equal(loaded.predict(fresh), oracles.labels(fresh, centers, loss))
    assert loaded.score(fresh) == pytest.approx(-oracles.total(fresh, centers, loss), rel=1e-12)


def test_predict_transform_and_score_are_identical_to_the_bit(loss, tmp_path):
    x, fresh = oracles.blobs(), oracles.blobs(seed=5)
    model = ESTIMATORS[loss](5, random_state=0).fit(x)
    save_model(model, tmp_path / "m.npz")
    loaded = load_model(str(tmp_path / "m.npz"))
    np.testing.assert_array_equal(loaded.predict(fresh), model.predict(fresh))
    np.testing.assert_array_equal(loaded.transform(fresh), model.transform(fresh))
    assert loaded.score(fresh) == model.score(fresh)
    assert list(loaded.get_feature_names_out()) == list(model.get_feature_names_out())


def test_feature_names_come_back(tmp_path):
    frame = pd.DataFrame(oracles.blobs(), columns=["länge", "breite", "höhe"])
    save_model(KMeans(2, random_state=0).fit(frame), tmp_path / "m.npz")
    loaded = load_model(tmp_path / "m.npz")
    assert list(loaded.feature_names_in_) == ["länge", "breite", "höhe"]
    loaded.predict(frame)
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame[["breite", "länge", "höhe"]])


@pytest.mark.parametrize("form", [np.asarray, np.ndarray.tolist, csr_matrix])
def test_an_array_init_is_stored_as_an_array(tmp_path, form):
    x = oracles.blobs()
    save_model(KMeans(3, init=form(x[:3])).fit(x), tmp_path / "m.npz")
    np.testing.assert_array_equal(load_model(tmp_path / "m.npz").init, x[:3])


def test_numpy_scalars_are_stored_as_numbers(tmp_path):
    x = oracles.blobs()
    model = KMeans(np.int64(3), random_state=np.uint32(7), tol=np.float32(0.5)).fit(x)
    save_model(model, tmp_path / "m.npz")
    loaded = load_model(tmp_path / "m.npz")
    assert (loaded.n_clusters, loaded.random_state, loaded.tol) == (3, 7, 0.5)


def first_rows(x, n_clusters, random_state):
    return x[:n_clusters]


@pytest.mark.parametrize(
    ("name", "value", "default"),
    [("init", first_rows, "k-means++"), ("random_state", np.random.default_rng(0), None)],
)
def test_what_only_pickle_could_store_is_left_at_its_default(tmp_path, name, value, default):
    model = KMeans(3, n_init=1, **{name: value}).fit(oracles.blobs())
    with pytest.warns(UserWarning, match=f"^{name}=.* cannot be saved"):
        save_model(model, tmp_path / "m.npz")
    assert getattr(load_model(tmp_path / "m.npz"), name) == default


def test_a_model_fitted_on_a_gpu_loads_where_there_is_none(saved):
    _, path, x = saved
    rewritten(path, document=lambda text: text["parameters"].update(device="cuda:1"))
    loaded = load_model(path)
    assert loaded.device == "auto"
    np.testing.assert_array_equal(
        loaded.predict(x), oracles.labels(x, loaded.cluster_centers_, "l2")
    )


def test_only_fitted_estimators_of_kmgpu_are_saved(tmp_path):
    class Mine(KMeans):
        pass

    with pytest.raises(NotFittedError):
        save_model(KMeans(2), tmp_path / "m.npz")
    for other in (BaseEstimator(), Mine(2).fit(oracles.blobs())):
        with pytest.raises(TypeError, match="only KMeans, KMedians, SphericalKMeans can be saved"):
            save_model(other, tmp_path / "m.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_save_leaves_the_old_file_and_nothing_else(saved, monkeypatch, stop):
    model, path, _ = saved
    before = path.read_bytes()

    def half(file, **contents):
        file.write(b"half")
        raise stop

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(stop):
        save_model(model, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_save_replaces_the_file_a_link_points_to(saved, tmp_path):
    _, path, x = saved
    link = tmp_path / "latest.npz"
    link.symlink_to(path)
    save_model(KMedians(2, random_state=0).fit(x), link)
    assert link.is_symlink()
    assert isinstance(load_model(path), KMedians)


@pytest.mark.parametrize("name", ["nowhere/m.npz", "folder", "/dev/null"])
def test_a_path_that_cannot_be_written_is_named(saved, tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"cannot be written: .*(no folder|not a regular file)"):
        save_model(saved[0], tmp_path / name)


def test_a_write_protected_file_is_left_alone(saved, monkeypatch):
    """Root may write it: its answer is made up."""
    model, path, _ = saved
    real = os.open

    def refuse(name, flags, *rest, **options):
        if name == path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(name, flags, *rest, **options)

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(PermissionError, match="write-protected"):
        save_model(model, path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.npz"):
        load_model(tmp_path / "absent.npz")


@pytest.mark.parametrize(
    "content", [b"", b"no archive at all", pickle.dumps({"class": "KMeans"}), b"\x93NUMPY\x01\x00"]
)
def test_a_file_that_is_no_archive(tmp_path, content):
    path = tmp_path / "m.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"m\.npz is not a model .* no \.npz archive.*save_model"):
        load_model(path)


def test_a_damaged_archive(saved):
    _, path, _ = saved
    content = bytearray(path.read_bytes())
    middle = content.index(b"cluster_centers_") + 200
    content[middle : middle + 20] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"m.*\.npz is not a model .*damaged"):
        load_model(path)


class Trap:
    """Unpickling one of these fails the test."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_nothing_is_unpickled(saved):
    _, path, _ = saved
    rewritten(path, labels_=np.array([Trap()], dtype=object))
    with pytest.raises(ValueError, match=r"not a model .*Object arrays"):
        load_model(path)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"drop": ("counts_",)}, "it has neither counts_ nor labels_"),
        ({"drop": ("cluster_centers_", "kmgpu_model")}, r"lacks \['kmgpu_model', 'cluster_c"),
        ({"kmgpu_model": np.array("{")}, "document cannot be read"),
        ({"kmgpu_model": np.array("[1]")}, "document cannot be read"),
        ({"kmgpu_model": np.zeros(3)}, "document cannot be read"),
        ({"document": lambda d: d.update({"class": "Trap"})}, "class is 'Trap'"),
        ({"document": lambda d: d["scalars"].pop("inertia_")}, "incomplete .*inertia_"),
        ({"document": lambda d: d["parameters"].update(colour=1)}, "incomplete .*colour"),
        ({"document": lambda d: d.update(parameters="x")}, "document is incomplete"),
        ({"document": lambda d: d["history"].append([1])}, "document is incomplete"),
        ({"cluster_centers_": np.zeros((4, 9))}, r"shape \(4, 9\) where \(4, 3\)"),
    ],
)
def test_what_is_wrong_with_a_model_is_said(saved, change, found):
    _, path, _ = saved
    rewritten(path, **change)
    with pytest.raises(ValueError, match=rf"model\.npz is not a model .*{found}.*save_model"):
        load_model(path)


def test_another_format_version_is_refused(saved):
    _, path, _ = saved
    rewritten(path, document=lambda text: text.update(version=3))
    with pytest.raises(ValueError, match=r"format version 3, .* reads versions 1 to 2; "):
        load_model(path)
