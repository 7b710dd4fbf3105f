"""The CUDA kernels on the dtypes that the other tests leave out, at the ends of their ranges."""

import ml_dtypes
import numpy as np
import pytest

from kmgpu import KMeans, KMedians
from kmgpu.kernels.cuda import module, nearest, seeding
from tests.support.cuda import BOTH, DTYPES, expected_centers, found_labels, refitted
from tests.support.oracles import costs_in_order, labels_in_order

OTHERS = [dtype for dtype in module.TYPES if dtype not in DTYPES]
CASES = ["small", "whole range", "near the end", "one far row", "duplicates"]
WIDTHS = pytest.mark.parametrize("d", [3, 40, 200])
# built on the real CuPy alone: widths and ranges like theirs are met by dtypes that are built here,
# too, and a build for each costs more than all of its tests
ON_CUPY_ALONE = ["uint16", "int16", "int32"]


def host_builds_few(test):
    for dtype in ON_CUPY_ALONE:
        test = pytest.mark.never(backend="numpy", dtype=dtype)(test)
    return test


def rows_of(dtype, n, d, case):
    rng = np.random.default_rng(d)
    if dtype == "bool":
        return rng.random((n, d)) < 0.5
    if dtype in ("bfloat16", "float64"):
        scale = {"small": 1, "whole range": 1e18, "near the end": 1e-3}.get(case, 1)
        x = scale * rng.standard_normal((n, d)) + (1e8 if case == "near the end" else 0)
        x = x if dtype == "float64" else x.astype(ml_dtypes.bfloat16)
        most = np.asarray(1e6, x.dtype)
    else:
        ends = np.iinfo(dtype)
        most = ends.max
        low, high = 0, 50
        if case == "whole range":
            low, high = ends.min, most
        if case == "near the end":  # by as much as float32 rounds there, or by more
            low, high = most - most // 2**20 - 20, most
        x = rng.integers(low, high, (n, d), dtype=dtype, endpoint=True)
    if case == "one far row":
        x[5] = most
    if case == "duplicates":
        x[10:] = x[rng.integers(4, size=n - 10)]
    return x


@host_builds_few
@BOTH
@pytest.mark.parametrize("dtype", [*OTHERS, "float64", "int64"])
@pytest.mark.parametrize("case", CASES)
@WIDTHS
@pytest.mark.never(backend="cupy", dtype="bfloat16", loss="l2", d=40)  # CuPy's own arithmetic
@pytest.mark.never(backend="cupy", dtype="bfloat16", loss="l2", d=200)
def test_labels(gpu, loss, dtype, case, d):
    """Centres among the rows, two of them one; so most rows of "duplicates" are ties."""
    x = rows_of(dtype, 150, d, case)
    centers = np.concatenate([x[:7], x[:2]]).astype(np.float64)
    centers[2] += 0.5
    with np.errstate(all="ignore"):
        found = found_labels(gpu, loss, x, centers)
    np.testing.assert_array_equal(found, labels_in_order(x.astype(np.float64), centers, loss))
    there, at = gpu.asarray(x), gpu.asarray(centers)
    cost = gpu.to_numpy(nearest.costs_at(loss, there, at, gpu.asarray(found)))
    expected = costs_in_order(x, centers, loss)[np.arange(len(x)), found]
    np.testing.assert_allclose(cost, expected, rtol=1e-13)


@host_builds_few
@BOTH
@pytest.mark.parametrize("dtype", OTHERS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_refit(gpu, loss, dtype, case, weighted):
    x = rows_of(dtype, 151, 3, case)
    labels = np.arange(151) % 4
    weight = np.random.default_rng(1).integers(0, 3, 151) if weighted else None
    found = refitted(gpu, loss, x, labels, weight, 5)
    expected = expected_centers(loss, x.astype(np.float64), labels, weight, 5)
    if loss == "l1":
        np.testing.assert_array_equal(found, expected)
    else:
        scale = np.abs(x.astype(np.float64)).max()
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15 * scale)


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_medians_of_the_two_highest_integers(gpu, dtype):
    """One double and one key; the upper median is the highest value that there is."""
    most = np.iinfo(dtype).max
    x = np.array([0, 7, most, most, most - 1], dtype)[:, None]
    for rows, expected in ((x[:4], 0.5 * 7 + 0.5 * float(most)), (x[3:], float(most))):
        found = refitted(gpu, "l1", rows, np.zeros(len(rows), int), None, 1)
        assert found.item() == expected


@host_builds_few
@pytest.mark.parametrize("dtype", OTHERS)
def test_seeding(gpu, dtype):
    """The same rows as for the same numbers in float64."""
    x = rows_of(dtype, 300, 5, "small")
    uniforms = np.random.default_rng(0).random((6, 4))
    chosen = []
    for rows in (x, x.astype(np.float64)):
        rounds = seeding.Rounds("l2", gpu.asarray(rows), None, uniforms)
        for number in range(len(uniforms)):
            rounds.run(number)
        chosen.append(gpu.to_numpy(rounds.chosen))
    np.testing.assert_array_equal(*chosen)


@pytest.mark.parametrize("estimator", [KMeans, KMedians])
@pytest.mark.parametrize("dtype", [d for d in OTHERS if d != "bfloat16"])
@pytest.mark.only("cupy")
def test_fit_and_predict(gpu, estimator, dtype):
    x = rows_of(dtype, 90, 4, "small")
    there = gpu.asarray(x)
    model = estimator(4, init=x[:4].astype(np.float64), max_iter=3).fit(there)
    loss = "l2" if estimator is KMeans else "l1"
    centers = gpu.to_numpy(model.cluster_centers_)
    found = gpu.to_numpy(model.labels_)
    np.testing.assert_array_equal(found, labels_in_order(x.astype(np.float64), centers, loss))
    np.testing.assert_array_equal(gpu.to_numpy(model.predict(there)), found)
