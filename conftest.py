"""Array backends for tests/ and benchmarks/: ``--backend NAME`` and the `backend` fixture."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import array_api_compat.numpy
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from kmgpu.backend.arrays import Usable
from kmgpu.backend.gpus import cupy_usable, torch_usable
from tests.gpuless import cupy_on_cpu, kernel_build

pytest.register_assert_rewrite("tests.support")
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

    from tests.support.envelope import cupy_envelope

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


CHOSEN = pytest.StashKey[dict[str, Usable]]()
CUPY = ("cupy", cupy_on_cpu.NAME)
# tests that take such a fixture are collected for these backends alone
ONLY_ON = {
    "gpu": ("numpy", *CUPY),
    "cupy": CUPY,
    "hardware": ("cupy",),
    "counted": (cupy_on_cpu.NAME,),
    "pretend_gpus": (cupy_on_cpu.NAME,),
}
# what no kernels run on tells 200 features from 40 by nothing but time
WITHOUT_KERNELS = ("strict", "torch")
# cases of a test of CUDA kernels that run without -m slow where there is no GPU
MOST_EMULATED = {"numpy": 3, cupy_on_cpu.NAME: 3}
# .ci/run runs so many cases of this file's tests, on NumPy's arrays: on CuPy's they take long
NOT_ON_CUPY, MOST_ALONE = "test_kernels_cuda_tensor", 6
MARKERS = (
    "emulated: slow; other cases of the test run faster, and all of them in the sanitizer",
    "backend: depends on --backend; set where it is a fixture",
    "only(*names): a test about these backends (cupy: on a CPU, too) is collected for no other",
    "never(**params): is not collected where all these parameters, backend one of them, meet",
)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    asked = config.getoption("backend")
    if cupy_on_cpu.NAME in (asked or ()):
        if "cupy" in asked:
            msg = f"--backend cupy and --backend {cupy_on_cpu.NAME} are one library, CuPy"
            raise pytest.UsageError(msg)
        if "GPULESS_RUNTIME" not in os.environ:
            msg = (
                f"--backend {cupy_on_cpu.NAME} needs an environment that stands before Python "
                f"starts: python -m tests.gpuless.run [pytest arguments]"
            )
            raise pytest.UsageError(msg)
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


def _library(backend: str) -> str:
    return backend.removesuffix("-on-cpu")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" not in metafunc.fixturenames:
        return
    names = [name for name, usable in metafunc.config.stash[CHOSEN].items() if usable.yes]
    for fixture in set(metafunc.fixturenames).intersection(ONLY_ON):
        names = [name for name in names if name in ONLY_ON[fixture]]
    for only in metafunc.definition.iter_markers("only"):
        names = [name for name in names if _library(name) in only.args]
    metafunc.parametrize("backend", names or [None], indirect=True, scope="session")


def _excluded(item: pytest.Item, library: str) -> bool:
    """Whether this test, with these parameters, is not about a library."""
    params = {**item.callspec.params, "backend": library}
    if any(library not in only.args for only in item.iter_markers("only")):
        return True
    return any(never.kwargs.items() <= params.items() for never in item.iter_markers("never"))


def _concerned(item: pytest.Item) -> bool:
    """Whether a chosen backend is one that this test, with these parameters, is about."""
    params = item.callspec.params
    if params["backend"] is None:
        return False
    library = _library(params["backend"])
    if library in WITHOUT_KERNELS and 200 in (params.get("d"), params.get("n_features")):
        return False
    return not _excluded(item, library)


def _thin_out(items: list[pytest.Item]) -> None:
    """Mark as slow most cases of every test of CUDA kernels where no GPU runs them.

    What stays is chosen by the names, as if by chance, and differs between NumPy and CuPy. The
    sanitizer runs all of them.
    """
    cases: dict[tuple[str, str], list[pytest.Item]] = {}
    for item in items:
        backend = item.callspec.params.get("backend") if hasattr(item, "callspec") else None
        if backend in MOST_EMULATED and "gpu" in getattr(item, "fixturenames", ()):
            cases.setdefault((backend, item.nodeid.partition("[")[0]), []).append(item)
    for (backend, name), found in cases.items():
        own = sorted(found, key=lambda item: crc32(item.nodeid.encode()))
        for rank, item in enumerate(own):
            if rank < MOST_EMULATED[backend]:
                continue
            item.add_marker("slow")
            alone = rank < MOST_ALONE if NOT_ON_CUPY in name else _excluded(item, "cupy")
            if backend != "numpy" or not alone:
                item.add_marker("emulated")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    kept = []
    for item in items:
        if "backend" in getattr(item, "fixturenames", ()):
            if not _concerned(item):
                continue
            item.add_marker("backend")
        kept.append(item)
    items[:] = kept
    _thin_out(items)


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each chosen backend in turn."""
    with BACKENDS[request.param]() as made:
        yield made


@pytest.fixture
def cupy(backend: Backend) -> Any:
    """The module; a test that takes it runs on CuPy alone."""
    return importlib.import_module("cupy")


@pytest.fixture
def hardware(backend: Backend) -> Any:
    """The module `cupy`; a test that takes it is collected on a GPU alone."""
    return importlib.import_module("cupy")


@pytest.fixture
def counted(backend: Backend) -> Any:
    """`tests.gpuless.counters.counted`; a test that takes it runs on cupy-on-cpu alone."""
    return importlib.import_module("tests.gpuless.counters").counted


@pytest.fixture
def pretend_gpus(backend: Backend) -> Any:
    """`tests.gpuless.gpus.pretend_gpus`; a test that takes it runs on cupy-on-cpu alone."""
    return importlib.import_module("tests.gpuless.gpus").pretend_gpus


@pytest.fixture
def gpu(backend: Backend, request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A backend on whose arrays CUDA kernels run: CuPy's, or NumPy's by way of HostModule."""
    if backend.name == "cupy":
        yield backend
        return
    from tests.support.kernels_on_host import kernels_on_host

    with kernels_on_host(request.getfixturevalue("host_module")):
        yield backend


@pytest.fixture(scope="session")
def host_module() -> Any:
    """`tests.gpuless.host_module.HostModule`; a test that takes it is skipped without g++."""
    if not shutil.which(kernel_build.COMPILER):
        pytest.skip(f"{kernel_build.COMPILER} is not on PATH")
    from tests.gpuless.host_module import HostModule

    return HostModule
