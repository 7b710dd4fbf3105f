"""The GPU benchmark runs to its end where there is no GPU, and says that there was none."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import gpu, gpu_engines
from benchmarks.gpu_card import Card, additions, bandwidth, least_seconds
from benchmarks.losses import loss
from benchmarks.rows import blobs, initial_centers
from tests.support import fake_cupy

H100 = {
    "MultiProcessorCount": 132,
    "ClockRate": 1_980_000,
    "MemoryClockRate": 2_619_000,
    "GlobalMemoryBusWidth": 5120,
}


def a_card(**known):
    known = {"additions": 33e12, "bandwidth": 3.3e12} | known
    return Card("some", "9.0", 1, "12.4", "12.4", "14", emulated=False, **known)


def test_peaks_are_those_that_the_makers_state():
    """H100 SXM: 66.9 float32 TFLOP/s, two a fused multiply-add, and 3.35 TB/s."""
    assert 2 * additions(H100, (9, 0)) == pytest.approx(66.9e12, rel=0.01)
    assert bandwidth(H100) == pytest.approx(3.35e12, rel=0.01)
    assert additions(H100, (99, 0)) is None
    assert additions({}, (9, 0)) is bandwidth({}) is None


def test_the_roofline_is_the_slower_of_arithmetic_and_memory():
    limits = a_card(additions=1e9, bandwidth=1e9)
    assert least_seconds((1000, 4), 50, "l2", limits) == pytest.approx(200_000 / 1e9)
    assert least_seconds((1000, 4), 50, "l1", limits) == pytest.approx(400_000 / 1e9)
    assert least_seconds((1000, 4), 2, "l2", limits) == pytest.approx(40_000 / 1e9)
    assert least_seconds((1000, 4), 50, "l2", a_card(bandwidth=None)) is None


def test_shares_and_ratios_are_of_an_iteration():
    ours = {"engine": "kmgpu", "seconds": [3.0, 2.0, 9.0], "n_iter": 3, "loss": 1.0, "note": ""}
    peer = {"engine": "p", "seconds": [6.0], "n_iter": 2, "loss": 1.0, "note": "host"}
    gone = {"engine": "g", "why_not": "g is not installed"}
    row = gpu.GpuRow(1_000_000, 10, 33)
    result = gpu.judged([ours, peer, gone], row, "l2", a_card(additions=33e8))
    assert ours["roofline_share"] == pytest.approx(0.1)
    assert peer["ratio"] == 3.0
    text = gpu.block("row", result)
    assert "10%" in text
    assert "absent: g is not installed" in text
    unknown = gpu.judged([ours], row, "l2", a_card(additions=None))
    assert unknown["engines"][0]["roofline_share"] is None


def test_an_engine_that_fails_is_told_and_not_the_end(tmp_path: Path):
    broken = gpu_engines.GpuEngine("broken", "l2", lambda x, init: None, ())
    assert "exit code 1" in gpu.outcome(broken, tmp_path, 3, 1, 60)["why_not"]
    absent = gpu_engines.GpuEngine("absent", "l2", lambda x, init: None, ("no_such_module",))
    told = gpu.outcome(absent, tmp_path, 3, 1, 60)
    assert told == {"engine": "absent", "why_not": "no_such_module is not installed"}
    assert "longer than" in gpu.outcome(broken, tmp_path, 3, 1, 0.01)["why_not"]


def test_without_a_gpu_it_says_why(monkeypatch, capsys):
    fake_cupy.remove(monkeypatch)
    assert gpu.main([]) == 2
    assert "no GPU to measure on: CuPy cannot be imported" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--rows", "none"], ["--engines", "none"]])
def test_wrong_arguments_are_named(arguments, capsys):
    with pytest.raises(SystemExit):
        gpu.main(arguments)
    assert "there is no none" in capsys.readouterr().err


def test_peers_are_called_as_documented(monkeypatch):
    """Stand-ins for libraries that only a GPU runs: names and keywords of their documentation."""
    calls = {}

    class Estimator:
        cluster_centers_, n_iter_ = "centers", 4

        def __init__(self, **keywords):
            calls["cuml"] = keywords

        def fit(self, x):
            return self

    def batch_kmeans_euclid(x, k, max_iters, tol, init_centroids):
        calls["flash"] = (x.shape, k, max_iters, tol, init_centroids.shape)
        return "labels", init_centroids + 1, max_iters

    torch = pytest.importorskip("torch")
    x, init = np.zeros((9, 2), np.float32), np.zeros((3, 2), np.float32)
    cuml = SimpleNamespace(KMeans=Estimator)
    monkeypatch.setitem(sys.modules, "cuml", SimpleNamespace(cluster=cuml))
    monkeypatch.setitem(sys.modules, "cuml.cluster", cuml)
    flash = SimpleNamespace(batch_kmeans_Euclid=batch_kmeans_euclid)
    monkeypatch.setitem(sys.modules, "flash_kmeans", flash)
    assert gpu_engines._cuml(x, init)(4) == ("centers", 4)
    assert calls["cuml"]["init"] is init
    assert calls["cuml"]["max_iter"] == 4
    centers, n_iter = gpu_engines._flash_kmeans(x, init)(4)
    assert calls["flash"] == ((1, 9, 2), 3, 4, 0.0, (1, 3, 2))
    assert torch.equal(centers, torch.ones(3, 2))
    assert n_iter == 4


@pytest.mark.usefixtures("counted")
def test_it_runs_to_its_end_on_the_emulation(tmp_path: Path, capsys):
    written = tmp_path / "out.json"
    arguments = ["--engines", "kmgpu-reference", "--rounds", "1", "--json", str(written)]
    assert gpu.main(arguments) == 0
    assert gpu.NOT_A_GPU in capsys.readouterr().out
    told = json.loads(written.read_text())
    assert told["is_a_gpu"] is False
    assert "not a GPU" in told["machine"]["card"]["name"]
    assert [result["loss"] for result in told["results"]] == ["l2", "l1"]
    row = gpu.TOYS["toy"]
    x = blobs(row.n, row.d, row.k, spread=1.0)
    for result in told["results"]:
        ours, reference = result["engines"]
        assert ours["loss"] == pytest.approx(reference["loss"])
        assert ours["loss"] < loss(x, initial_centers(x, row.k), result["loss"]) / row.n
        assert ours["n_iter"] == row.n_iter
        assert ours["seconds"][0] > 0
        assert ours["roofline_share"] is None
