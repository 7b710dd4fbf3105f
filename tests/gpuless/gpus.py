"""How many devices the pretend GPU has, and of how much memory; under cupy-on-cpu only.

To be imported before CuPy is used: its tables have a place for as many devices as there are at
its first launch.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from tests.gpuless.counters import runtime

MOST = 8
runtime.gpuless_memory.restype = ctypes.c_size_t


def _set(devices: int, memory: int) -> None:
    runtime.gpuless_set(devices, ctypes.c_size_t(memory))


_before = runtime.gpuless_devices(), runtime.gpuless_memory()
_set(MOST, _before[1])
import cupy  # noqa: E402

cupy.ones(1)
_set(*_before)


def free_all_blocks() -> None:
    """Give what CuPy's pool holds unused, on every device, back to the devices."""
    for device in range(cupy.cuda.runtime.getDeviceCount()):
        with cupy.cuda.Device(device):
            cupy.get_default_memory_pool().free_all_blocks()


@contextmanager
def pretend_gpus(devices: int | None = None, memory: int | None = None) -> Iterator[None]:
    """``with pretend_gpus(devices=2, memory=64 << 20): ...``.

    Parameters
    ----------
    devices : int, optional
        Their number, at most 8; without it, as before.
    memory : int, optional
        Bytes of each device, what is in use already (little, in a test) among them; without it,
        as before.
    """
    before = runtime.gpuless_devices(), runtime.gpuless_memory()
    current = cupy.cuda.runtime.getDevice()
    free_all_blocks()
    chosen = before[0] if devices is None else devices, before[1] if memory is None else memory
    _set(*chosen)
    try:
        yield
    finally:
        free_all_blocks()
        cupy.cuda.runtime.setDevice(current)
        _set(*before)
