"""``kmgpu fit --cluster`` and ``--workers``."""

import inspect
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import zarr

from kmgpu import KMedians, load_model
from kmgpu.cli import cluster as command
from kmgpu.cli import main

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("default")

rng = np.random.default_rng(0)
X = (rng.normal(size=(600, 3)) + 9 * rng.integers(0, 3, size=(600, 1))).astype(np.float32)
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def address():
    """Of a scheduler whose worker is a thread of this process."""
    options = {"protocol": "tcp://", "host": "127.0.0.1", "dashboard_address": ":0"}
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, **options
    ) as cluster:
        yield cluster.scheduler_address


@pytest.fixture(autouse=True)
def _data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "PATIENCE", 0.3)
    (tmp_path / "x").mkdir()
    for number, part in enumerate(np.array_split(X, 3)):
        pd.DataFrame(part, columns=NAMES).to_parquet(f"x/{number}.parquet")
    np.save("w.npy", np.arange(600.0) % 3)
    np.save("init.npy", X[[0, 100, 200]])


FIT = ["fit", "x", "-k", "3", "--loss", "l1", "--init", "init.npy", "--tol", "0"]
OUT = ["--weights", "w.npy", "--out", "m.npz", "--labels", "l.npy"]


def check(weights):
    model = load_model("m.npz")
    expected = KMedians(3, init=X[[0, 100, 200]], tol=0).fit(X, sample_weight=weights)
    np.testing.assert_allclose(model.cluster_centers_, expected.cluster_centers_, rtol=1e-6)
    np.testing.assert_array_equal(np.load("l.npy"), expected.labels_)
    np.testing.assert_allclose(model.counts_, expected.counts_)
    assert model.inertia_ == pytest.approx(expected.inertia_, rel=1e-9)
    assert model.feature_names_in_.tolist() == NAMES


def test_a_scheduler_that_is_there_computes(address, capsys):
    assert main([*FIT, *OUT, "--cluster", address]) == 0
    check(np.arange(600.0) % 3)
    said = capsys.readouterr()
    assert "rows         600" in said.out
    assert "kmgpu: dashboard at http://" in said.err


def test_zarr_and_what_is_wrong_with_it(address, capsys):
    bad = np.where(np.arange(600)[:, None] == 417, np.nan, X)
    zarr.create_array("z", shape=bad.shape, chunks=(200, 3), dtype=bad.dtype)[:] = bad
    assert main(["fit", "z", "-k", "3", "--cluster", address]) == 2
    assert "NaN: first at row 417" in capsys.readouterr().err


@pytest.mark.slow
def test_processes_of_this_machine_compute():
    """As a user starts it: the module's name and the current folder are others in the workers."""
    line = [sys.executable, "-m", "kmgpu", *FIT, *OUT, "--workers", "2"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    check(np.arange(600.0) % 3)
    (said,) = done.stderr.splitlines()
    assert said.startswith("kmgpu: dashboard at http://127.0.0.1:")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of groups of processes")
def test_ctrl_c_ends_the_command_and_its_workers():
    line = [sys.executable, "-m", "kmgpu", *FIT, "--workers", "1"]
    many = np.concatenate([X] * 2000)
    pd.DataFrame(many, columns=NAMES).to_parquet("x/0.parquet")
    child = subprocess.Popen(
        line,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with child:
        assert "dashboard" in child.stderr.readline()
        os.killpg(child.pid, signal.SIGINT)
        assert child.stderr.read() == "kmgpu: interrupted; unfinished output was discarded\n"
    assert child.returncode == 130


MISTAKES = {
    "nobody there": (["--cluster", "tcp://127.0.0.1:9"], "no scheduler of Dask can be reached"),
    "no address": (["--cluster", "here"], "--cluster here: no scheduler of Dask can be reached"),
    "no workers": (["--workers", "0"], "argument --workers: 0 must be at least 1"),
    "both": (["--workers", "1", "--cluster", "tcp://h:1"], "not allowed with argument"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_an_error_says_what_is_wrong(name, capsys):
    options, message = MISTAKES[name]
    assert main([*FIT, *options]) == 2
    assert message in capsys.readouterr().err


def test_columns_are_chosen_of_what_workers_read(address, capsys):
    for number, part in enumerate(np.array_split(X, 3)):
        frame = pd.DataFrame(part, columns=NAMES).assign(note="text")
        frame[["note", "c", "a", "b"]].to_parquet(f"x/{number}.parquet")
    more = ["--columns", "a,b,c", "--cluster", address, "--labels", "l.csv"]
    assert main([*FIT, *OUT, *more[:-2], "--device", "cpu"]) == 0
    check(np.arange(600.0) % 3)
    assert main([*FIT, *OUT, *more]) == 0
    found = pd.read_csv("l.csv")
    assert found.columns.tolist() == ["note", "c", "a", "b", "cluster"]
    np.testing.assert_array_equal(found["cluster"], np.load("l.npy"))


def test_workers_are_given_no_scale(address, capsys):
    assert main([*FIT, "--standardize", "--cluster", address]) == 2
    assert "--standardize reads the data here" in capsys.readouterr().err


def test_text_is_not_for_workers(address, capsys):
    assert main([*FIT, "--header", "--cluster", address]) == 2
    assert "--header is for text" in capsys.readouterr().err


def test_a_scheduler_without_workers_is_not_waited_for(capsys):
    options = {"protocol": "tcp://", "host": "127.0.0.1", "dashboard_address": ":0"}
    scheduler = {"cls": distributed.Scheduler, "options": options}
    with distributed.SpecCluster({}, scheduler) as cluster:
        assert main([*FIT, "--cluster", cluster.scheduler_address]) == 2
    assert "the scheduler has no workers; start some by `dask worker" in capsys.readouterr().err


def test_without_distributed_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main([*FIT, "--workers", "1"]) == 2
    assert "pip install 'kmgpu[dask]'" in capsys.readouterr().err


def test_as_many_workers_as_asked_for(monkeypatch, capsys):
    told = []
    whole = distributed.LocalCluster.__init__

    def recorded(cluster, *arguments, **options):
        told.append(inspect.signature(whole).bind(cluster, *arguments, **options).arguments)
        msg = "enough"
        raise ValueError(msg)

    monkeypatch.setattr(distributed.LocalCluster, "__init__", recorded)
    monkeypatch.setattr(distributed.LocalCluster, "__del__", lambda cluster: None, raising=False)
    assert main([*FIT, "--workers", "3"]) == 2
    assert "enough" in capsys.readouterr().err
    assert (told[0]["n_workers"], told[0]["threads_per_worker"]) == (3, 1)
