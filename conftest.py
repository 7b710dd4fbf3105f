"""Array backends for tests/ and benchmarks/: ``--backend NAME`` and the `backend` fixture."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from kmgpu.backend.arrays import Usable
from kmgpu.backend.gpus import cupy_usable, torch_usable
from tests.gpuless import cupy_on_cpu, kernel_build

settings.register_profile(
    "kmgpu",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("kmgpu")


@dataclass(frozen=True)
class Backend:
    """An array library under test, and its way in and out that is not kmgpu's own.

    Attributes
    ----------
    name : str
    xp : module
        The array namespace, array-api-compat's where it has one.
    asarray : callable
        NumPy array -> array of the same dtype on the device under test.
    to_numpy : callable
        The way back.
    """

    name: str
    xp: Any
    asarray: Callable[[np.ndarray], Any]
    to_numpy: Callable[[Any], np.ndarray]


@contextmanager
def _numpy() -> Iterator[Backend]:
    yield Backend("numpy", array_api_compat.numpy, np.array, np.asarray)


@contextmanager
def _strict() -> Iterator[Backend]:
    import array_api_strict as xp

    from tests.envelope import cupy_envelope

    def asarray(x: np.ndarray) -> Any:
        return xp.asarray(x, device=xp.Device("device1"), copy=True)

    def to_numpy(x: Any) -> np.ndarray:
        assert x.device == xp.Device("device1"), f"left its device for {x.device}"
        return np.array(np.from_dlpack(x.to_device(xp.Device("CPU_DEVICE"))))

    xp.set_array_api_strict_flags(data_dependent_shapes=False, boolean_indexing=False)
    try:
        with cupy_envelope():
            yield Backend("strict", xp, asarray, to_numpy)
    finally:
        xp.reset_array_api_strict_flags()


@contextmanager
def _torch() -> Iterator[Backend]:
    import array_api_compat.torch as xp

    yield Backend("torch", xp, lambda x: xp.asarray(np.array(x)), lambda x: x.cpu().numpy())


@contextmanager
def _cupy() -> Iterator[Backend]:
    import array_api_compat.cupy as xp

    yield Backend("cupy", xp, xp.asarray, lambda x: x.get())


# without --backend, every usable one of these but the last
BACKENDS = {"numpy": _numpy, "strict": _strict, "torch": _torch, "cupy": _cupy}
BACKENDS |= {cupy_on_cpu.NAME: _cupy}


def _usable(name: str) -> Usable:
    if name in ("cupy", cupy_on_cpu.NAME):
        return cupy_usable()
    if name == "torch":
        return torch_usable()
    if name == "strict":
        try:
            import array_api_strict as xp
        except ImportError as error:
            return Usable(False, f"{error}; pip install array-api-strict")
        return Usable(True, f"array-api-strict {xp.__version__} on device1")
    return Usable(True, f"NumPy {np.__version__}")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        action="append",
        choices=list(BACKENDS),
        help="array backend to run (repeatable); default: every usable one. "
        "One asked for by name must be usable.",
    )


def _restart_on_the_cpu(config: pytest.Config) -> None:
    """Start pytest anew in the environment of cupy-on-cpu, unless this process has it."""
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.suspend_global_capture(in_=True)  # gives stdin, stdout and stderr back
    try:
        prepared = cupy_on_cpu.environment(os.environ)
        if os.environ.get("GPULESS_RUNTIME") != prepared["GPULESS_RUNTIME"]:
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], prepared)
    except kernel_build.Unavailable as error:
        msg = f"--backend {cupy_on_cpu.NAME} cannot be used: {error}"
        raise pytest.UsageError(msg) from error
    finally:
        capture.resume_global_capture()


CHOSEN = pytest.StashKey[dict[str, Usable]]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "backend: depends on --backend; set where it is a fixture")
    asked = config.getoption("backend")
    if cupy_on_cpu.NAME in (asked or ()):
        if "cupy" in asked:
            msg = f"--backend cupy and --backend {cupy_on_cpu.NAME} are one library, CuPy"
            raise pytest.UsageError(msg)
        _restart_on_the_cpu(config)
        importlib.import_module("tests.gpuless.gpus")  # before anything imports CuPy
    usual = [name for name in BACKENDS if name != cupy_on_cpu.NAME]
    found = {name: _usable(name) for name in dict.fromkeys(asked or usual)}
    for name, usable in found.items():
        if asked and not usable.yes:
            msg = f"--backend {name} cannot be used: {usable.why}"
            raise pytest.UsageError(msg)
    config.stash[CHOSEN] = found


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [
        f"backend {name}: {'' if usable.yes else 'SKIPPED, '}{usable.why}"
        for name, usable in config.stash[CHOSEN].items()
    ]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        names = [name for name, usable in metafunc.config.stash[CHOSEN].items() if usable.yes]
        metafunc.parametrize("backend", names, indirect=True, scope="session")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "backend" in getattr(item, "fixturenames", ()):
            item.add_marker("backend")


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each chosen backend in turn."""
    with BACKENDS[request.param]() as made:
        yield made


@pytest.fixture
def counted(backend: Backend) -> Any:
    """`tests.gpuless.counters.counted`; a test that takes it is skipped off cupy-on-cpu."""
    return pytest.importorskip("tests.gpuless.counters").counted


@pytest.fixture
def pretend_gpus(backend: Backend) -> Any:
    """`tests.gpuless.gpus.pretend_gpus`; a test that takes it is skipped off cupy-on-cpu."""
    return pytest.importorskip("tests.gpuless.gpus").pretend_gpus


@pytest.fixture
def gpu(backend: Backend, request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The backend, if CUDA kernels run on its arrays: CuPy's, or NumPy's by way of HostModule."""
    if backend.name == "numpy":
        from tests.kernels_on_host import kernels_on_host

        with kernels_on_host(request.getfixturevalue("host_module")):
            yield backend
    elif backend.name in ("cupy", cupy_on_cpu.NAME):
        yield backend
    else:
        pytest.skip("CUDA kernels run on CuPy arrays, and on NumPy's through HostModule")


@pytest.fixture(scope="session")
def host_module() -> Any:
    """`tests.gpuless.host_module.HostModule`; a test that takes it is skipped without g++."""
    if not shutil.which(kernel_build.COMPILER):
        pytest.skip(f"{kernel_build.COMPILER} is not on PATH")
    from tests.gpuless.host_module import HostModule

    return HostModule
