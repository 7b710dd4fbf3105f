"""The seam: which kernels are found, and how to choose; fused and reference agree."""

import os
import subprocess
import sys
import threading

import array_api_strict
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from kmgpu import KMeans, KMedians, kernels
from kmgpu.backend.arrays import Usable
from kmgpu.kernels import dispatch
from tests.support import oracles

HERE = np.ones((2, 2), np.float32)
STRICT = array_api_strict.ones((2, 2), dtype=array_api_strict.float32)
BOTH = pytest.mark.parametrize("estimator", [KMeans, KMedians])


def test_lookup_finds_kernels_for_numpy_alone():
    assert dispatch.lookup("engine", HERE) is not None
    assert dispatch.lookup("engine", STRICT) is None
    assert dispatch.lookup("no such operation", HERE) is None


def test_reference_is_forced_and_the_choice_ends_with_the_block():
    with kernels.use("reference"):
        assert dispatch.lookup("engine", HERE) is None
        assert "off" in kernels.describe()
    assert dispatch.lookup("engine", HERE) is not None
    assert kernels.describe().startswith("on")


def test_fused_is_an_error_where_there_is_none():
    with kernels.use("fused"), pytest.raises(RuntimeError, match=r"no fused kernel.*auto"):
        dispatch.lookup("engine", STRICT)


@pytest.mark.only("cupy")
def test_cupy_arrays_have_kernels_for_functions(backend):
    for op in ("engine", "nearest", "costs_at", "means", "medians", "greedy_seed"):
        for dtype in (np.float32, np.uint8, np.int32):
            assert dispatch.lookup(op, backend.asarray(HERE.astype(dtype))) is not None
    with (
        kernels.use("fused"),
        pytest.raises(RuntimeError, match=r"no fused kernel.*complex64"),
    ):
        dispatch.lookup("nearest", backend.asarray(HERE.astype(np.complex64)))


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match="'turbo'"), kernels.use("turbo"):
        pass


def test_the_choice_is_the_calling_threads_own():
    seen = []

    def other():
        seen.append(dispatch.lookup("engine", HERE))

    with kernels.use("reference"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen[0] is not None


def test_without_numba_the_reference_serves(monkeypatch):
    monkeypatch.setattr(dispatch, "numba_usable", lambda: Usable(False, "Numba cannot be imported"))
    assert dispatch.lookup("engine", HERE) is None
    assert "Numba cannot be imported" in kernels.describe()


@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1.0, 1e25, 1e36])
@pytest.mark.parametrize("d", [3, 200])
@BOTH
def test_data_whose_squares_float32_cannot_hold(estimator, d, scale):
    rng = np.random.default_rng(0)
    groups = np.arange(300) % 5
    X = ((8 * rng.normal(size=(5, d)))[groups] + rng.normal(size=(300, d))) * scale
    X = X.astype(np.float32)
    with kernels.use("fused"):
        model = estimator(5, init=X[:5], tol=0).fit(X)
    difference = X[:, None].astype(np.float64) - model.cluster_centers_.astype(np.float64)
    costs = difference**2 if estimator is KMeans else np.abs(difference)
    costs = costs.sum(axis=2)
    np.testing.assert_array_equal(model.labels_, costs.argmin(axis=1))
    assert model.inertia_ == pytest.approx(costs.min(axis=1).sum(), rel=1e-5)


