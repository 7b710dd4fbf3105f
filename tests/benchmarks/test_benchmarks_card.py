"""`python -m benchmarks.gpu`: everything in one call, here on a CuPy that runs on a CPU."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import gpu, gpu_cases, gpu_measure, kernel_times
from benchmarks.gpu_cases import Case, made, start_of
from kmgpu import KMeans
from tests.support import fake_cupy, oracles

SMALL = (Case(300, 40, 5), Case(300, 3, 5, "l1", blobs=False, dtype="uint8"))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
def test_cases_are_the_same_whatever_the_threads(monkeypatch, dtype):
    case = Case(1000, 3, 4, dtype=dtype)
    monkeypatch.setattr(gpu_cases, "ROWS_OF_A_TASK", 300)
    one, two = (
        monkeypatch.setattr(gpu_cases, "n_cores", lambda n=n: n) or made(case) for n in (1, 4)
    )
    assert one.dtype == dtype
    np.testing.assert_array_equal(one, two)
    assert len(np.unique(one, axis=0)) > 900
    start = start_of(one, 4)
    assert start.dtype == (np.float64 if dtype == "float64" else np.float32)
    assert len(np.unique(start, axis=0)) == 4
    assert {tuple(row) for row in start} <= {tuple(row) for row in one.astype(start.dtype)}


def test_the_bars_are_first_and_an_emulation_gets_tiny_ones():
    barred = [case for case in gpu_cases.CASES if case.bar]
    assert list(gpu_cases.CASES[: len(barred)]) == barred
    shapes = [(case.n, case.d, case.k) for case in barred[:4]]
    m = 10**6
    assert shapes == [(m, 128, 1000), (10 * m, 32, 256), (m, 768, 4096), (100 * m, 8, 64)]
    for case in gpu_cases.tiny(gpu_cases.CASES):
        assert case.n * case.d * case.k <= 600 * 40 * 5


def test_shares_are_by_assignment_and_stage():
    def launch(name, count=None):
        return kernel_times.Launch(name, None, None, None if count is None else [count])

    counts = [9, None, 30, 2, 3, None, None, 0]
    names = "list_open<f> shift_centers<f> nearest_tensor<a> nearest_tensor<b> nearest_tensor<b>"
    names = f"{names} settle<f> shift_centers<f> list_open<f>".split()
    found = kernel_times.Recorded(list(map(launch, names, counts)))
    first = {"nearest_tensor<a>": 0.3, "nearest_tensor<b>": 0.05}
    assert found.open_shares(100) == [pytest.approx(first), {"list_open<f>": 0.0}]


@pytest.mark.usefixtures("cupy")
def test_launches_are_recorded_and_open_rows_counted(backend):
    """Rows midway between two centres are open, all others decided."""
    x = oracles.blobs(400, 3, 2, seed=3).astype(np.float32)
    x[:, 0] = np.sign(x[:, 0]) * (1 + np.abs(x[:, 0]))
    x[:40, 0] = 0
    init = np.array([[-1, 0, 0], [1, 0, 0]], np.float32)
    there = backend.asarray(x)
    with kernel_times.recorded() as launches:
        KMeans(2, init=init, max_iter=1, tol=0).fit(there)
    times = launches.milliseconds()
    assert sum(count for _, count in times.values()) == len(launches.launches)
    assert all(taken >= 0 for taken, _ in times.values())
    assert any(name.startswith("nearest_narrow") for name in times)
    (share, *_) = launches.open_shares(400)[0].values()
    assert share == 0.1
    count = len(launches.launches)
    KMeans(2, init=init, max_iter=1).fit(there)
    assert len(launches.launches) == count


def test_without_a_gpu_it_says_why(monkeypatch, capsys):
    fake_cupy.remove(monkeypatch)
    assert gpu.main([]) == 2
    assert "no GPU to measure on: CuPy cannot be imported" in capsys.readouterr().err


@pytest.fixture
def small(monkeypatch, counted):
    monkeypatch.setattr(gpu_cases, "CASES", SMALL)
    monkeypatch.setattr(gpu, "AUTOMATIC", SMALL[:1])
    monkeypatch.setattr(gpu_measure, "REPEATS", 1)


def run(folder, *options):
    code = gpu.main(["--out", str(folder), *options])
    (written,) = folder.glob("gpu-*.json")
    return code, json.loads(written.read_text()), written.with_suffix(".md").read_text()


@pytest.mark.usefixtures("small")
def test_everything_is_measured(tmp_path):
    code, found, told = run(tmp_path)
    assert code == 0
    assert [case["name"] for case in found["cases"]] == [case.name for case in SMALL]
    for case, record in zip(SMALL, found["cases"], strict=True):
        assert record["wrong_labels"] == record["predict_differs"] == 0
        assert record["rows_checked"] == 300
        x = made(case)
        assert record["loss_of_some"] * 300 == pytest.approx(record["inertia"], rel=1e-4)
        assert record["inertia"] <= oracles.costs(x, start_of(x, 5), case.loss).min(axis=1).sum()
        assert record["open_shares"]
        assert record["kernels_ms"]
        assert record["ms_an_iteration"] > 0
    assert {key: len(found[key]) for key in ("seeding", "uploads", "auto", "peers")} == {
        "seeding": 1,
        "uploads": 1,
        "auto": 1,
        "peers": 0,
    }
    assert all("is not installed" in line or "CUDA" in line for line in found["left_out"])
    assert "NOT A GPU" in told
    for title in ("Iterations", "Kernels", "Rows that a stage", "Seeding, uploads", "Beside peers"):
        assert f"## {title}" in told


@pytest.mark.usefixtures("small")
def test_what_fails_or_is_late_is_listed(tmp_path, monkeypatch):
    def measured(case, card):
        if case is not SMALL[1]:
            raise MemoryError(case.name)
        return {"wrong_labels": 1, "predict_differs": 0}

    monkeypatch.setattr(gpu_cases, "tiny", lambda cases: cases)
    monkeypatch.setattr(gpu_measure, "measured", measured)
    for part in ("seeding", "uploads", "automatic"):
        monkeypatch.setattr(gpu_measure, part, lambda *arguments: {})
    monkeypatch.setattr(gpu.gpu_report, "_lines", lambda found: iter(["told"]))
    code, found, _ = run(tmp_path)
    assert code == 1  # a wrong label
    assert len(found["cases"]) == 1
    assert f"cases, {SMALL[0].name}: MemoryError: {SMALL[0].name}" in found["left_out"]
    code, found, _ = run(tmp_path, "--minutes", "0")
    assert code == 0
    assert found["cases"] == found["uploads"] == []
    assert f"cases, {SMALL[1].name}: the minutes are used up" in found["left_out"]


@pytest.mark.usefixtures("small")
def test_a_wrong_label_is_found(backend):
    case = SMALL[0]
    x = made(case)
    centers = start_of(x, case.k)
    labels = oracles.labels(x, centers, "l2").astype(np.int32)
    labels[[7, 90]] = (labels[[7, 90]] + 1) % case.k
    model = SimpleNamespace(
        cluster_centers_=backend.asarray(centers),
        labels_=backend.asarray(labels),
        predict=lambda x: backend.asarray(oracles.labels(x.get(), centers, "l2")),
    )
    found = gpu_measure.judged(case, x, model, backend.asarray(x))
    assert found["wrong_labels"] == found["predict_differs"] == 2
