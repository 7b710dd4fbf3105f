"""Spherical k-means against brute force in float64."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array

import kmgpu
from kmgpu import COSINE, KMeans, RowBlocks, SphericalKMeans, kernels, lloyd, sweep
from kmgpu.algorithm.unit import unit_rows
from tests.support.oracles import labels_in_order


def directions(n, d, k, dtype=np.float32, seed=0, spread=0.4):
    """Rows about k directions, of lengths from 1e-3 to 1e3."""
    rng = np.random.default_rng(seed)
    middle = rng.normal(size=(k, d))
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    x = middle[rng.integers(k, size=n)] + spread / np.sqrt(d) * rng.normal(size=(n, d))
    return (x * 10.0 ** rng.uniform(-3, 3, size=(n, 1))).astype(dtype)


def cosines(x, centers):
    x, centers = np.asarray(x, np.float64), np.asarray(centers, np.float64)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit @ (centers / np.linalg.norm(centers, axis=1, keepdims=True)).T


def brute_force(x, centers, weight, n_iter):
    """Iterations of spherical k-means: centres, labels and loss, from products in float64."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    centers = centers / np.linalg.norm(centers, axis=1, keepdims=True)
    for _ in range(n_iter):
        label = (unit @ centers.T).argmax(axis=1)
        sums = np.zeros_like(centers)
        np.add.at(sums, label, unit * weight[:, None])
        centers = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    cosine = unit @ centers.T
    return centers, cosine.argmax(axis=1), float((weight * (1 - cosine.max(axis=1))).sum())


@pytest.mark.parametrize("mode", ["reference", "auto"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "d"), [(400, 3), (600, 50)])
def test_a_fit_is_that_of_brute_force(backend, mode, weighted, n, d):
    x = directions(n, d, 5, np.float64)
    weight = np.random.default_rng(1).uniform(0.5, 2, n) if weighted else None
    model = SphericalKMeans(5, init=backend.asarray(x[:5]), tol=0)
    with kernels.use(mode):
        model.fit(backend.asarray(x), sample_weight=weight)
    w = np.ones(n) if weight is None else weight
    centers, labels, loss = brute_force(x, x[:5], w, model.n_iter_)
    found = backend.to_numpy(model.cluster_centers_)
    np.testing.assert_allclose(found, centers, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(backend.to_numpy(model.labels_), labels)
    assert model.inertia_ == pytest.approx(loss, rel=1e-9)
    assert model.converged_
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-14)
    sizes = np.bincount(labels, w, 5)
    np.testing.assert_allclose(backend.to_numpy(model.counts_), sizes, rtol=1e-12)


def test_no_half_step_raises_the_loss_which_is_that_of_its_labels():
    x = directions(500, 6, 4, np.float64)
    losses = []
    for step in lloyd(x, x[:7], "cosine"):
        if step.loss is None:
            continue
        losses.append(step.loss)
        cosine = cosines(x, step.centers)[np.arange(len(x)), step.labels]
        assert step.loss == pytest.approx((1 - cosine).sum(), rel=1e-10)
    assert len(losses) > 4
    assert (np.diff(losses) <= 1e-12 * losses[0]).all()


def test_transform_and_score_are_cosines(backend):
    x = directions(300, 8, 4)
    model = SphericalKMeans(4, random_state=0).fit(backend.asarray(x))
    found = backend.to_numpy(model.transform(backend.asarray(x)))
    assert found.dtype == np.float32
    cosine = cosines(x, backend.to_numpy(model.cluster_centers_))
    np.testing.assert_allclose(found, 1 - cosine, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.argmin(axis=1), backend.to_numpy(model.labels_))
    assert model.score(backend.asarray(x)) == pytest.approx(-model.inertia_, rel=1e-12)
    assert model.inertia_ == pytest.approx((1 - cosine.max(axis=1)).sum(), rel=1e-5)