@pytest.mark.parametrize("algorithm", ["dense", "elkan"])
@pytest.mark.parametrize("far", [1e20, 1e30])
@pytest.mark.parametrize("d", [3, 200])
def test_a_centre_too_far_for_float32(d, far, algorithm):
    X = np.random.default_rng(0).normal(size=(300, d)).astype(np.float32)
    init = X[:4].copy()
    init[2] = far
    with kernels.use("fused"):
        model = KMeans(4, init=init, empty_cluster="keep", algorithm=algorithm)
        with pytest.warns(ConvergenceWarning, match="distinct clusters"):
            model.fit(X)
    costs = ((X[:, None].astype(np.float64) - model.cluster_centers_) ** 2).sum(axis=2)
    np.testing.assert_array_equal(model.labels_, costs.argmin(axis=1))


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8"])
@pytest.mark.parametrize("d", [3, 200])
@pytest.mark.parametrize("weighted", [False, True])
def test_fused_and_reference_give_one_answer(estimator, dtype, d, weighted):
    x = oracles.blobs(3000, d, 6, seed=3)
    x = np.abs(x * 8).astype(dtype) if dtype == "uint8" else x.astype(dtype)
    weight = np.random.default_rng(0).integers(0, 3, len(x)) if weighted else None
    model = estimator(6, random_state=0, tol=0)
    fused = model.fit(x, sample_weight=weight)
    centers, labels, loss = fused.cluster_centers_, fused.labels_, fused.inertia_
    with kernels.use("reference"):
        plain = model.fit(x, sample_weight=weight)
    np.testing.assert_allclose(centers, plain.cluster_centers_, rtol=1e-5, atol=1e-5)
    assert (labels != plain.labels_).mean() < 1e-3
    np.testing.assert_allclose(loss, plain.inertia_, rtol=1e-5)


FIT_ALOUD = """
import sys
import numpy as np
from kmgpu import KMeans
x = np.random.default_rng(0).standard_normal((3000, 3), dtype=np.float32)
print(KMeans(4, init=x[:4], verbose=1, max_iter=3).fit(x).inertia_)
print("numba.typed.typeddict" in sys.modules)
"""


@pytest.mark.slow
def test_compiling_is_said_once_and_loading_is_silent_and_light(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}

    def run():
        command = [sys.executable, "-c", FIT_ALOUD]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    first, second = run(), run()
    assert sum(line.startswith("Compiling kernels") for line in first) == 1
    assert sum(line.startswith("Compiled kernels for") for line in first) == 1
    assert not any(line.startswith("Compil") for line in second)
    assert second[-2] == first[-2]
    assert second[-1] == "False"


def test_a_kernel_that_cannot_be_cached_is_compiled_all_the_same(monkeypatch):
    from kmgpu.kernels.cpu.lowlevel import compiled

    monkeypatch.setattr(compiled._Places, "_locator_classes", [])
    assert compiled.njit(cache=True)(lambda x: 2 * x)(21) == 42


CACHED = """
import numpy as np
from kmgpu.kernels.cpu.lowlevel.compiled import njit

@njit(cache=True)
def total(x, limit):
    sums = np.zeros(2, x.dtype)
    for v in x:
        sums[0] += v
    if sums[0] > limit:
        raise ValueError("more than the limit")
    return sums
"""


@pytest.mark.slow
def test_what_the_cache_holds_is_loaded_without_numbas_own_implementations(tmp_path):
    (tmp_path / "cached.py").write_text(CACHED)

    def run(*lines):
        text = "\n".join(["import sys", "import numpy as np", "from cached import total", *lines])
        env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *sys.path])
        subprocess.run([sys.executable, "-c", text], check=True, env=env)

    def uses(dtype):
        x = f"np.arange(4, dtype={dtype!r})"
        return [
            f"assert total({x}, 9).tolist() == [6, 0]",
            f"try:\n    total({x}, 5)\nexcept ValueError as error:\n    told = str(error)",
            "assert told == 'more than the limit'",
        ]

    def loaded(hits):
        return [
            f"assert sum(total.stats.cache_hits.values()) == {hits}",
            "assert 'numba.np.arrayobj' not in sys.modules",
        ]

    run(*uses("float32"))
    run(*uses("float32"), *loaded(1), *uses("float64"))
    run(*uses("float32"), *uses("float64"), *loaded(2))
    (tmp_path / "beside.py").write_text("# a kernel holds the code of those it calls")
    run(*uses("float32"), *loaded(0)[:1])
