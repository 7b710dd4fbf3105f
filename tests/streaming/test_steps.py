"""The streamed loop is the loop in memory: labels, centres, history, whatever the blocks."""

from itertools import product

import numpy as np
import pytest
import tqdm.auto

from kmgpu import KMeans, KMedians, RowBlocks, kernels, set_num_threads
from kmgpu.streaming import fit as streaming
from tests.support import oracles

ESTIMATORS = [KMeans, KMedians]
DTYPES = [np.float32, np.float64, np.int16, np.uint8]


def data(n=1500, d=5, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    x = 20 * rng.normal(size=(n, d)) + 60 * rng.integers(1, 4, (n, 1))
    return np.clip(x, 0, 250).astype(dtype)


WEIGHTS = {
    "none": lambda n: None,
    "zeros and ones": lambda n: np.arange(n) % 3 != 0,
    "whole": lambda n: np.arange(n) % 4,
    "any": lambda n: np.random.default_rng(1).random(n) * (np.arange(n) % 5 > 0),
}


def cut(x, size):
    return RowBlocks([x[a : a + size] for a in range(0, len(x), size)])


def assert_same(one, other):
    np.testing.assert_array_equal(one.labels_, other.labels_)
    np.testing.assert_allclose(one.cluster_centers_, other.cluster_centers_, rtol=1e-6)
    assert one.cluster_centers_.dtype == other.cluster_centers_.dtype
    assert (one.n_iter_, one.converged_) == (other.n_iter_, other.converged_)
    assert one.inertia_ == pytest.approx(other.inertia_, rel=1e-9)
    for a, b in zip(one.history_, other.history_, strict=True):
        assert a[:2] + a[4:] == b[:2] + b[4:]
        assert a.loss == pytest.approx(b.loss, rel=1e-9)
        assert a.shift == pytest.approx(b.shift, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_streamed_fit_is_the_fit_in_memory(estimator, dtype, weights):
    x = data(dtype=dtype)
    weight = WEIGHTS[weights](len(x))
    model = {"n_clusters": 6, "init": x[:6].astype(float), "max_iter": 12, "tol": 0}
    held = estimator(**model).fit(x, sample_weight=weight)
    read = estimator(**model).fit(cut(x, 400), sample_weight=weight)
    assert_same(held, read)
    np.testing.assert_array_equal(read.predict(cut(x, 7)), read.labels_)
    assert read.score(cut(x, 90), sample_weight=weight) == pytest.approx(-read.inertia_, rel=1e-9)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_tolerance_is_scaled_as_in_memory(estimator):
    x = data()
    held = estimator(6, init=x[:6], tol=3e-1).fit(x)
    assert held.converged_
    assert held.history_[-1].n_changed > 0  # it is the tolerance that stops it
    assert_same(held, estimator(6, init=x[:6], tol=3e-1).fit(cut(x, 400)))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("weights", ["none", "any"])
def test_bits_depend_on_neither_cuts_nor_threads(estimator, weights):
    x = data(n=1000)
    weight = WEIGHTS[weights](len(x))
    found = []
    try:
        for size, n_threads in ((1, 1), (7, 2), (1000, 4), (999, 1)):
            set_num_threads(n_threads)
            model = estimator(6, init=x[:6], tol=0).fit(cut(x, size), sample_weight=weight)
            found.append(
                (model.labels_.tobytes(), model.cluster_centers_.tobytes(), model.history_)
            )
    finally:
        set_num_threads(None)
    assert found[1:] == found[:-1]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_labels_do_not_depend_on_the_size_of_blocks(estimator, monkeypatch):
    x, found = data(n=130), []
    for rows in (1, 7, 100, 130):
        monkeypatch.setattr("kmgpu.sources.stream.PIECE_BYTES", rows * x[0].nbytes)
        found.append(estimator(4, init=x[:4], max_iter=3, tol=0).fit(cut(x, 130)))
    for model in found:
        assert_same(found[-1], model)
    assert_same(found[-1], estimator(4, init=x[:4], max_iter=3, tol=0).fit(x))


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr("kmgpu.sources.stream.PIECE_BYTES", 7000)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("weights", "mode", "d"),
    [*product(WEIGHTS, ["fused", "reference"], [5]), *product(["none", "any"], ["fused"], [130])],
)
def test_many_blocks(estimator, weights, mode, d, small_blocks):
    x = data(n=900, d=d)
    weight = WEIGHTS[weights](len(x))
    held = estimator(5, init=x[:5], max_iter=8, tol=0).fit(x, sample_weight=weight)
    with kernels.dispatch.use(mode):
        read = estimator(5, init=x[:5], max_iter=8, tol=0).fit(cut(x, 100), sample_weight=weight)
    assert_same(held, read)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize(("sampled", "most"), [(50, 1 << 20), (300, 100), (3, 10)])
def test_brackets_that_miss_cost_passes_and_nothing_else(
    weights, dtype, sampled, most, small_blocks, monkeypatch
):
    monkeypatch.setattr(streaming, "SAMPLE", sampled)
    monkeypatch.setattr(streaming, "LEAST_SAMPLE", sampled)
    monkeypatch.setattr(streaming, "OF_A_CLUSTER", 0)
    monkeypatch.setattr(streaming, "MOST_COLLECTED", most)
    x = data(n=900, dtype=dtype)
    weight = WEIGHTS[weights](len(x))
    held = KMedians(4, init=x[:4], max_iter=5, tol=0).fit(x, sample_weight=weight)
    read = KMedians(4, init=x[:4], max_iter=5, tol=0).fit(cut(x, 100), sample_weight=weight)
    assert_same(held, read)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("weights", ["none", "any"])
def test_empty_clusters_take_the_costliest_rows(estimator, weights, small_blocks):
    x = data(n=1200)
    weight = WEIGHTS[weights](len(x))
    init = np.concatenate([x[:3], np.full((2, x.shape[1]), 1e4)])
    held = estimator(5, init=init, tol=0).fit(x, sample_weight=weight)
    read = estimator(5, init=init, tol=0).fit(cut(x, 100), sample_weight=weight)
    assert held.n_relocated_ == read.n_relocated_ == 2
    assert_same(held, read)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_far_from_the_origin_nothing_is_lost(estimator, small_blocks):
    x = (data(n=900) + 1e6).astype(np.float64)
    read = estimator(4, init=x[:4], tol=0).fit(cut(x, 100))
    near = estimator(4, init=x[:4] - 1e6, tol=0).fit(x - 1e6)
    np.testing.assert_array_equal(read.labels_, near.labels_)
    assert read.inertia_ == pytest.approx(near.inertia_, rel=1e-7)


def test_medians_are_those_of_numpy(small_blocks):
    x = data(n=901)
    model = KMedians(4, init=x[:4], max_iter=3, tol=0).fit(cut(x, 100))
    last = KMedians(4, init=model.cluster_centers_, max_iter=1, tol=0).fit(cut(x, 100))
    for j, center in enumerate(last.cluster_centers_):
        own = x[model.labels_ == j].astype(np.float64)
        np.testing.assert_array_equal(center, np.median(own, axis=0).astype(np.float32))


@pytest.mark.parametrize("k", [5, 200])
def test_few_looks_at_the_rows(k, monkeypatch):
    made = []
    engine = streaming.StreamedData.engine
    monkeypatch.setattr(
        streaming.StreamedData,
        "engine",
        lambda self, plan: made.append(engine(self, plan)) or made[-1],
    )
    monkeypatch.setattr(streaming, "MOST_COLLECTED", 1 << 15)
    x = np.random.default_rng(0).normal(size=(60_000, 8)).astype(np.float32)
    KMedians(k, init=x[:k], max_iter=12, tol=0).fit(cut(x, 10_000))
    looks = made[0].looks
    assert len(looks) == 12
    assert max(looks[:2]) <= 3
    assert max(looks[2:]) <= 2


def test_a_memmap_beyond_the_budget_is_streamed(tmp_path, monkeypatch):
    x = data(n=20_000)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    opened = []
    real = streaming.StreamedData.engine
    monkeypatch.setattr(
        streaming.StreamedData, "engine", lambda self, plan: opened.append(1) or real(self, plan)
    )
    KMeans(3, init=x[:3], memory_budget=1 << 20).fit(mapped)
    assert not opened
    read = KMeans(3, init=x[:3], memory_budget=1 << 17).fit(mapped)
    assert opened
    assert_same(KMeans(3, init=x[:3]).fit(x), read)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_nan_is_named_by_row_and_block(estimator):
    x = data()
    x[700, 3] = np.nan
    blocks = cut(x, 300)
    with pytest.raises(ValueError, match=r"row 100 of block 2 \(row 700 of all\), column 3"):
        estimator(2).fit(blocks)
    good = estimator(2, init=x[:2]).fit(cut(data(), 300))
    for method in (good.predict, good.transform, good.score):
        with pytest.raises(ValueError, match="row 100 of block 2"):
            method(blocks)


def test_every_pass_shows_its_rows(small_blocks, monkeypatch):
    shown = []

    class Bar(tqdm.auto.tqdm):
        def close(self):
            if self.desc == "rows" and not self.disable:
                shown.append((self.total, self.n, self.unit))
            super().close()

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    x = data(n=900)
    blocks = RowBlocks(lambda: (x[a : a + 100] for a in range(0, 900, 100)))
    KMeans(4, init=x[:4], max_iter=2, tol=0, progress=True).fit(blocks)
    assert shown[0] == (None, 900, "row")  # nobody knew before how many there are
    assert len(shown) >= 4
    assert set(shown[1:]) == {(900, 900, "row")}


def test_a_generator_is_refused_by_name():
    with pytest.raises(TypeError, match="X is a generator, which can be read once only"):
        KMeans(2).fit(block for block in [data()])


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_distances_and_the_loss_are_those_of_the_oracle(estimator):
    x = data(n=300)
    model = estimator(4, init=x[:4]).fit(cut(x, 70))
    np.testing.assert_array_equal(model.transform(cut(x, 41)), model.transform(x))
    costs = oracles.costs(x, model.cluster_centers_, model.loss.name)
    assert model.inertia_ == pytest.approx(costs.min(axis=1).sum(), rel=1e-9)
