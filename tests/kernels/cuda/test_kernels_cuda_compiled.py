"""What users hear of CUDA compilation, and of GPUs for which there are no kernels."""

import warnings

import numpy as np
import pytest

from kmgpu import KMeans, KMedians, kernels
from kmgpu.backend import gpus
from kmgpu.info import info
from kmgpu.kernels.cuda import compiled, module
from tests.support import oracles

X = oracles.blobs(300, 4, 5, seed=9, spread=3)


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """No kernel of ours is loaded, and CuPy's folder is another; what CuPy itself holds stays."""
    monkeypatch.setenv("CUPY_CACHE_DIR", str(tmp_path))
    module._function.cache_clear()
    yield tmp_path
    module._function.cache_clear()


def fit(backend, capsys):
    model = KMeans(5, init=X[:5], verbose=1, max_iter=2).fit(backend.asarray(X))
    lines = capsys.readouterr().out.splitlines()
    return model, [line for line in lines if line.startswith("Compil")]


@pytest.mark.usefixtures("cupy")
def test_compilation_is_told_once_a_machine(backend, fresh, capsys):
    _, told = fit(backend, capsys)
    assert told[0].startswith("Compiling kernels (first use on this machine)")
    assert told[1].startswith("Compiled kernels for ")
    assert len(told) == 2
    assert fit(backend, capsys)[1] == []
    module._function.cache_clear()  # as in another process
    assert fit(backend, capsys)[1] == []
    for mark in (fresh / "kmgpu").iterdir():
        mark.unlink()
    module._function.cache_clear()
    assert len(fit(backend, capsys)[1]) == 2


@pytest.mark.usefixtures("cupy")
def test_info_counts_what_is_compiled_and_names_the_folder(backend, fresh, capsys):
    assert f"0 compiled on this machine, kept by CuPy in {fresh})" in info()
    fit(backend, capsys)
    marks = len(list((fresh / "kmgpu").iterdir()))
    assert marks > 2
    assert f"{marks} compiled on this machine" in info()
    for mark in (fresh / "kmgpu").iterdir():  # those of other kernels do not count
        mark.rename(mark.with_name("f" * 40))
    assert "0 compiled on this machine" in info()


@pytest.mark.usefixtures("cupy")
def test_a_folder_that_cannot_be_written_costs_nothing_but_silence(backend, fresh, capsys):
    (fresh / "kmgpu").write_text("no folder")
    for _ in range(2):
        module._function.cache_clear()
        assert len(fit(backend, capsys)[1]) == 2


@pytest.mark.usefixtures("cupy")
def test_an_old_cupy_is_named_and_works(backend, fresh, capsys, monkeypatch):
    import cupy

    fit(backend, capsys)
    monkeypatch.setattr(cupy, "__version__", "14.1.9")
    why = r"CuPy 14\.1\.9 compiles the kernels anew in every process, CuPy >= 14\.2 keeps"
    for _ in range(2):  # although it is marked
        module._function.cache_clear()
        with pytest.warns(RuntimeWarning, match=why):
            _, told = fit(backend, capsys)
        assert len(told) == 2
    assert "CuPy 14.1.9 compiles the kernels anew" in info()
    module._function.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(backend, capsys)


@pytest.mark.parametrize(
    ("version", "old"),
    [("13.6.0", True), ("14.1.0", True), ("14.2.0rc1", False), ("14.10", False), ("15.0", False)],
)
@pytest.mark.usefixtures("cupy")
def test_versions(monkeypatch, version, old):
    import cupy

    monkeypatch.setattr(cupy, "__version__", version)
    assert bool(gpus.outdated()) == old


@pytest.mark.parametrize("estimator", [KMeans, KMedians])
@pytest.mark.usefixtures("cupy")
def test_an_amd_gpu_runs_the_reference_and_is_told_so(backend, estimator, monkeypatch, capsys):
    expected = estimator(5, init=X[:5]).fit(backend.asarray(X))
    monkeypatch.setattr(gpus, "_amd_architecture", lambda cupy, index: "gfx90a")
    monkeypatch.setattr(module, "launch", None)
    model = estimator(5, init=X[:5], verbose=1).fit(backend.asarray(X))
    told = "cuda:0 is an AMD GPU (gfx90a), for which there are no kernels: plain calls"
    assert capsys.readouterr().out.count(told) == 1
    np.testing.assert_array_equal(model.labels_.get(), expected.labels_.get())
    assert f"none ({told}" in info()
    with kernels.use("fused"), pytest.raises(RuntimeError, match=r"no fused kernel .* AMD GPU"):
        estimator(5, init=X[:5]).fit(backend.asarray(X))


@pytest.mark.usefixtures("cupy")
def test_an_architecture_is_read_from_the_properties(cupy, monkeypatch):
    assert gpus.without_kernels(0) == ""
    gpus._amd_architecture.cache_clear()
    runtime = cupy.cuda.runtime
    named = {"gcnArchName": b"gfx1100:sramecc+:xnack-"}
    monkeypatch.setattr(runtime, "getDeviceProperties", lambda index: named)
    assert "(gfx1100)" in gpus.without_kernels(0)
    gpus._amd_architecture.cache_clear()


def test_the_folder_is_cupys(monkeypatch):
    monkeypatch.setenv("CUPY_CACHE_DIR", "/some/where")
    assert str(compiled.folder()) == "/some/where"
    monkeypatch.delenv("CUPY_CACHE_DIR")
    assert compiled.folder().parts[-2:] == (".cupy", "kernel_cache")
