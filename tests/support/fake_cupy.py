"""A stand-in for CuPy on a machine of given GPUs: what `kmgpu.backend.gpus` asks of it."""

import sys
from types import ModuleType, SimpleNamespace

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
    now = 0

    def __init__(self, index):
        self.id = index

    def __eq__(self, other):
        return self.id == other.id

    def __hash__(self):
        return self.id

    def __enter__(self):
        self._before, Device.now = Device.now, self.id

    def __exit__(self, *error):
        Device.now = self._before


def install(monkeypatch, free, *, trouble=None, driver=None, limit=0, used=0, pooled=0):
    """Put a CuPy in place that sees a GPU for each of `free` (bytes, of 16 GB each).

    `trouble` maps a GPU to the error of any kernel on it; `driver` is the error of counting GPUs;
    the rest is the state of the memory pool.
    """

    def count():
        if driver is not None:
            raise CUDARuntimeError(driver)
        return len(free)

    def arange(stop):
        if Device.now in (trouble or {}):
            raise trouble[Device.now]
        return SimpleNamespace(sum=lambda: SimpleNamespace(get=lambda: stop))

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
        getDeviceProperties=lambda index: {"name": b"Fake"},
    )
    cupy.cuda = SimpleNamespace(Device=Device, runtime=runtime)
    namespace = ModuleType("array_api_compat.cupy")
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setitem(sys.modules, namespace.__name__, namespace)
    monkeypatch.setattr(array_api_compat, "cupy", namespace, raising=False)
