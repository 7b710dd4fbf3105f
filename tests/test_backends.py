"""The test harness itself: what --backend promises, and how narrow the strict arrays are."""

import operator
import subprocess
import sys

import numpy as np
import pytest

WITHOUT_CUPY = """
import sys
sys.modules["cupy"] = None
import pytest
sys.exit(pytest.main(["--collect-only", "-q", "-q", "tests/test_losses.py", *sys.argv[1:]]))
"""


def pytest_without_cupy(request, *arguments):
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_CUPY, *arguments],
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_backend_asked_for_by_name_never_skips(request):
    run = pytest_without_cupy(request, "--backend", "numpy", "--backend", "cupy")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--backend cupy cannot be used: CuPy cannot be imported" in run.stderr
    assert "pip install 'kmgpu[cuda12]'" in run.stderr


def test_otherwise_it_is_skipped_with_its_reason_in_the_header(request):
    run = pytest_without_cupy(request, "-v", "-v")
    assert run.returncode == 0
    assert "backend cupy: SKIPPED, CuPy cannot be imported" in run.stdout
    assert "backend numpy: NumPy" in run.stdout
    assert "backend strict: array-api-strict" in run.stdout


def test_strict_arrays_are_as_narrow_as_cupys(backend):
    if backend.name != "strict":
        pytest.skip("about array-api-strict")
    from tests.envelope import cupy_envelope

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
