"""The benchmark harness on engines that are made up, in this process; whole ones are slow."""

import json
import sys
from functools import partial
from math import isfinite
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from benchmarks import (
    compare,
    engines,
    first,
    imports,
    machine,
    memory,
    peers,
    rounds,
    rows,
    sparse,
    worker,
)
from benchmarks.client import Client, EngineError
from benchmarks.embeddings import CUMULATIVE, sentence_like
from benchmarks.engine import Engine, Found
from benchmarks.losses import loss
from benchmarks.rounds import Limits, Measurement, Outcome, Task, ratio
from tests.support.made_up_engines import METRIC, STOPPED, Lloyd, LocalClient, made_up

ROW = rows.Row("made-up", 5, lambda: rows.blobs(600, 3, 5, spread=3.0))


@pytest.fixture
def made_up_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """kmgpu takes 1 ms an iteration, the exact peer of either loss 2, a sloppy one half."""
    found = [made_up("kmgpu", 0.001, name) for name in METRIC]
    found += [made_up(name, 0.002, loss) for loss, name in compare.SKLEARN.items()]
    found += [made_up("sloppy", 0.0005, exact=False, note="own seeding")]
    found += [made_up("gone", modules=("no_such_module",))]
    monkeypatch.setattr(engines, "ENGINES", tuple(found))
    monkeypatch.setattr(rounds, "Client", LocalClient)
    monkeypatch.setattr(rounds, "SETTLE_SECONDS", 0.0)


@pytest.fixture
def row_file(tmp_path: Path) -> list[str]:
    np.save(tmp_path / "made-up.npy", ROW.make())
    return ["--data", str(tmp_path / "made-up.npy"), "--k", "5"]


def told_by(arguments: list[str], folder: Path) -> dict:
    assert compare.main([*arguments, "--json", str(folder / "out.json")]) == 0
    return json.loads((folder / "out.json").read_text())


def measured(found: list[Engine], tmp_path: Path, row=ROW, n_iter=25, **limits):
    limits = Limits(**({"rounds": 2, "memory": False} | limits))
    measurement = Measurement(Task(row, "l2", "fit", 1, n_iter), row.make(), limits, tmp_path)
    return measurement, measurement.run(found)


@pytest.mark.usefixtures("made_up_engines")
@pytest.mark.parametrize("name", ["l2", "l1"])
def test_compare_runs_to_its_end(name, row_file, tmp_path, capsys) -> None:
    drawn = tmp_path / "out.png"
    arguments = [*row_file, "--loss", name, "--rounds", "2", "--picture", str(drawn)]
    told = told_by(arguments, tmp_path)
    (result,) = told["results"]
    assert result["best_exact_peer"] == compare.SKLEARN[name]
    assert result["ratio"] == told["geometric_mean"] == pytest.approx(2.0)
    assert result["loss_difference"] == 0
    for engine in result["engines"][:2]:
        assert len(engine["seconds"]) == 2
        assert engine["n_iter"] == result["n_iter"] <= 25
        assert engine["memory"] >= 0
    printed = capsys.readouterr().out
    assert ("absent: no_such_module is not installed" in printed) == (name == "l2")
    assert ("approximate, own seeding" in printed) == (name == "l2")
    assert drawn.stat().st_size > 0


