"""Commands on data that are read block by block."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from kmgpu import KMeans, KMedians, load_model, save_model
from kmgpu.cli import main
from kmgpu.cli.labels import labels_file
from kmgpu.io import opening
from kmgpu.sources import stream
from tests.support import oracles

NAMES = ["a", "b", "c"]
X = oracles.blobs(310, 3, 4, seed=30)
FRESH = oracles.blobs(205, 3, 4, seed=31)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory: a model, data in many forms, and blocks of few rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stream, "PIECE_BYTES", 24 * 40)
    monkeypatch.setattr(opening, "AT_ONCE", 100)
    save_model(KMeans(4, random_state=0).fit(X), "m.npz")
    return tmp_path


def shards(x, name="x"):
    Path(name).mkdir()
    for number, part in enumerate(np.array_split(x, 11)):
        np.save(Path(name) / f"{number}.npy", part)
    return name


def parquets(x, name="x", columns=NAMES):
    Path(name).mkdir()
    for number, part in enumerate(np.array_split(x, 3)):
        pd.DataFrame(part, columns=NAMES)[columns].to_parquet(Path(name) / f"{number}.parquet")
    return name


def text(x):
    pd.DataFrame(x, columns=NAMES).to_csv("x.csv", index=False)
    return "x.csv"


def npy(x):
    np.save("x.npy", x)
    return "x.npy"


def hdf5(x):
    with h5py.File("x.h5", "w") as file:
        file["rows"] = x
    return "x.h5"


def fbin(x):
    Path("x.fbin").write_bytes(np.array(x.shape, "<i4").tobytes() + x.astype("<f4").tobytes())
    return "x.fbin"


FORMS = pytest.mark.parametrize("form", [shards, parquets, text, npy, hdf5, fbin])


@FORMS
def test_predict_writes_the_labels_of_every_form(folder, capsys, form):
    path = form(FRESH)
    x = FRESH.astype(np.float32) if form is fbin else FRESH
    expected = oracles.labels(x, load_model("m.npz").cluster_centers_, "l2")
    assert main(["predict", "m.npz", path, "--out", "z.npy", "--device", "cpu"]) == 0
    assert "205" in capsys.readouterr().out
    found = np.load("z.npy")
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)
    assert main(["predict", "m.npz", path, "--device", "cpu"]) == 0
    assert [int(line) for line in capsys.readouterr().out.split()] == expected.tolist()


def test_columns_are_taken_by_their_names(folder):
    save_model(KMeans(4, random_state=0).fit(pd.DataFrame(X, columns=NAMES)), "named.npz")
    expected = oracles.labels(FRESH, load_model("named.npz").cluster_centers_, "l2")
    path = parquets(FRESH, columns=["c", "a", "b"])
    assert main(["predict", "named.npz", path, "--out", "z.npy"]) == 0
    np.testing.assert_array_equal(np.load("z.npy"), expected)


@pytest.mark.parametrize("form", [shards, npy, hdf5])
def test_the_number_of_a_bad_row_is_that_among_all(folder, capsys, form):
    x = FRESH.copy()
    x[123, 1] = np.nan
    assert main(["predict", "m.npz", form(x), "--out", "z.npy"]) == 2
    said = capsys.readouterr().err
    assert "contains NaN: first at row 123, column 1" in said
    assert said.count("\n") == 1
    assert not Path("z.npy").exists()
    assert not list(folder.glob(".kmgpu*"))


@FORMS
def test_another_width_is_refused_before_any_work(folder, capsys, form, monkeypatch):
    monkeypatch.setattr("tests.cli.test_cli_blocks.NAMES", ["a", "b"])
    path = parquets(FRESH[:, :2], columns=["a", "b"]) if form is parquets else form(FRESH[:, :2])
    assert main(["predict", "m.npz", path, "--out", "z.npy"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "X has 2 features, but KMeans is expecting 3" in said


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_leaves_no_half_file(folder, capsys, monkeypatch):
    from kmgpu.cli import predict

    passed, real = [], predict.nearest

    def interrupted(*args):
        passed.append(1)
        if len(passed) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(predict, "nearest", interrupted)
    assert main(["predict", "m.npz", npy(FRESH), "--out", "z.npy"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert not Path("z.npy").exists()
    assert not list(folder.glob(".kmgpu*"))


@pytest.mark.parametrize("known", [True, False])
def test_progress_is_rows_a_second_and_the_time_left(folder, capsys, monkeypatch, known):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    path = npy(FRESH) if known else text(FRESH)
    assert main(["predict", "m.npz", path, "--out", "z.npy"]) == 0
    said = capsys.readouterr().err
    assert "row/s" in said
    assert ("100%" in said and "<" in said) == known
    assert main(["predict", "m.npz", path, "--out", "z.npy", "--no-progress"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("estimator", [KMeans, KMedians])
def test_init_takes_the_centres_of_a_model(folder, capsys, estimator):
    start = estimator(4, init="random", n_init=1, max_iter=1, random_state=3).fit(X)
    save_model(start, "start.npz")
    loss = estimator.loss.name
    command = f"fit {npy(X)} -k 4 --loss {loss} --init start.npz --tol 0 --device cpu --out o.npz"
    assert main(command.split()) == 0
    expected = oracles.lloyd(X, start.cluster_centers_, loss)
    np.testing.assert_allclose(load_model("o.npz").cluster_centers_, expected[0], rtol=1e-12)
    named = estimator(4, random_state=0).fit(pd.DataFrame(X, columns=NAMES))
    save_model(named, "named.npz")
    pd.DataFrame(X[:, ::-1], columns=NAMES[::-1]).to_csv("y.csv", index=False)
    command = f"fit y.csv -k 4 --loss {loss} --init named.npz --max-iter 1 --device cpu --out o.npz"
    assert main(command.split()) == 0
    found = load_model("o.npz")
    np.testing.assert_allclose(found.cluster_centers_[:, ::-1], named.cluster_centers_, rtol=1e-9)


def test_a_file_of_labels_is_what_numpy_writes(tmp_path):
    path = str(tmp_path / "z.npy")
    for n in (0, 1, 12345):
        labels = np.arange(n, dtype=np.int32)
        with labels_file(path) as write:
            for part in np.array_split(labels, 3):
                write(part)
        found = np.load(path)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, labels)
        assert isinstance(np.load(path, mmap_mode="r"), np.memmap)
    before = Path(path).read_bytes()
    with pytest.raises(TypeError), labels_file(path) as write:
        write(np.arange(5, dtype=np.int32)) or write(None)
    assert Path(path).read_bytes() == before
