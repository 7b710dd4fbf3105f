"""Array backends for tests/ and benchmarks/: ``--backend NAME`` and the `backend` fixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import array_api_compat.numpy
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from kmgpu.arrays import Usable
from kmgpu.gpus import cupy_usable, torch_usable

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


BACKENDS = {"numpy": _numpy, "strict": _strict, "torch": _torch, "cupy": _cupy}


def _usable(name: str) -> Usable:
    if name == "cupy":
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


def pytest_configure(config: pytest.Config) -> None:
    asked = config.getoption("backend")
    found = {name: _usable(name) for name in dict.fromkeys(asked or BACKENDS)}
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


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each chosen backend in turn."""
    with BACKENDS[request.param]() as made:
        yield made