@pytest.mark.usefixtures("made_up_engines")
@pytest.mark.parametrize("section", ["default", "small"])
def test_sections_without_given_centres(section, row_file, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(compare, "SMALL_FITS", 2)
    monkeypatch.setattr(compare, "SMALL_PREDICTS", 3)
    arguments = [*row_file, "--rounds", "1", "--section", section]
    results = told_by([*arguments, "--engines", "kmgpu,sklearn-lloyd"], tmp_path)["results"]
    assert len(results) == (3 if section == "small" else 1)
    assert all(result["ratio"] > 0 for result in results)


@pytest.mark.usefixtures("made_up_engines")
def test_bar_and_failure_are_exit_codes(row_file, monkeypatch) -> None:
    arguments = ["--rounds", "1", "--no-memory", *row_file]
    assert compare.main([*arguments, "--bar", "1.9"]) == 0
    assert compare.main([*arguments, "--bar", "2.1"]) == 1
    assert compare.main([*arguments, "--engines", "gone,kmgpu"]) == 1


@pytest.mark.usefixtures("made_up_engines")
def test_what_does_not_fit_the_minutes_is_skipped(row_file, capsys) -> None:
    assert compare.main([*row_file, "--minutes", "1e-9"]) == 0
    assert "skipped, the minutes are used up" in capsys.readouterr().out


@pytest.mark.usefixtures("made_up_engines")
def test_rounds_end_in_time(tmp_path, monkeypatch) -> None:
    now = iter(range(1000))
    monkeypatch.setattr(rounds.time, "monotonic", lambda: float(next(now)))
    _, (one,) = measured([made_up("one", 0.001)], tmp_path, rounds=9, until=20.0)
    assert 1 <= len(one.seconds) < 9


def test_tasks_of_sections() -> None:
    sizes = [task.row.name for task in compare.tasks("scaling", [], 4, ["l2"])]
    assert len(sizes) == len(set(sizes)) == 10
    assert [t.n_threads for t in compare.tasks("threads", [], 6, ["l2"])] == [1, 2, 4, 6]
    assert [t.row for t in compare.tasks("fit", [], 2, ["l2"], n_iter=3)] == list(rows.FIT)
    both = compare.tasks("fit", [], 2, ["l2", "l1"], device="cuda")
    assert [(t.row.name, t.loss) for t in both[:2]] == [("1Mx128", "l2"), ("1Mx128", "l1")]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--rows", "none"],
        ["--engines", "none"],
        ["--data", "x.npy"],
        ["--device", "cuda", "--section", "small"],
        ["--device", "cuda", "--engines", "sklearn-lloyd"],
    ],
)
def test_wrong_arguments_are_named(arguments, capsys) -> None:
    with pytest.raises(SystemExit):
        compare.main(arguments)
    assert "error:" in capsys.readouterr().err


@pytest.mark.usefixtures("made_up_engines")
def test_a_long_fit_is_scaled(tmp_path) -> None:
    """Set-up takes half a second: it must not be counted for each of the iterations left out."""
    base = made_up("long")

    def prepare(x, init):
        fit = base.prepare(x, init)
        return lambda n_iter: Found(fit(1).centers, n_iter, 0.5 + 0.1 * n_iter)

    _, (outcome,) = measured([Engine("long", "l2", prepare)], tmp_path, seconds=1e-9)
    assert outcome.scaled
    assert outcome.n_iter == 4
    assert outcome.seconds == [pytest.approx(0.5 + 0.1 * 25)]


@pytest.mark.usefixtures("made_up_engines")
def test_the_first_engine_sets_the_iterations_of_all(tmp_path) -> None:
    """FAISS and SciPy never stop by themselves."""
    asked = []

    def prepare(x, init):
        return lambda n_iter: Found(init, asked.append(n_iter) or n_iter, 0.001)

    endless = Engine("endless", "l2", prepare)
    measurement, (first, second) = measured([made_up("first"), endless], tmp_path, n_iter=300)
    assert first.n_iter == second.n_iter == measurement.n_iter < 300
    assert asked == [2, 2, measurement.n_iter, measurement.n_iter]


@pytest.mark.usefixtures("made_up_engines")
def test_engines_take_turns(tmp_path) -> None:
    turns = []

    def prepare(name, x, init):
        return lambda n_iter: Found(init, n_iter, turns.append(name) or 0.001)

    both = [Engine(name, "l2", partial(prepare, name)) for name in "ab"]
    measured(both, tmp_path, rounds=3)
    assert turns[-6:] == ["a", "b", "b", "a", "a", "b"]


@pytest.mark.usefixtures("made_up_engines")
def test_a_failing_engine_is_listed_and_stopped(tmp_path) -> None:
    STOPPED.clear()

    def prepare(x, init):
        msg = "NaN found"
        raise ValueError(msg)

    _, (one, two) = measured([Engine("one", "l2", prepare), made_up("two")], tmp_path)
    assert one.why_not == "ValueError: NaN found"
    assert len(STOPPED) == 1
    assert not one.seconds
    assert two.why_not is None
    assert len(two.seconds) == 2


def test_a_dead_worker_says_so_and_a_late_one_is_killed(tmp_path) -> None:
    unknown = Engine("unknown", "l2", lambda x, init: None)
    with Client(unknown, 1, tmp_path) as client, pytest.raises(EngineError, match="longer than"):
        client.ask("load", 0.0, x="", init="")
    with Client(unknown, 1, tmp_path) as client, pytest.raises(EngineError, match="code 1"):
        client.ask("load", 60.0, x="", init="")


