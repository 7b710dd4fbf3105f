"""A stand-in for CuPy on a machine of given GPUs: what `kmgpu.backend.gpus` asks of it."""

import sys
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import array_api_compat


class NoCupy:
    """A finder that finds no CuPy."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        del path, target
        if name == "cupy":
            msg = "No module named 'cupy'"
            raise ModuleNotFoundError(msg)


def remove(monkeypatch):
    """Let ``import cupy`` fail, installed or not."""
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NoCupy, *sys.meta_path])


class CUDARuntimeError(RuntimeError):
    pass


class Device:
    """A T4, unless `install` is told otherwise; `entered` are those with a context."""

    now = 0
    clocks: ClassVar[list[int]] = []
    entered: ClassVar[set[int]] = set()
    compute_capability = "75"

    def __init__(self, index=None):
        self.id = self.now if index is None else index

    @property
    def attributes(self):
        return {"MultiProcessorCount": 40, "ClockRate": self.clocks[self.id]}

    def __eq__(self, other):
        return self.id == other.id

    def __hash__(self):
        return self.id

    def __enter__(self):
        self._before, Device.now = Device.now, self.id
        Device.entered.add(self.id)

    def __exit__(self, *error):
        Device.now = self._before


def install(
    monkeypatch, free, *, trouble=None, driver=None, limit=0, used=0, pooled=0, clocks=None, amd=()
):
    """Put a CuPy in place that sees a GPU for each of `free` (bytes, of 16 GB each).

    `trouble` maps a GPU to the error of any kernel on it; `driver` is the error of counting GPUs;
    `clocks` are theirs in kHz, and `amd` are those of another maker; the rest is the state of the
    memory pool.
    """
    monkeypatch.setattr(Device, "clocks", clocks or [1_590_000] * len(free))
    monkeypatch.setattr(Device, "entered", set())

    def count():
        if driver is not None:
            raise CUDARuntimeError(driver)
        return len(free)

    def arange(stop):
        if Device.now in (trouble or {}):
            raise trouble[Device.now]
        return SimpleNamespace(sum=lambda: SimpleNamespace(get=lambda: stop))

    def properties(index):
        return {"name": b"Fake"} | ({"gcnArchName": b"gfx90a:xnack-"} if index in amd else {})

    pool = SimpleNamespace(
        free_bytes=lambda: pooled, get_limit=lambda: limit, used_bytes=lambda: used
    )
    cupy = ModuleType("cupy")
    cupy.__version__ = "99"
    cupy.ndarray = type("ndarray", (), {})
    cupy.arange = arange
    cupy.get_default_memory_pool = lambda: pool
    runtime = SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=count,
        memGetInfo=lambda: (free[Device.now], 16_000_000_000),
        getDeviceProperties=properties,
        runtimeGetVersion=lambda: 13000,
    )
    cupy.cuda = SimpleNamespace(Device=Device, runtime=runtime)
    namespace = ModuleType("array_api_compat.cupy")
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, namespace.__name__, namespace)
    monkeypatch.setattr(array_api_compat, "cupy", namespace, raising=False)
