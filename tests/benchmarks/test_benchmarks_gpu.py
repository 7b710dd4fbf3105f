"""Benchmarks on a GPU: on a CuPy that is made up, and on one that runs on a CPU."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from benchmarks import card, compare, cuda_peers, engines, report, rounds, worker
from benchmarks.card import Card, additions, bandwidth, least_seconds, tensor
from benchmarks.losses import loss
from benchmarks.rounds import Outcome, Task
from benchmarks.rows import TOY, initial_centers
from benchmarks.worker import Worker
from tests.support import fake_cupy
from tests.support.made_up_engines import LocalClient, made_up

H100 = {
    "MultiProcessorCount": 132,
    "ClockRate": 1_980_000,
    "MemoryClockRate": 2_619_000,
    "GlobalMemoryBusWidth": 5120,
}


def a_card(**known):
    known = {"additions": 33e12, "tensor": 49e13, "bandwidth": 3.3e12, "emulated": False} | known
    return Card("some", "9.0", 1, "12.4", "12.4", "14", **known)


@pytest.fixture
def events(monkeypatch):
    """What a made-up CuPy is asked to do; its arrays are NumPy's, each call takes 0.25 s."""
    seen = []

    class Event:
        def record(self):
            seen.append("record")

        def synchronize(self):
            seen.append("event")

    cupy = ModuleType("cupy")
    cupy.asarray = lambda x: seen.append("to the device") or np.array(x)
    device = SimpleNamespace(synchronize=lambda: seen.append("device"))
    cupy.cuda = SimpleNamespace(
        Device=lambda: device, Event=Event, get_elapsed_time=lambda start, stop: 250.0
    )
    pool = SimpleNamespace(free_all_blocks=lambda: seen.append("freed"))
    cupy.get_default_memory_pool = lambda: pool
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return seen


def test_peaks_are_those_that_the_makers_state():
    """H100 SXM: 66.9 float32 TFLOP/s, two a fused multiply-add, and 3.35 TB/s."""
    assert 2 * additions(H100, (9, 0)) == pytest.approx(66.9e12, rel=0.01)
    assert bandwidth(H100) == pytest.approx(3.35e12, rel=0.01)
    assert additions(H100, (99, 0)) is None
    assert additions({}, (9, 0)) is bandwidth({}) is None


def test_the_roofline_is_the_slower_of_arithmetic_and_memory():
    limits = a_card(additions=1e9, tensor=None, bandwidth=1e9)
    assert least_seconds((1000, 4), 50, "l2", limits) == pytest.approx(200_000 / 1e9)
    assert least_seconds((1000, 4), 50, "l1", limits) == pytest.approx(400_000 / 1e9)
    assert least_seconds((1000, 4), 2, "l2", limits) == pytest.approx(40_000 / 1e9)
    assert least_seconds((1000, 4), 50, "l2", a_card(bandwidth=None)) is None
    limits = a_card(additions=1e9, tensor=2e9, bandwidth=1e9)
    assert least_seconds((1000, 4), 50, "l2", limits) == pytest.approx(100_000 / 1e9)
    assert least_seconds((1000, 4), 50, "l1", limits) == pytest.approx(400_000 / 1e9)


def test_tensor_cores_are_those_that_the_makers_state():
    """H100 SXM: 989 TFLOP/s of dense float16; a T4: 65."""
    assert 2 * tensor(H100 | {"ClockRate": 1_830_000}, (9, 0)) == pytest.approx(989e12, rel=0.01)
    t4 = {"MultiProcessorCount": 40, "ClockRate": 1_590_000}
    assert 2 * tensor(t4, (7, 5)) == pytest.approx(65e12, rel=0.01)
    assert tensor(t4, (99, 0)) is tensor({}, (9, 0)) is None


def test_shares_of_the_roofline_are_of_an_iteration():
    ours = Outcome("kmgpu", True, seconds=[3.0, 2.0, 9.0], n_iter=3, loss=1.0)
    peer = Outcome("p", False, "host", seconds=[6.0], n_iter=2, loss=1.0)
    task = Task(TOY, "l2", "fit", 1, device="cuda")
    result = report.Result("fit", task, (600, 4), 3, [ours, peer], least_seconds=0.1)
    assert result.roofline_share(ours) == pytest.approx(0.1)
    title, header, first, second = report.block(result).strip().splitlines()
    assert title.startswith("toy (l2): 600 × 4, k=5")
    assert header.split()[-2:] == ["ms/iter", "roofline"]
    assert first.split()[-2:] == ["1000", "10%"]
    assert second.split()[2] == "2.00"
    assert second.endswith("3000       3%  approximate, host, one call")
    result.least_seconds = None
    assert report.block(result).splitlines()[3].split()[-1] == "–"


