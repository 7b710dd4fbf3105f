"""The test harness itself: what --backend promises, and how narrow the strict arrays are."""

import operator
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.gpuless.kernel_build import COMPILER

# the environment of this process without what `tests.gpuless.run` may have prepared
PREPARED = ("GPULESS_RUNTIME", "GPULESS_OBJECTS", "LD_LIBRARY_PATH", "PYTHONPATH")
UNPREPARED = {name: value for name, value in os.environ.items() if name not in PREPARED}

A_FILE = "tests/algorithm/test_losses.py"
WITHOUT_CUPY = """
import sys
sys.modules["cupy"] = None
import pytest
sys.exit(pytest.main(["--collect-only", "-q", "-q", *sys.argv[1:]]))
"""


COLLECT = ["-m", "pytest", "--collect-only", "-q", A_FILE]


def python(request, *arguments, **settings):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=request.config.rootpath,
        env=UNPREPARED | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def pytest_without_cupy(request, *arguments):
    return python(request, "-c", WITHOUT_CUPY, A_FILE, *arguments)


@pytest.mark.slow
def test_a_backend_asked_for_by_name_never_skips(request):
    run = pytest_without_cupy(request, "--backend", "numpy", "--backend", "cupy")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--backend cupy cannot be used: CuPy cannot be imported" in run.stderr
    assert "pip install 'kmgpu[cuda12]'" in run.stderr


@pytest.mark.slow
def test_otherwise_it_is_skipped_with_its_reason_in_the_header(request):
    run = pytest_without_cupy(request, "-v", "-v")
    assert run.returncode == 0
    assert "backend cupy: SKIPPED, CuPy cannot be imported" in run.stdout
    assert "backend numpy: NumPy" in run.stdout
    assert "backend strict: array-api-strict" in run.stdout


@pytest.mark.slow
def test_cupy_and_cupy_on_the_cpu_exclude_each_other(request):
    run = python(request, *COLLECT, "--backend", "cupy", "--backend", "cupy-on-cpu")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "are one library" in run.stderr


@pytest.mark.slow
def test_cupy_on_the_cpu_names_the_way_to_start_it(request):
    run = python(request, *COLLECT, "--backend", "cupy-on-cpu")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "python -m tests.gpuless.run [pytest arguments]" in run.stderr


@pytest.mark.slow
def test_cupy_on_the_cpu_says_when_there_is_no_compiler(request):
    run = python(request, "-m", "tests.gpuless.run", GPULESS_CXX="no-such-compiler")
    assert run.returncode == 1
    assert "cupy-on-cpu: no-such-compiler is not on PATH" in run.stderr
    assert "apt-get install g++" in run.stderr


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which(COMPILER), reason="the compiler is asked for first")
def test_cupy_on_the_cpu_says_when_the_wheel_cannot_be_had(request, tmp_path):
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    run = python(request, "-m", "tests.gpuless.run", GPULESS_CACHE=str(tmp_path), **nowhere)
    assert run.returncode == 1
    assert "cupy-on-cpu: fetching cupy-rocm-7-0" in run.stderr
    assert "No matching distribution" in run.stderr
    assert "PIP_FIND_LINKS" in run.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("backend", "counted")
def test_pytest_is_started_on_cupy_on_the_cpu(request, tmp_path):
    (tmp_path / "test_it.py").write_text(STARTED)
    where = ["--rootdir", request.config.rootpath, "-p", "conftest", tmp_path]
    run = python(request, "-m", "tests.gpuless.run", "-q", *where)
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    assert "1 failed, 1 passed" in run.stdout
    assert "fetching" not in run.stderr


STARTED = """
import sys

def test_cupy(backend, counted):
    import cupy
    print(cupy.ones(3).sum(), file=sys.stderr)

def test_fails():
    assert False
"""


@pytest.mark.only("strict")
def test_strict_arrays_are_as_narrow_as_cupys(backend):
    from tests.support.envelope import cupy_envelope

    x = backend.asarray(np.arange(3))
    with pytest.raises(AttributeError, match="no __index__"):
        operator.index(x[0])
    with pytest.raises(RuntimeError, match="boolean"):
        x[x > 1]
    with pytest.raises(RuntimeError, match="data"):
        backend.xp.nonzero(x)
    with pytest.raises((RuntimeError, TypeError)):
        np.asarray(x)
    with pytest.raises(ValueError, match="device"):
        x + backend.xp.asarray([1, 2, 3])
    with cupy_envelope() as waits:
        assert int(x[2]) == 2
        assert bool(x[0] < 1)
    assert [wait.split()[0] for wait in waits] == ["__int__", "__bool__"]
    assert all(__file__ in wait for wait in waits)