def test_the_clock_runs_during_the_call_alone(tmp_path, monkeypatch) -> None:
    now = [0.0]

    def spend(seconds):
        now[0] += seconds

    def prepare(x, init):
        spend(100.0)
        return lambda n_iter: Found(init, spend(2.0 * n_iter) or n_iter)

    monkeypatch.setattr(worker, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    files = {"x": sparse.save(tmp_path, ROW.make()), "init": str(tmp_path / "init.npy")}
    np.save(files["init"], np.zeros((5, 3)))
    one = worker.Worker(Engine("one", "l2", prepare))
    one.load(files)
    assert one.fit({"n_iter": 5, "out": str(tmp_path / "out.npy")})["seconds"] == 10.0
    assert np.load(tmp_path / "out.npy").shape == (5, 3)


def test_ratio_pairs_the_rounds() -> None:
    ours, peer = Outcome("kmgpu", True, seconds=[1.0, 2.0, 4.0]), Outcome("p", True)
    assert ratio(peer, ours) is None
    peer.seconds = [3.0, 4.0, 4.0]
    assert ratio(peer, ours) == 2.0
    peer.seconds = [8.0]
    assert ratio(peer, ours) == 4.0


@pytest.mark.parametrize("name", ["l2", "l1"])
def test_engines_make_the_same_fit(name: str) -> None:
    """Every installed one that is exact, against plain Lloyd."""
    x = ROW.make()
    start = rows.initial_centers(x, 5)
    plain = Lloyd(name, 5, start, 4).fit(x)
    expected = loss(x, plain.cluster_centers_, name)
    for engine in engines.engines(name):
        if engine.absent() is None:
            found = engine.prepare(x, start)(4)
            assert np.shape(found.centers) == (5, 3)
            if engine.exact:
                assert loss(x, found.centers, name) == pytest.approx(expected, 1e-5), engine.name


def test_faiss_trains_on_all_rows(monkeypatch) -> None:
    asked = {}

    class Kmeans:
        def __init__(self, d, k, **settings):
            asked.update(settings, d=d, k=k)
            self.centroids = "centers"

        def train(self, x, init_centroids):
            asked["shapes"] = x.shape, init_centroids.shape

    monkeypatch.setitem(sys.modules, "faiss", SimpleNamespace(Kmeans=Kmeans))
    x = ROW.make()
    assert peers.prepare_faiss(x, x[:5], gpu=True)(7) == ("centers", 7, None)
    assert asked["niter"] == 7
    assert asked["min_points_per_centroid"] == asked["nredo"] == 1
    assert asked["max_points_per_centroid"] == len(x)
    assert asked["gpu"]
    assert asked["shapes"] == ((600, 3), (5, 3))


def check_row(name: str, shape: tuple[int, int]) -> None:
    """Distinct centres of float32 rows that are the same every time."""
    row = rows.ROWS[name]
    x = row.make()
    assert x.shape == shape
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    assert np.isfinite(x).all()
    start = rows.initial_centers(x, row.n_clusters)
    assert start.shape == (row.n_clusters, x.shape[1])
    assert len(np.unique(start, axis=0)) == row.n_clusters
    if x.nbytes < 2**20:
        np.testing.assert_array_equal(x, row.make())


SHAPES = {
    "plane": (2_000_000, 2),
    "pixels": (1_093_120, 3),
    "tabular": (500_000, 16),
    "blobs128": (100_000, 128),
    "blobs768": (50_000, 768),
    "embeddings1000": (30_000, 384),
}


@pytest.mark.parametrize(
    ("name", "shape"), [("small", (1_000, 4)), ("iris", (150, 4)), ("toy", (600, 4))]
)
def test_small_rows(name: str, shape: tuple[int, int]) -> None:
    check_row(name, shape)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shape"), SHAPES.items())
def test_large_rows(name: str, shape: tuple[int, int]) -> None:
    check_row(name, shape)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("scattered", (20_000, 5_000), np.float64),
        ("words20", (50_000, 20_000), np.float64),
        ("words100-float32", (50_000, 20_000), np.float32),
    ],
)
def test_sparse_rows(name: str, shape: tuple[int, int], dtype: type) -> None:
    row = rows.ROWS[name]
    x = row.make()
    assert (x.shape, x.dtype) == (shape, dtype)
    assert x.has_canonical_format
    assert x.nnz < 0.011 * shape[0] * shape[1]
    start = rows.initial_centers(x, row.n_clusters)
    assert len(np.unique(start @ np.arange(1.0, shape[1] + 1))) == row.n_clusters
    assert (x != row.make()).nnz == 0


