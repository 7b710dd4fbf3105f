import json
from math import isfinite
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from benchmarks import compare, imports, machine, memory, peers, rows, sparse
from benchmarks.client import Client, EngineError
from benchmarks.embeddings import CUMULATIVE, sentence_like
from benchmarks.losses import loss
from benchmarks.rounds import Limits, Measurement, Outcome, Task, ratio

TOY = rows.Row("toy", 5, lambda: rows.blobs(600, 3, 5, spread=3.0))
QUICK = ["--rounds", "2", "--limit", "60"]


@pytest.fixture
def toy_file(tmp_path: Path) -> list[str]:
    np.save(tmp_path / "toy.npy", TOY.make())
    return ["--data", str(tmp_path / "toy.npy"), "--k", "5"]


DENSE = [name for name, row in rows.ROWS.items() if row not in rows.SPARSE]


@pytest.mark.parametrize("name", DENSE)
def test_rows_are_float32_and_the_same_every_time(name: str) -> None:
    shapes = {
        "plane": (2_000_000, 2),
        "pixels": (1_093_120, 3),
        "tabular": (500_000, 16),
        "blobs128": (100_000, 128),
        "blobs768": (50_000, 768),
        "embeddings256": (30_000, 384),
        "embeddings1000": (30_000, 384),
        "small": (1_000, 4),
        "iris": (150, 4),
    }
    row = rows.ROWS[name]
    x = row.make()
    assert x.shape == shapes[name]
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    assert np.isfinite(x).all()
    start = rows.initial_centers(x, row.n_clusters)
    assert start.shape == (row.n_clusters, x.shape[1])
    assert len(np.unique(start, axis=0)) == row.n_clusters
    if x.nbytes < 2**24:
        np.testing.assert_array_equal(x, row.make())


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("scattered", (20_000, 5_000), np.float64),
        ("words20", (50_000, 20_000), np.float64),
        ("words100-float32", (50_000, 20_000), np.float32),
    ],
)
def test_sparse_rows_travel_as_files(
    name: str, shape: tuple[int, int], dtype: type, tmp_path: Path
) -> None:
    row = rows.ROWS[name]
    x = row.make()
    assert (x.shape, x.dtype) == (shape, dtype)
    assert x.has_canonical_format
    assert x.nnz < 0.011 * shape[0] * shape[1]
    back = sparse.load(sparse.save(tmp_path, x))
    assert (back != x).nnz == 0
    start = rows.initial_centers(x, row.n_clusters)
    assert len(np.unique(start @ np.arange(1.0, shape[1] + 1))) == row.n_clusters
    if name == "scattered":
        assert (x != row.make()).nnz == 0


def test_the_loss_of_sparse_rows_is_that_of_the_dense_ones() -> None:
    x = rows.SPARSE[0].make()[:200]
    for name in ("l1", "l2"):
        at = x[:3].toarray()
        assert loss(x, at, name) == pytest.approx(loss(x.toarray(), at, name))


def test_embeddings_have_the_norm_and_the_spectrum_of_the_fit() -> None:
    x = sentence_like()
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-5)
    variances = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    held = np.cumsum(variances) / variances.sum()
    for count, share in CUMULATIVE.items():
        assert count == 0 or held[count - 1] == pytest.approx(share, abs=0.01)


def test_embeddings_have_the_clusters_of_the_fit() -> None:
    """Within a tenth of what real ones lose at 256 centres after four iterations."""
    x = sentence_like()
    found = peers.engines("l2", ["sklearn-lloyd"])[0].fit(x, rows.initial_centers(x, 256), 4)
    spread = float(((x - x.mean(axis=0)) ** 2).sum())
    assert loss(x, found.centers, "l2") / spread == pytest.approx(0.70, rel=0.1)


@pytest.mark.parametrize(("name", "metric"), [("l2", "sqeuclidean"), ("l1", "cityblock")])
def test_loss_is_the_brute_force(name: str, metric: str) -> None:
    x = TOY.make()
    start = rows.initial_centers(x, 5)
    expected = cdist(x.astype(np.float64), start.astype(np.float64), metric).min(axis=1).sum()
    assert loss(x, start, name) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["l2", "l1"])
def test_compare_runs_to_its_end(name: str, toy_file: list[str], tmp_path: Path) -> None:
    peer = compare.SKLEARN[name]
    written, drawn = tmp_path / "out.json", tmp_path / "out.png"
    arguments = [*QUICK, *toy_file, "--loss", name, "--engines", f"kmgpu,{peer}"]
    assert compare.main([*arguments, "--json", str(written), "--picture", str(drawn)]) == 0
    told = json.loads(written.read_text())
    (result,) = told["results"]
    assert result["best_exact_peer"] == peer
    assert isfinite(result["ratio"])
    assert result["ratio"] > 0
    assert abs(result["loss_difference"]) < 1e-5
    assert told["geometric_mean"] == pytest.approx(result["ratio"])
    for engine in result["engines"]:
        assert len(engine["seconds"]) == 2
        assert engine["n_iter"] == result["n_iter"] <= 25
        assert engine["memory"] >= 0
    assert drawn.stat().st_size > 0