@pytest.mark.parametrize("d", [5, 64])
def test_labels_are_the_argmin_of_exact_costs_of_unit_rows_near_ties(d):
    x = directions(3000, d, 1, spread=1e-6)
    model = SphericalKMeans(30, init=x[:30], max_iter=2, tol=0).fit(x)
    unit = x.astype(np.float64)
    unit /= np.abs(unit).max(axis=1, keepdims=True)
    unit /= np.sqrt(np.cumsum(unit * unit, axis=1)[:, -1:])
    expected = labels_in_order(unit.astype(np.float32), model.cluster_centers_, "l2")
    np.testing.assert_array_equal(model.labels_, expected)
    np.testing.assert_array_equal(model.predict(x), expected)
    np.testing.assert_array_equal(model.predict(x[1700:1701]), expected[1700:1701])
    np.testing.assert_array_equal(model.predict(np.asfortranarray(x)), expected)
    np.testing.assert_array_equal(model.predict(csr_array(x)), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_a_unit_row_depends_on_its_row_alone(dtype):
    x = (8 * directions(200, 37, 3, np.float64)).clip(-1000, 1000).astype(dtype)
    x[:, 0] += 1
    x[np.arange(200), np.arange(200) % 37] += 2
    x = x[(x != 0).any(axis=1)]
    unit = unit_rows(x)
    assert unit.dtype == (np.float64 if dtype in (np.float64, np.int32) else np.float32)
    np.testing.assert_array_equal(unit_rows(x, memory_budget=1), unit)
    np.testing.assert_array_equal(unit_rows(np.asfortranarray(x)), unit)
    length = np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)
    np.testing.assert_allclose(unit, x / length, rtol=1e-6, atol=1e-30)


def test_lengths_neither_overflow_nor_vanish():
    x = np.array([[3e200, 4e200], [3e-200, 4e-200], [3e-320, 4e-320]])
    np.testing.assert_allclose(unit_rows(x), [[0.6, 0.8]] * 3, rtol=1e-3)
    np.testing.assert_allclose(unit_rows(x[:2]), [[0.6, 0.8]] * 2, rtol=1e-15)


def test_powers_of_two_change_no_bit():
    x = directions(400, 12, 4)
    scale = 2.0 ** np.random.default_rng(0).integers(-9, 9, size=(400, 1)).astype(np.float32)
    one, other = (SphericalKMeans(4, random_state=3).fit(rows) for rows in (x, x * scale))
    np.testing.assert_array_equal(one.cluster_centers_, other.cluster_centers_)
    np.testing.assert_array_equal(one.labels_, other.labels_)


def test_rows_of_zeros_are_refused_with_the_remedy():
    x = directions(50, 4, 2)
    x[[7, 9]] = 0
    for rows in (x, csr_array(x), RowBlocks([x[:5], x[5:]])):
        with pytest.raises(ValueError, match=r"row 7 holds zeros.* 1 others.*any\(axis=1\)"):
            SphericalKMeans(2).fit(rows)
    model = SphericalKMeans(2, random_state=0).fit(x[10:])
    with pytest.raises(ValueError, match="row 7"):
        model.predict(x)
    with pytest.raises(ValueError, match="init has a row of length zero"):
        SphericalKMeans(2, init=x[8:10]).fit(x[10:])
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        SphericalKMeans(2).fit(x)


