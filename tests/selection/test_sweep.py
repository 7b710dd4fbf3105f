"""A range of k side by side: every number of the table against brute force."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_samples
from tqdm.auto import tqdm

import kmgpu
from kmgpu import KMeans, KMedians, sweep
from kmgpu.algorithm.assignment import runner_up
from kmgpu.algorithm.losses import LOSSES
from kmgpu.selection.sweep import Sweep, SweepEntry
from tests.support import oracles

ESTIMATORS = {"l2": KMeans, "l1": KMedians}
METRIC = {"l2": "euclidean", "l1": "cityblock"}


@pytest.fixture(params=["l2", "l1"])
def loss(request):
    return request.param


@pytest.fixture
def x():
    return oracles.blobs(120, 2, 4, seed=1)


def simplified(x, centers, metric, weight=None):
    """Row by row, as it is defined."""
    found = []
    for row in cdist(x, centers, metric):
        a, b = sorted(row)[:2]
        found.append(0.0 if b == 0 else (b - a) / b)
    return np.average(found, weights=weight)


def made(losses, ks=None):
    ks = range(1, len(losses) + 1) if ks is None else ks
    entries = tuple(SweepEntry(k, v, 1, 0.0, 0.5, 0.5) for k, v in zip(ks, losses, strict=True))
    return Sweep(entries, "l2", 0, 10)


def without_seconds(table):
    return [entry._replace(seconds=0.0) for entry in table]


def test_every_number_is_the_one_brute_force_gives(backend, loss, x):
    table = sweep(backend.asarray(x), [6, 1, 3], loss=loss, random_state=4)
    assert [entry.k for entry in table] == [1, 3, 6]
    assert (table.loss, table.random_state, table.n_sampled) == (loss, 4, 120)
    for entry in table:
        fit = ESTIMATORS[loss](entry.k, random_state=4).fit(x)
        centers = fit.cluster_centers_
        assert entry.loss == pytest.approx(oracles.total(x, centers, loss), rel=1e-9)
        assert entry.iterations == fit.n_iter_
        assert entry.seconds > 0
        if entry.k == 1:
            assert np.isnan([entry.simplified_silhouette, entry.silhouette]).all()
            continue
        labels = oracles.labels(x, centers, loss)
        expected = simplified(x, centers, METRIC[loss])
        assert entry.simplified_silhouette == pytest.approx(expected, rel=1e-9)
        exact = silhouette_samples(cdist(x, x, METRIC[loss]), labels, metric="precomputed")
        assert entry.silhouette == pytest.approx(exact.mean(), rel=1e-9)


@pytest.mark.parametrize("budget", [None, 1 << 16])
def test_the_runner_up_is_the_nearest_centre_but_the_own(backend, loss, budget):
    rng = np.random.default_rng(0)
    x = (1e4 + rng.standard_normal((3000, 3))).astype(np.float32)
    centers = x[:7].astype(np.float64)
    labels = rng.integers(7, size=len(x)).astype(np.int32)
    costs = oracles.costs(x, centers, loss)
    costs[np.arange(len(x)), labels] = np.inf
    args = (backend.asarray(value) for value in (x, centers, labels))
    found = runner_up(*args, LOSSES[loss], budget)
    assert found.dtype == backend.xp.int32
    np.testing.assert_array_equal(backend.to_numpy(found), costs.argmin(axis=1))


def test_ties_of_the_runner_up_go_to_the_lowest_index(loss):
    centers = np.array([[0.0], [2.0], [2.0], [-2.0]])
    found = runner_up(np.array([[0.0], [2.0]]), centers, np.array([0, 1], np.int32), LOSSES[loss])
    assert found.tolist() == [1, 2]


def test_weights_are_those_of_the_mean_and_of_the_draw(loss, x):
    weight = np.arange(120) % 4.0
    (entry,) = table = sweep(x, [3], loss=loss, sample_weight=weight, random_state=0)
    fit = ESTIMATORS[loss](3, random_state=0).fit(x, sample_weight=weight)
    assert entry.loss == pytest.approx(oracles.total(x, fit.cluster_centers_, loss, weight))
    expected = simplified(x, fit.cluster_centers_, METRIC[loss], weight)
    assert entry.simplified_silhouette == pytest.approx(expected, rel=1e-9)
    assert table.n_sampled == 90
    there = weight > 0
    exact = silhouette_samples(
        cdist(x[there], x[there], METRIC[loss]), fit.labels_[there], metric="precomputed"
    )
    assert entry.silhouette == pytest.approx(exact.mean(), rel=1e-9)


def test_the_sample_is_seeded_and_close_to_all(x):
    x = np.tile(x, (5, 1)) + 0.01 * np.random.default_rng(0).standard_normal((600, 2))
    first, again, other = (sweep(x, [4], sample_size=200, random_state=s) for s in (0, 0, 1))
    (all_rows,) = sweep(x, [4], sample_size=600, random_state=0)
    assert first.n_sampled == 200
    assert first.entries[0].silhouette == again.entries[0].silhouette != other.entries[0].silhouette
    assert first.entries[0].silhouette == pytest.approx(all_rows.silhouette, abs=0.05)


def test_a_fit_does_not_depend_on_the_others_nor_on_how_many_run_at_a_time(loss, x):
    table = sweep(x, range(1, 9), loss=loss, random_state=2)
    for n_jobs in (3, -1):
        several = sweep(x, range(1, 9), loss=loss, random_state=2, n_jobs=n_jobs)
        np.testing.assert_equal(without_seconds(several), without_seconds(table))
    alone = sweep(x, [5], loss=loss, random_state=2)
    assert without_seconds(alone)[0] == without_seconds(table)[4]


@pytest.mark.slow
def test_processes_give_the_same_result(x):
    joblib = pytest.importorskip("joblib")
    table = sweep(x, [2, 3], random_state=2)
    with joblib.parallel_config("loky", n_jobs=2):
        assert without_seconds(sweep(x, [2, 3], random_state=2)) == without_seconds(table)


@pytest.mark.parametrize("seed", [None, np.random.default_rng(5), np.random.RandomState(5)])
def test_whatever_the_seed_was_an_entry_can_be_repeated(x, seed):
    table = sweep(x, [3], random_state=seed)
    assert KMeans(3, random_state=table.random_state).fit(x).inertia_ == table.entries[0].loss


def test_other_parameters_reach_the_estimators(x):
    (entry,) = sweep(x, [4], random_state=0, max_iter=1, init="random", n_init=1)
    fit = KMeans(4, random_state=0, max_iter=1, init="random", n_init=1).fit(x)
    assert (entry.iterations, entry.loss) == (1, fit.inertia_)


def test_frames_lists_and_sparse_matrices_are_data(x):
    table = without_seconds(sweep(x, [2], random_state=0))
    for same in (pd.DataFrame(x, columns=["a", "b"]), x.tolist()):
        assert without_seconds(sweep(same, [2], random_state=0)) == table
    (entry,) = sweep(csr_array(x), [2], random_state=0)
    assert entry.simplified_silhouette == pytest.approx(table[0].simplified_silhouette)


def test_coinciding_points_and_centres_score_nothing():
    with pytest.warns(Warning, match="distinct clusters"):
        (entry,) = sweep(np.ones((5, 2)), [2], random_state=0)
    assert entry.simplified_silhouette == 0
    assert np.isnan(entry.silhouette)


def test_as_many_clusters_as_rows():
    (entry,) = sweep(np.array([[0.0], [1.0], [5.0]]), [3], random_state=0)
    assert entry.simplified_silhouette == 1
    assert np.isnan(entry.silhouette)


def test_memory_stays_within_the_budget():
    n, k = 100_000, 64
    x = np.random.default_rng(0).standard_normal((n, 2))
    labels = np.zeros(n, np.int32)
    tracemalloc.start()
    runner_up(x, x[:k].copy(), labels, LOSSES["l1"], 1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * n + 8 * (1 << 20) < 8 * n * k / 4


@pytest.mark.parametrize(
    ("losses", "knee"),
    [
        ([10, 4, 2, 1, 0], 2),  # 0.35 below the chord at k = 2, 0.3 at k = 3
        ([10, 9, 1, 0.5, 0], 3),
        ([10, 5, 0], None),  # a straight line
        ([10, 9, 0], None),  # above the chord
        ([10, 0], None),
        ([3, 3, 3], None),
        ([1, 2, 3], None),
        ([8, 2, 2, 2, 0], 2),
    ],
)
def test_the_knee_is_farthest_below_the_chord(losses, knee):
    assert made(losses).knee == knee


def test_the_knee_counts_k_not_entries():
    table = made([10, 4, 2, 0], [1, 2, 9, 10])
    distances = [
        (1 - (k - 1) / 9) - value / 10
        for k, value in zip([1, 2, 9, 10], [10, 4, 2, 0], strict=True)
    ]
    assert table.knee == [1, 2, 9, 10][int(np.argmax(distances))] == 2


def test_it_is_a_small_table(x):
    table = sweep(x, range(1, 4), random_state=0)
    assert len(table) == 3
    assert list(table)[1] is table.entries[1]
    columns = table.to_dict()
    assert list(columns) == list(SweepEntry._fields)
    assert columns["loss"] == [entry.loss for entry in table]
    assert pd.DataFrame(columns).shape == (3, 6)
    title, *rows, notes = repr(table).splitlines()
    assert " ".join(title.split()) == "k loss iterations seconds simplified silhouette silhouette"
    assert [row.split()[:2] for row in rows] == [[str(e.k), f"{e.loss:.6g}"] for e in table]
    assert len({len(line) for line in (title, *rows)}) == 1
    assert notes.startswith("loss l2, squared units of the data; silhouette of 120 rows; ")
    html = table._repr_html_()
    assert html.count("<tr>") == 4
    assert html.count("<td>") == 18
    for cell in itertools.chain(*(row.split() for row in rows)):
        assert f"<td>{cell}</td>" in html


@pytest.mark.parametrize(
    ("ks", "parameters", "error", "said"),
    [
        (
            5,
            {},
            TypeError,
            r"ks must be several numbers of clusters, such as range\(1, 11\); got 5",
        ),
        ("12", {}, TypeError, "got '12'"),
        ([], {}, ValueError, r"ks=\[\] must hold at least one"),
        ([2, 2], {}, ValueError, r"ks=\[2, 2\] must hold .* each once"),
        ([0, 1], {}, ValueError, "every number in ks=0 must be at least 1"),
        ([1.5], {}, TypeError, "every number in ks must be an integer, got 1.5"),
        ([2, 121], {}, ValueError, "n_samples=120 should be >= n_clusters=121"),
        ([2], {"loss": "l3"}, ValueError, "loss='l3' is not known"),
        ([2], {"sample_size": 1}, ValueError, "sample_size=1 must be at least 2"),
        ([2], {"random_state": -1}, ValueError, "random_state=-1 cannot be used"),
        ([2], {"max_iter": 0}, ValueError, "max_iter=0 must be at least 1"),
        ([2], {"colour": 1}, TypeError, "colour"),
        ([2], {"sample_weight": np.zeros(120)}, ValueError, "zero for every row"),
    ],
)
def test_bad_input_is_told_before_anything_is_fitted(x, monkeypatch, ks, parameters, error, said):
    monkeypatch.setattr(KMeans, "fit", lambda *_, **__: pytest.fail("a fit was begun"))
    with pytest.raises(error, match=said):
        sweep(x, ks, **parameters)


def test_progress_is_a_bar_of_tqdm_auto(x, monkeypatch):
    bars = []

    def bar(fits, **options):
        bars.append(tqdm(fits, disable=True, **options))
        return bars[-1]

    monkeypatch.setattr("tqdm.auto.tqdm", bar)
    assert len(sweep(x, range(1, 4), random_state=0)) == 3
    assert not bars
    assert len(sweep(x, range(1, 4), random_state=0, progress=True)) == 3
    assert [made.total for made in bars] == [3]


def test_the_function_is_public():
    assert kmgpu.sweep is sweep


def entries(**columns):
    length = len(columns["k"])
    blank = {"iterations": [1] * length, "seconds": [0.0] * length}
    names = SweepEntry._fields
    rows = zip(*((blank | columns)[name] for name in names), strict=True)
    return Sweep(tuple(SweepEntry(*row) for row in rows), "l2", 0, 9)


def test_a_k_is_asked_for_by_name_and_no_position_is_taken_for_it():
    table = entries(
        k=[1, 2, 3, 5], loss=[9.0, 8, 1, 0.5],
        simplified_silhouette=[np.nan, 0.7, 0.6, 0.7], silhouette=[np.nan, 0.2, 0.9, 0.9],
    )  # fmt: skip
    assert table.at(3) is table.entries[2]
    with pytest.raises(KeyError, match=r"k=4 was not fitted; ks are \[1, 2, 3, 5\]"):
        table.at(4)
    with pytest.raises(TypeError, match=r"use .at\(k\)"):
        table[3]
    assert table.best().k == 3
    assert table.best("simplified_silhouette").k == 2
    assert table.best("knee").k == table.knee == 3
    with pytest.raises(ValueError, match="by="):
        table.best("loss")
    alone = entries(k=[1], loss=[1.0], simplified_silhouette=[np.nan], silhouette=[np.nan])
    assert alone.best() is alone.best("knee") is None