def test_sparse_rows_travel_as_files_and_are_marked_as_dense_ones(tmp_path) -> None:
    x = sparse.sparse.random_array((200, 30), density=0.1, format="csr", rng=0)
    back = sparse.load(sparse.save(tmp_path, x))
    assert (back != x).nnz == 0
    for name in METRIC:
        at = x[:3].toarray()
        assert loss(x, at, name) == pytest.approx(loss(x.toarray(), at, name))


@pytest.mark.slow
def test_embeddings_have_the_norm_the_spectrum_and_the_clusters_of_the_fit() -> None:
    """Within a tenth of what real ones lose at 256 centres after four iterations."""
    x = sentence_like()
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-5)
    variances = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    held = np.cumsum(variances) / variances.sum()
    for count, share in CUMULATIVE.items():
        assert count == 0 or held[count - 1] == pytest.approx(share, abs=0.01)
    (lloyd,) = engines.engines("l2", ["sklearn-lloyd"])
    centers = lloyd.prepare(x, rows.initial_centers(x, 256))(4).centers
    spread = float(((x - x.mean(axis=0)) ** 2).sum())
    assert loss(x, centers, "l2") / spread == pytest.approx(0.70, rel=0.1)


@pytest.mark.parametrize("name", ["l2", "l1"])
def test_loss_is_the_brute_force(name: str) -> None:
    x = ROW.make()
    start = rows.initial_centers(x, 5)
    expected = cdist(x.astype(np.float64), start.astype(np.float64), METRIC[name]).min(axis=1)
    assert loss(x, start, name) == pytest.approx(expected.sum(), rel=1e-12)


@pytest.mark.slow
def test_compare_with_real_processes(row_file, tmp_path) -> None:
    names = "kmgpu,sklearn-lloyd"
    (result,) = told_by([*row_file, "--rounds", "2", "--engines", names], tmp_path)["results"]
    assert result["best_exact_peer"] == "sklearn-lloyd"
    assert isfinite(result["ratio"])
    assert result["ratio"] > 0
    assert abs(result["loss_difference"]) < 1e-5
    assert all(engine["memory"] >= 0 for engine in result["engines"])


@pytest.mark.slow
def test_memory_bar_holds_at_a_tenth_of_its_size(capsys) -> None:
    assert memory.main(["--rows", "100000"]) == 0
    assert capsys.readouterr().out.count("met") == 2


def test_memory_allowance() -> None:
    assert memory.allowance(128_000_000) == 64e6
    assert memory.allowance(1_000_000_000) == 250e6


@pytest.mark.slow
def test_import_cost_is_measured() -> None:
    base, more = imports.extra(rounds=1)
    assert base > 0
    assert isfinite(more)


def test_import_cost_is_what_comes_on_top(monkeypatch) -> None:
    monkeypatch.setattr(imports, "seconds", {"sklearn.cluster": 1.0, "kmgpu.estimators": 1.25}.get)
    assert imports.extra(rounds=3) == (1.0, 0.25)


def test_machine_says_what_it_is() -> None:
    told = machine.describe()
    assert int(told["cores"]) >= 1
    assert "numpy" in told
    assert 0 < machine.resident_bytes() <= machine.peak_bytes()


def test_first_minutes_are_held_against_their_bars(monkeypatch, capsys) -> None:
    for seconds, code, word in ((0.1, 0, "met"), (9.0, 1, "EXCEEDED")):
        for measure in ("whole", "fit"):
            monkeypatch.setattr(first, measure, lambda case, seconds=seconds: seconds)
        assert first.main() == code
        assert capsys.readouterr().out.count(word) == 5


def test_first_minutes_are_measured() -> None:
    assert 0 < first.whole(first.COMMANDS["import kmgpu"]) < 60
    assert first.fit(first.First(["-c", "print(1.5)"], 2.0)) == 1.5