def test_the_device_is_idle_when_the_clock_starts_and_when_it_stops(events, tmp_path):
    def prepare(x, init):
        fit = made_up("one").prepare(x, init)
        return lambda n_iter: events.append("fit") or fit(n_iter)

    np.save(tmp_path / "x.npy", TOY.make())
    np.save(tmp_path / "init.npy", TOY.make()[:5])
    worker = Worker(engines.Engine("one", "l2", prepare, device="cuda"))
    worker.load({"x": str(tmp_path / "x.npy"), "init": str(tmp_path / "init.npy")})
    assert worker.fit({"n_iter": 2}) == {"seconds": 0.25, "n_iter": 2}
    timed = ["device", "record", "fit", "device", "record", "event"]
    assert events == ["to the device"] * 2 + timed
    worker.rest({})
    assert events[-1] == "freed"


@pytest.fixture
def made_up_card(events, monkeypatch):
    """Two engines for either loss, and a card on which they run."""
    both = [made_up(name, None, loss, device="cuda") for loss in ("l2", "l1") for name in "ab"]
    monkeypatch.setattr(engines, "ENGINES", tuple(both))
    monkeypatch.setattr(rounds, "Client", LocalClient)
    monkeypatch.setattr(worker.gc, "collect", lambda: 0)  # a second in a process of many tests
    monkeypatch.setattr(card, "unusable", lambda: None)
    monkeypatch.setattr(card, "card", a_card)
    monkeypatch.setattr(card, "too_large", lambda shape, itemsize: None)


@pytest.mark.usefixtures("made_up_card")
def test_it_runs_to_its_end(events, tmp_path, capsys):
    written = tmp_path / "out.json"
    arguments = ["--device", "cuda", "--rows", "toy", "--rounds", "2", "--json", str(written)]
    assert compare.main(arguments) == 0
    told = json.loads(written.read_text())
    assert told["machine"]["emulated"] is False
    assert [result["loss"] for result in told["results"]] == ["l2", "l1"]
    for result in told["results"]:
        assert [engine["seconds"] for engine in result["engines"]] == [[0.25] * 2] * 2
        assert result["engines"][0]["roofline_share"] > 0
        assert result["engines"][0]["memory"] is None
    assert "roofline" in capsys.readouterr().out
    # for each loss both engines: one probe and two rounds, each with the data to and fro
    assert events.count("freed") == events.count("to the device") / 2 == 2 * 2 * 3


@pytest.mark.usefixtures("made_up_card")
def test_what_does_not_fit_on_the_card_is_skipped(monkeypatch, capsys):
    monkeypatch.setattr(card, "too_large", lambda shape, itemsize: f"needs {shape[0]} rows")
    assert compare.main(["--device", "cuda", "--rows", "toy"]) == 0
    assert "toy (l1): skipped, needs 600 rows" in capsys.readouterr().out


@pytest.mark.usefixtures("made_up_card")
def test_the_emulation_gets_toys_and_is_marked(monkeypatch, capsys):
    monkeypatch.setattr(card, "card", lambda: a_card(emulated=True, additions=None))
    assert compare.main(["--device", "cuda", "--rows", "100Mx8", "--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    assert compare.NOT_A_GPU in printed
    assert "toy (l2): 600 × 4" in printed


def test_without_a_gpu_it_says_why(monkeypatch, capsys):
    fake_cupy.remove(monkeypatch)
    assert compare.main(["--device", "cuda"]) == 2
    assert "no GPU to measure on: CuPy cannot be imported" in capsys.readouterr().err


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
    assert cuda_peers.CUML(x, init)(4)[:2] == ("centers", 4)
    assert calls["cuml"]["init"] is init
    assert calls["cuml"]["max_iter"] == 4
    assert calls["cuml"]["tol"] == cuda_peers.LEAST_TOL
    centers, n_iter, _ = cuda_peers._flash_kmeans(x, init)(4)
    assert calls["flash"] == ((1, 9, 2), 3, 4, 0.0, (1, 3, 2))
    assert torch.equal(centers, torch.ones(3, 2))
    assert n_iter == 4


@pytest.mark.usefixtures("counted")
def test_real_processes_run_to_their_end_on_the_emulation(tmp_path: Path, capsys):
    written = tmp_path / "out.json"
    arguments = ["--device", "cuda", "--engines", "kmgpu,kmgpu-reference", "--rounds", "1"]
    assert compare.main([*arguments, "--iterations", "3", "--json", str(written)]) == 0
    assert compare.NOT_A_GPU in capsys.readouterr().out
    told = json.loads(written.read_text())
    assert told["machine"]["emulated"] is True
    assert "not a GPU" in told["machine"]["name"]
    assert [result["loss"] for result in told["results"]] == ["l2", "l1"]
    x = TOY.make()
    for result in told["results"]:
        ours, reference = result["engines"]
        assert ours["loss"] == pytest.approx(reference["loss"])
        assert ours["loss"] < loss(x, initial_centers(x, 5), result["loss"])
        assert ours["n_iter"] == 3
        assert ours["seconds"][0] > 0
        assert ours["roofline_share"] is None
