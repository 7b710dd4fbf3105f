"""The test harness itself: what --backend promises, and how narrow the strict arrays are."""

import operator
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.gpuless.kernel_build import COMPILER
from tests.support import fake_cupy

# the environment of this process without what `tests.gpuless.run` may have prepared
PREPARED = ("GPULESS_RUNTIME", "GPULESS_OBJECTS", "LD_LIBRARY_PATH", "PYTHONPATH")
UNPREPARED = {name: value for name, value in os.environ.items() if name not in PREPARED}


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


@pytest.fixture
def configured(monkeypatch, request):
    """``configured(NAME ...)``: the header of pytest with these after --backend, or its error."""
    (conftest,) = (
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if hasattr(plugin, "BACKENDS")
    )
    monkeypatch.delenv("GPULESS_RUNTIME", raising=False)
    fake_cupy.remove(monkeypatch)

    def configured(*names):
        config = SimpleNamespace(
            addinivalue_line=lambda name, line: None,
            getoption=lambda name: list(names) or None,
            stash={},
        )
        conftest.pytest_configure(config)
        return conftest.pytest_report_header(config)

    return configured


def test_a_backend_asked_for_by_name_never_skips(configured):
    with pytest.raises(pytest.UsageError, match="--backend cupy cannot be used: CuPy") as caught:
        configured("numpy", "cupy")
    assert "pip install 'kmgpu[cuda12]'" in str(caught.value)


def test_otherwise_it_is_skipped_with_its_reason_in_the_header(configured):
    numpy, strict, _, cupy = configured()
    assert cupy.startswith("backend cupy: SKIPPED, CuPy cannot be imported")
    assert numpy.startswith("backend numpy: NumPy")
    assert strict.startswith("backend strict: array-api-strict")


def test_cupy_and_cupy_on_the_cpu_exclude_each_other(configured):
    with pytest.raises(pytest.UsageError, match="are one library"):
        configured("cupy", "cupy-on-cpu")


def test_cupy_on_the_cpu_names_the_way_to_start_it(configured):
    with pytest.raises(pytest.UsageError, match=r"python -m tests.gpuless.run \[pytest arguments"):
        configured("cupy-on-cpu")


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
