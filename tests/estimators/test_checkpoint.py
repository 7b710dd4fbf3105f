"""A fit that was killed goes on from its checkpoint, to the same bits."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from kmgpu import KMeans, KMedians, RowBlocks, SphericalKMeans, set_num_threads
from kmgpu.algorithm import restarts
from tests.support import oracles

BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])
ALL = pytest.mark.parametrize("estimator", [KMeans, KMedians, SphericalKMeans])
SHAPES = {3: (900, 3, 20), 40: (400, 40, 12)}


class Killed(Exception):
    """What ends a fit in the middle."""


def data(d, weights="none"):
    n, d, k = SHAPES[d]
    rng = np.random.default_rng(d)
    x = rng.normal(size=(n, d)).astype(np.float32)
    given = {"none": None, "some": rng.integers(0, 4, n) + 0.5}[weights]
    return x, given, k


def made(estimator, k, path, **changes):
    """Slow to converge, so that there are several checkpoints."""
    options = {"tol": 0, "random_state": 3, "n_init": 2, "checkpoint": path} | changes
    return estimator(k, init="random", **options)


def killed(monkeypatch, model, at, *arguments, **keywords):
    """`model` is fitted, and ended right after so many checkpoints."""
    save, left = restarts._Run._save, [at]

    def dying(run, pause):
        save(run, pause)
        left[0] -= 1
        if not left[0]:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(restarts._Run, "_save", dying)
        with pytest.raises(Killed):
            model.fit(*arguments, **keywords)


def same(a, b):
    for name in ("cluster_centers_", "labels_", "counts_"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.inertia_, a.n_iter_, a.converged_) == (b.inertia_, b.n_iter_, b.converged_)
    assert a.history_ == b.history_
    assert a.n_relocated_ == b.n_relocated_


@ALL
@pytest.mark.parametrize("at", [1, 3])
@pytest.mark.parametrize("weights", ["none", "some"])
@pytest.mark.parametrize("d", SHAPES)
def test_the_same_bits(tmp_path, monkeypatch, estimator, d, weights, at):
    x, weight, k = data(d, weights)
    monkeypatch.setattr(restarts, "EVERY", 3)
    whole = made(estimator, k, tmp_path / "whole").fit(x, sample_weight=weight)
    assert whole.n_iter_ > 3
    model = made(estimator, k, tmp_path / "state")
    killed(monkeypatch, model, at, x, sample_weight=weight)
    assert not hasattr(model, "labels_")
    calls = []
    start = restarts.half_steps
    monkeypatch.setattr(
        restarts, "half_steps", lambda *a, **k: calls.append(k["pause"]) or start(*a, **k)
    )
    same(model.fit(x, sample_weight=weight), whole)
    assert calls
    assert not list(tmp_path.iterdir())
    np.testing.assert_array_equal(model.predict(x), model.labels_)


@BOTH
@pytest.mark.parametrize("kind", ["float64", "integers", "sparse", "dask"])
def test_other_rows(tmp_path, monkeypatch, estimator, kind):
    x, _, k = data(3)
    if kind == "dask":
        pytest.importorskip("dask.array")
    monkeypatch.setattr(restarts, "EVERY", 3)
    given = {
        "float64": lambda: x.astype(np.float64),
        "integers": lambda: np.rint(1000 * x).astype(np.int64),
        "sparse": lambda: sparse.csr_matrix(np.where(np.abs(x) > 0.5, x, 0)),
        "dask": lambda: __import__("dask.array").array.from_array(x, chunks=(250, 3)),
    }[kind]()
    whole = made(estimator, k, tmp_path / "whole").fit(given)
    model = made(estimator, k, tmp_path / "state")
    killed(monkeypatch, model, 2, given)
    same(model.fit(given), whole)
    killed(monkeypatch, model, 1, given)
    other = given * 2
    with pytest.raises(ValueError, match="is of a fit with other data than this one"):
        model.fit(other)


def test_the_same_bits_on_other_threads(tmp_path, monkeypatch):
    x, weight, k = data(40, "some")
    monkeypatch.setattr(restarts, "EVERY", 3)
    model = made(KMeans, k, tmp_path / "state")
    try:
        set_num_threads(1)
        whole = made(KMeans, k, tmp_path / "whole").fit(x, sample_weight=weight)
        killed(monkeypatch, model, 1, x, sample_weight=weight)
        set_num_threads(2)
        same(model.fit(x, sample_weight=weight), whole)
    finally:
        set_num_threads(None)


def test_between_restarts(tmp_path, monkeypatch):
    """Restarts that end before the first checkpoint are not made again."""
    x, _, k = data(3)
    monkeypatch.setattr(restarts, "EVERY", 1000)
    whole = made(KMeans, k, tmp_path / "whole", n_init=4).fit(x)
    model = made(KMeans, k, tmp_path / "state", n_init=4)
    killed(monkeypatch, model, 3, x)
    calls, start = [], restarts.half_steps
    monkeypatch.setattr(restarts, "half_steps", lambda *a, **k: calls.append(1) or start(*a, **k))
    same(model.fit(x), whole)
    assert len(calls) == 1


@BOTH
def test_a_checkpoint_changes_labels_and_loss_by_rounding_alone(tmp_path, monkeypatch, estimator):
    x, _, k = data(3)
    monkeypatch.setattr(restarts, "EVERY", 3)
    with_one = made(estimator, k, tmp_path / "state").fit(x)
    without = made(estimator, k, None).fit(x)
    assert with_one.inertia_ == pytest.approx(without.inertia_, rel=1e-12)
    np.testing.assert_array_equal(with_one.labels_, without.labels_)
    told = [(e.kind, e.iteration, e.n_changed) for e in without.history_]
    assert told == [(e.kind, e.iteration, e.n_changed) for e in with_one.history_]


@ALL
def test_blocks(tmp_path, monkeypatch, estimator):
    x, weight, k = data(3, "some")
    blocks = RowBlocks(np.array_split(x, 5))
    monkeypatch.setattr(restarts, "EVERY", 3)
    whole = made(estimator, k, tmp_path / "whole").fit(blocks, sample_weight=weight)
    model = made(estimator, k, tmp_path / "state")
    killed(monkeypatch, model, 2, blocks, sample_weight=weight)
    same(model.fit(blocks, sample_weight=weight), whole)
    killed(monkeypatch, model, 1, blocks)
    with pytest.raises(ValueError, match="is of a fit with other data than this one"):
        model.fit(RowBlocks([x[::-1] + 1]))


def test_where_clusters_were_empty_it_waits(tmp_path, monkeypatch):
    """Moved rows are in no file, so the next refit without them is saved."""
    x, _, k = data(3)
    monkeypatch.setattr(restarts, "EVERY", 1)
    init = np.concatenate([x[: k - 3], np.full((3, 3), 50.0)])
    saved, save = [], restarts._Run._save
    monkeypatch.setattr(
        restarts._Run, "_save", lambda run, pause: saved.append(pause.iteration) or save(run, pause)
    )
    found = KMeans(k, init=init, tol=0, checkpoint=tmp_path / "state").fit(x)
    moved = {entry.iteration for entry in found.history_ if entry.n_relocated}
    assert moved
    assert saved
    assert not moved & set(saved)


def test_the_best_restart_may_have_ended_before(tmp_path, monkeypatch):
    """Its labels are found again."""
    x, _, k = data(3)
    monkeypatch.setattr(restarts, "EVERY", 3)
    starts = [x[:k], np.tile(x[:1], (k, 1)) + 1e-3 * np.arange(k)[:, None]]

    def model(path):
        given = iter(starts)
        init = Given(given)
        return KMeans(k, init=init, n_init=2, tol=0, max_iter=40, random_state=0, checkpoint=path)

    whole = model(tmp_path / "whole").fit(x)
    first = KMeans(k, init=starts[0], tol=0, max_iter=40).fit(x)
    assert whole.inertia_ == pytest.approx(first.inertia_, rel=1e-12)
    at = sum(e.kind == "refit" for e in first.history_) // 3 + 1
    broken = model(tmp_path / "state")
    killed(monkeypatch, broken, at, x)
    again = model(tmp_path / "state")
    next(again.init.given)
    same(again.fit(x), whole)


class Given:
    """Initial centres, one after the other."""

    def __init__(self, given):
        self.given = given

    def __call__(self, x, n_clusters, random_state):
        return next(self.given)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n_clusters": 21}, "n_clusters=20, and this one has n_clusters=21"),
        ({"tol": 1e-9}, "tol=0, and this one has tol=1e-09"),
        ({"random_state": 4}, "random_state=3, and this one has random_state=4"),
        ({"init": "k-means++"}, "init='random', and this one has init='k-means\\+\\+'"),
        (
            {"random_state": np.random.Generator(np.random.MT19937(0))},
            "random_state=3, and this one has random_state=None",
        ),
        ({"max_samples": 0.5}, "max_samples=None, and this one has max_samples=0.5"),
    ],
)
def test_of_other_parameters(tmp_path, monkeypatch, changes, said):
    x, _, k = data(3)
    path = tmp_path / "state"
    monkeypatch.setattr(restarts, "EVERY", 3)
    killed(monkeypatch, made(KMeans, k, path), 1, x)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"checkpoint=.*is of a fit with {said}; remove the file"):
        made(KMeans, k, path).set_params(**changes).fit(x)
    assert path.read_bytes() == before


@pytest.mark.parametrize("what", ["loss", "data", "weights"])
def test_of_another_fit(tmp_path, monkeypatch, what):
    x, weight, k = data(3, "some")
    path = tmp_path / "state"
    monkeypatch.setattr(restarts, "EVERY", 3)
    killed(monkeypatch, made(KMeans, k, path), 1, x, sample_weight=weight)
    model = made(KMedians if what == "loss" else KMeans, k, path)
    x, weight = x + (what == "data"), weight + (what == "weights")
    said = {"loss": "loss='l2'", "data": "other data", "weights": "other weights"}[what]
    with pytest.raises(ValueError, match=rf"is of a fit with {said}"):
        model.fit(x, sample_weight=weight)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", "cut", "flipped"])
def test_a_damaged_file(tmp_path, monkeypatch, content):
    x, _, k = data(3)
    path = tmp_path / "state"
    monkeypatch.setattr(restarts, "EVERY", 3)
    killed(monkeypatch, made(KMeans, k, path), 1, x)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    content = {"cut": whole[:-40], "flipped": bytes(flipped)}.get(content, content)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged, or no checkpoint of kmgpu .*remove it"):
        made(KMeans, k, path).fit(x)
    assert path.read_bytes() == content


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "state.npz"
    np.savez(path, document=np.frombuffer(json.dumps({"format": 1}).encode(), np.uint8))
    with pytest.raises(ValueError, match="no checkpoint of kmgpu"):
        made(KMeans, 2, path).fit(data(3)[0])


def test_bad_paths(tmp_path):
    x = data(3)[0]
    with pytest.raises(TypeError, match="checkpoint=3 is no path; give the name of a file"):
        KMeans(2, checkpoint=3).fit(x)
    with pytest.raises(OSError, match="cannot be written"):
        KMeans(2, checkpoint=tmp_path / "no" / "folder").fit(x)
    with pytest.raises(ValueError, match="needs a random_state"):
        KMeans(2, checkpoint=tmp_path / "a", max_samples=0.5).fit(x)


def test_parameters_of_an_estimator(tmp_path):
    model = KMeans(2, checkpoint=tmp_path / "a", max_samples=0.5)
    copy = clone(model)
    assert (copy.checkpoint, copy.max_samples) == (tmp_path / "a", 0.5)


KILLED = """
import os, signal, sys
import numpy as np
from kmgpu import KMedians
from kmgpu.algorithm import restarts
restarts.EVERY = 3
x = np.random.default_rng(0).normal(size=(2000, 3))
model = KMedians(20, init="random", tol=0, random_state=0, n_init=1, checkpoint=sys.argv[1])
if sys.argv[3:]:
    save = restarts._Run._save
    def dying(run, pause):
        save(run, pause)
        os.kill(os.getpid(), signal.SIGKILL)
    restarts._Run._save = dying