@pytest.mark.parametrize("section", ["default", "small"])
def test_sections_without_given_centres(
    section: str, toy_file: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compare, "SMALL_FITS", 2)
    monkeypatch.setattr(compare, "SMALL_PREDICTS", 3)
    written = tmp_path / "out.json"
    arguments = [*toy_file, "--rounds", "1", "--section", section]
    arguments += ["--engines", "kmgpu,sklearn-lloyd"]
    assert compare.main([*arguments, "--json", str(written)]) == 0
    results = json.loads(written.read_text())["results"]
    assert len(results) == (3 if section == "small" else 1)
    assert all(result["ratio"] > 0 for result in results)


def test_bar_is_an_exit_code(toy_file: list[str]) -> None:
    arguments = ["--rounds", "1", "--no-memory", *toy_file, "--engines", "kmgpu,sklearn-lloyd"]
    assert compare.main([*arguments, "--bar", "1e-9"]) == 0
    assert compare.main([*arguments, "--bar", "1e9"]) == 1


def test_scaling_varies_one_size_at_a_time_and_the_threads() -> None:
    sizes = [task.row.name for task in compare.tasks("scaling", None, 25, 4)]
    assert len(sizes) == len(set(sizes)) == 10
    assert [t.n_threads for t in compare.tasks("threads", None, 25, 6)] == [1, 2, 4, 6]


@pytest.mark.parametrize(
    "arguments", [["--rows", "none"], ["--engines", "none"], ["--data", "x.npy"]]
)
def test_wrong_arguments_are_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        compare.main(arguments)
    assert "error:" in capsys.readouterr().err


def test_a_long_fit_is_scaled(tmp_path: Path) -> None:
    limits = Limits(rounds=2, seconds=1e-9, memory=False)
    found = peers.engines("l2", ["sklearn-lloyd"])
    (outcome,) = Measurement(Task(TOY, "fit", 1), "l2", limits, tmp_path).run(found)
    assert outcome.scaled
    assert outcome.n_iter == 4
    assert len(outcome.seconds) == 1
    assert outcome.seconds[0] > 0


def test_the_first_engine_sets_the_iterations_of_all(tmp_path: Path) -> None:
    """FAISS and SciPy never stop by themselves."""
    found = peers.engines("l2", ["sklearn-lloyd", "scipy"])
    limits = Limits(rounds=1, memory=False)
    measurement = Measurement(Task(TOY, "fit", 1, n_iter=300), "l2", limits, tmp_path)
    lloyd, scipy = measurement.run(found)
    assert lloyd.n_iter == scipy.n_iter == measurement.n_iter < 300


def test_absent_and_failing_engines_are_listed(tmp_path: Path) -> None:
    absent = peers.Engine("gone", "l2", peers.engines("l2")[0].fit, ("no_such_module",))
    one = peers.engines("l2", ["sklearn-lloyd"])[0]
    limits = Limits(rounds=1, memory=False)
    unfit = rows.Row("toy", 5, lambda: np.full((9, 2), np.nan, np.float32))
    task = Task(unfit, "fit", 1)
    first, second = Measurement(task, "l2", limits, tmp_path).run([absent, one])
    assert first.why_not == "no_such_module is not installed"
    assert "NaN" in (second.why_not or "")
    assert not second.seconds


def test_a_dead_worker_says_so(tmp_path: Path) -> None:
    unknown = peers.Engine("unknown", "l2", peers.engines("l2")[0].fit, ())
    with Client(unknown, 1, tmp_path) as client, pytest.raises(EngineError, match="code 1"):
        client.ask("load", x="", init="")


def test_ratio_pairs_the_rounds() -> None:
    ours, peer = Outcome("kmgpu", True, [1.0, 2.0, 4.0]), Outcome("p", True, [3.0, 4.0, 4.0])
    assert ratio(peer, ours) == 2.0
    assert ratio(Outcome("p", True, [8.0]), ours) == 4.0
    assert ratio(Outcome("p", True), ours) is None


def test_engines_make_the_same_fit() -> None:
    x = TOY.make()
    start = rows.initial_centers(x, 5)
    for name, reference in compare.SKLEARN.items():
        base = peers.engines(name, [reference])[0].fit(x, start, 4)
        for engine in peers.engines(name, ["kmgpu", "kmgpu-reference"]):
            found = engine.fit(x, start, 4)
            assert found.n_iter == base.n_iter
            assert loss(x, found.centers, name) == pytest.approx(loss(x, base.centers, name), 1e-5)


def test_memory_bar_holds_at_a_tenth_of_its_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert memory.main(["--rows", "100000"]) == 0
    assert capsys.readouterr().out.count("met") == 2
    assert memory.allowance(128_000_000) == 64e6
    assert memory.allowance(1_000_000_000) == 250e6


def test_import_cost_is_measured() -> None:
    base, more = imports.extra(rounds=1)
    assert base > 0
    assert isfinite(more)


def test_machine_says_what_it_is() -> None:
    told = machine.describe()
    assert int(told["cores"]) >= 1
    assert "numpy" in told
    assert 0 < machine.resident_bytes() <= machine.peak_bytes()