@pytest.mark.parametrize("kind", ["blocks", "dask"])
@pytest.mark.parametrize(("value", "name"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_what_is_not_finite_is_named_where_it_is(kind, value, name):
    x = directions(400, 4, 3)
    x[250, 1] = value
    made = {
        "blocks": lambda: RowBlocks([x[:200], x[200:]]),
        "dask": lambda: pytest.importorskip("dask.array").from_array(x, chunks=(200, 4)),
    }[kind]
    with pytest.raises(ValueError, match=rf"{name}: first at row.*250.*column 1"):
        SphericalKMeans(3).fit(made())


def test_a_centre_of_zeros_is_refused_with_its_own_remedy():
    x = directions(50, 2, 2)
    with pytest.raises(ValueError, match=r"init has a row of length zero.*Give other centres\."):
        SphericalKMeans(2, init=[[0.0, 0], [1, 1]]).fit(x)


def test_a_cluster_whose_rows_cancel_keeps_its_centre():
    x = np.array([[1.0, 0], [-1, 0], [0, 5]])
    model = SphericalKMeans(1, init=[[0.0, -2]], tol=0).fit(x[:2])
    np.testing.assert_array_equal(model.cluster_centers_, [[0, -1]])
    assert model.inertia_ == pytest.approx(2)


def test_sparse_rows_are_fitted_as_dense_ones():
    x = directions(300, 20, 4, np.float64)
    x[np.random.default_rng(2).random(x.shape) < 0.6] = 0
    x = x[(x != 0).any(axis=1)]
    dense, sparse = (SphericalKMeans(4, init=x[:4]).fit(rows) for rows in (x, csr_array(x)))
    np.testing.assert_array_equal(unit_rows(x), unit_rows(kmgpu_sparse(x)).toarray())
    np.testing.assert_array_equal(sparse.labels_, dense.labels_)
    np.testing.assert_allclose(sparse.cluster_centers_, dense.cluster_centers_, atol=1e-12)
    assert sparse.inertia_ == pytest.approx(dense.inertia_, rel=1e-9)


def kmgpu_sparse(x):
    from kmgpu.backend.sparse import canonical

    return canonical(csr_array(x))


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_by_blocks_are_fitted_as_one_array(weighted):
    x = directions(700, 9, 5)
    weight = np.random.default_rng(0).uniform(1, 2, 700) if weighted else None
    blocks = RowBlocks(lambda: (x[i : i + 150] for i in range(0, 700, 150)))
    whole, streamed = (
        SphericalKMeans(5, init=x[:5], tol=0).fit(rows, sample_weight=weight)
        for rows in (x, blocks)
    )
    np.testing.assert_array_equal(streamed.labels_, whole.labels_)
    np.testing.assert_allclose(streamed.cluster_centers_, whole.cluster_centers_, atol=1e-6)
    assert streamed.inertia_ == pytest.approx(whole.inertia_, rel=1e-6)
    np.testing.assert_allclose(streamed.counts_, whole.counts_, rtol=1e-12)
    np.testing.assert_array_equal(streamed.predict(blocks), streamed.predict(x))
    np.testing.assert_array_equal(streamed.transform(blocks), streamed.transform(x))
    assert streamed.score(blocks, sample_weight=weight) == pytest.approx(
        streamed.score(x, sample_weight=weight), rel=1e-12
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_dask_arrays_are_fitted_as_one_array(weighted):
    da = pytest.importorskip("dask.array")
    x = directions(600, 6, 4)
    weight = np.random.default_rng(0).uniform(1, 2, 600) if weighted else None
    lazy = da.from_array(x, chunks=(200, 3))
    whole, found = (
        SphericalKMeans(4, init=x[:4], tol=0).fit(rows, sample_weight=weight) for rows in (x, lazy)
    )
    np.testing.assert_array_equal(found.labels_.compute(), whole.labels_)
    np.testing.assert_allclose(found.cluster_centers_, whole.cluster_centers_, atol=1e-6)
    assert found.inertia_ == pytest.approx(whole.inertia_, rel=1e-6)
    np.testing.assert_array_equal(found.transform(lazy).compute(), found.transform(x))
    assert found.score(lazy) == pytest.approx(found.score(x), rel=1e-12)
    bad = da.from_array(np.where(np.arange(600)[:, None] == 250, 0, x), chunks=(200, 6))
    with pytest.raises(ValueError, match="row 50 holds zeros"):
        SphericalKMeans(4).fit(bad)


def test_a_callable_gives_centres_of_any_length():
    x = directions(100, 4, 3)
    model = SphericalKMeans(3, init=lambda x, k, random_state: 7 * x[:k], n_init=1).fit(x)
    given = SphericalKMeans(3, init=x[:3]).fit(x)
    np.testing.assert_array_equal(model.labels_, given.labels_)


def test_it_is_saved_loaded_pickled_and_swept(tmp_path):
    x = directions(200, 5, 3)
    model = SphericalKMeans(3, random_state=0).fit(x)
    kmgpu.save_model(model, tmp_path / "m.npz")
    loaded = kmgpu.load_model(tmp_path / "m.npz")
    assert type(loaded) is SphericalKMeans
    np.testing.assert_array_equal(loaded.predict(x), model.labels_)
    assert pickle.loads(pickle.dumps(COSINE)) is COSINE
    found = sweep(x, [2, 3, 4], loss="cosine", random_state=0)
    assert found.knee == 3
    assert found.at(3).loss == pytest.approx(SphericalKMeans(3, random_state=0).fit(x).inertia_)
    cosine = 1 - np.sort(cosines(x, model.cluster_centers_), axis=1)[:, ::-1]
    expected = ((cosine[:, 1] - cosine[:, 0]) / cosine[:, 1]).mean()
    assert found.at(3).simplified_silhouette == pytest.approx(expected, rel=1e-4)
    assert found.at(3).silhouette > 0.5


def test_partial_fit_is_not_there_and_says_what_to_do():
    assert not hasattr(SphericalKMeans(2), "partial_fit")
    with pytest.raises(AttributeError, match="RowBlocks"):
        _ = SphericalKMeans(2).partial_fit


def test_the_same_seed_draws_what_k_means_draws_of_unit_rows():
    x = directions(300, 6, 5, np.float64)
    unit = unit_rows(x)
    spherical = SphericalKMeans(5, random_state=4, max_iter=1).fit(x)
    plain = KMeans(5, random_state=4, max_iter=1).fit(unit)
    assert 2 * spherical.history_[0].loss == pytest.approx(plain.history_[0].loss, rel=1e-12)


def test_the_command_line_fits_and_predicts(tmp_path, capsys):
    from kmgpu.cli import main

    x = directions(150, 4, 3)
    np.save(tmp_path / "x.npy", x)
    fit = f"fit {tmp_path}/x.npy -k 3 --loss cosine --seed 0 --out {tmp_path}/m.npz --device cpu"
    assert main(fit.split()) == 0
    capsys.readouterr()
    assert main(f"predict {tmp_path}/m.npz {tmp_path}/x.npy --device cpu".split()) == 0
    found = np.array(capsys.readouterr().out.split(), int)
    np.testing.assert_array_equal(found, SphericalKMeans(3, random_state=0).fit(x).labels_)


def test_a_picture_shows_the_rows_of_length_1():
    record_steps = pytest.importorskip("kmgpu.plotting.record").record_steps
    x = directions(60, 2, 3, np.float64)
    options = {"init": "k-means++", "random_state": 0, "max_iter": 9, "most": 4}
    record = record_steps(x, 3, loss="cosine", **options)
    assert record.name == "spherical k-means"
    np.testing.assert_allclose(np.linalg.norm(record.drawn.points, axis=1), 1)
    assert any("direction of the mean" in frame.title for frame in record.frames)
    with pytest.raises(ValueError, match="no curve"):
        kmgpu.plotting.plot_loss_curve([1.0, 2], loss="cosine")


@pytest.mark.parametrize("kind", ["array", "blocks", "dask"])
def test_a_sample_is_of_divided_rows_and_its_loss_of_all(kind):
    x = directions(900, 6, 4)
    weight = np.random.default_rng(1).uniform(1, 2, 900)
    made = {
        "array": lambda: x,
        "blocks": lambda: RowBlocks(np.array_split(x, 3)),
        "dask": lambda: pytest.importorskip("dask.array").from_array(x, chunks=(300, 6)),
    }[kind]
    model = SphericalKMeans(4, random_state=0, max_samples=200).fit(made(), sample_weight=weight)
    cosine = cosines(x, model.cluster_centers_)
    np.testing.assert_allclose(np.linalg.norm(model.cluster_centers_, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(model.labels_), cosine.argmax(axis=1))
    assert model.inertia_ == pytest.approx((weight * (1 - cosine.max(axis=1))).sum(), rel=1e-5)
    counts = np.bincount(cosine.argmax(axis=1), weight, minlength=4)
    np.testing.assert_allclose(model.counts_, counts, rtol=1e-12)