model.fit(x)
np.savez(sys.argv[2], centers=model.cluster_centers_, labels=model.labels_)
"""


@pytest.mark.slow
def test_a_process_that_is_killed(tmp_path):
    def run(*arguments):
        return subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False).returncode

    assert run("whole", tmp_path / "whole.npz") == 0
    state = tmp_path / "state"
    for _ in range(2):
        assert run(state, tmp_path / "found.npz", "dies") == -signal.SIGKILL
    assert run(state, tmp_path / "found.npz") == 0
    a, b = (np.load(tmp_path / name) for name in ("whole.npz", "found.npz"))
    for name in ("centers", "labels"):
        np.testing.assert_array_equal(a[name], b[name])
    assert {path.name for path in tmp_path.iterdir()} == {"found.npz", "whole.npz"}


@BOTH
def test_max_samples(backend, estimator):
    """Centres are those of a sample of so many rows; labels, loss and counts of all."""
    x, weight, k = data(3, "some")
    model = estimator(k, random_state=0, max_samples=200).fit(
        backend.asarray(x), sample_weight=weight
    )
    centers = backend.to_numpy(model.cluster_centers_).astype(np.float64)
    labels = backend.to_numpy(model.labels_)
    costs = oracles.costs(x, centers, model.loss.name)
    np.testing.assert_array_equal(labels, costs.argmin(axis=1))
    loss = (weight * costs.min(axis=1)).sum()
    assert model.inertia_ == pytest.approx(loss, rel=1e-9)
    np.testing.assert_allclose(
        backend.to_numpy(model.counts_), np.bincount(labels, weight, minlength=k), rtol=1e-12
    )
    assert model.history_[0].n_changed == 200
    share = estimator(k, random_state=0, max_samples=200 / len(x)).fit(
        backend.asarray(x), sample_weight=weight
    )
    np.testing.assert_array_equal(backend.to_numpy(share.cluster_centers_), centers)


@BOTH
def test_a_sample_of_sparse_rows(estimator):
    x, weight, k = data(3, "some")
    x = np.where(np.abs(x) > 0.5, x, 0)
    options = {"random_state": 0, "max_samples": np.int64(300)}
    dense = estimator(k, **options).fit(x, sample_weight=weight)
    found = estimator(k, **options).fit(sparse.csr_matrix(x), sample_weight=weight)
    assert found.history_[0].n_changed == dense.history_[0].n_changed == 300
    np.testing.assert_allclose(found.cluster_centers_, dense.cluster_centers_, atol=1e-6)
    np.testing.assert_array_equal(found.labels_, dense.labels_)


@BOTH
def test_rows_without_weight_are_not_drawn(estimator):
    """They change nothing but their own labels."""
    x, _, k = data(3)
    weight = np.ones(len(x))
    weight[::3] = 0
    options = {"random_state": 0, "max_samples": 100, "n_init": 1}
    found = estimator(k, **options).fit(x, sample_weight=weight)
    changed = x.copy()
    changed[::3] = 1e4
    again = estimator(k, **options).fit(changed, sample_weight=weight)
    np.testing.assert_array_equal(again.cluster_centers_, found.cluster_centers_)
    assert again.inertia_ == found.inertia_


@ALL
def test_blocks_draw_the_rows_of_an_array(estimator):
    x, weight, k = data(3, "some")
    options = {"random_state": 0, "max_samples": 300, "init": "greedy"}
    whole = estimator(k, **options).fit(x, sample_weight=weight)
    blocks = estimator(k, **options).fit(RowBlocks(np.array_split(x, 7)), sample_weight=weight)
    np.testing.assert_array_equal(blocks.cluster_centers_, whole.cluster_centers_)
    np.testing.assert_array_equal(blocks.labels_, whole.labels_)
    assert blocks.inertia_ == pytest.approx(whole.inertia_, rel=1e-12)
    np.testing.assert_allclose(blocks.counts_, whole.counts_, rtol=1e-12)


def test_all_rows(tmp_path):
    x, _, k = data(3)
    whole = KMeans(k, random_state=0).fit(x)
    for most in (1.0, len(x), 10 * len(x)):
        found = KMeans(k, random_state=0, max_samples=most).fit(x)
        np.testing.assert_array_equal(found.cluster_centers_, whole.cluster_centers_)


@pytest.mark.parametrize(
    ("most", "error", "said"),
    [
        (0, ValueError, "max_samples=0 must be at least 1"),
        (0.0, ValueError, "max_samples=0.0 is no share of the rows"),
        (1.5, ValueError, "max_samples=1.5 is no share of the rows"),
        (np.nan, ValueError, "max_samples=nan is no share of the rows"),
        (True, TypeError, "max_samples must be an integer"),
        ("half", TypeError, "max_samples must be an integer, a float or None, got 'half'"),
        (5, ValueError, "max_samples=5 is 5 rows, fewer than n_clusters=20; let it be more"),
    ],
)
def test_bad_samples(most, error, said):
    x, _, k = data(3)
    with pytest.raises(error, match=said):
        KMeans(k, max_samples=most).fit(x)


def test_another_kind_of_generator(tmp_path, monkeypatch):
    """The state of one is none for another."""
    x, _, k = data(3)
    monkeypatch.setattr(restarts, "EVERY", 3)
    given = [np.random.Generator(kind(0)) for kind in (np.random.MT19937, np.random.PCG64)]
    path = tmp_path / "state"
    killed(monkeypatch, made(KMeans, k, path, random_state=given[0]), 1, x)
    with pytest.raises(ValueError, match="generator='MT19937', and this one has generator='PCG64'"):
        made(KMeans, k, path, random_state=given[1]).fit(x)
    made(KMeans, k, path, random_state=given[0]).fit(x)
