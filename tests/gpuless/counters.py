"""Counts what a program asked of the pretend GPU; can be imported under cupy-on-cpu only."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

try:
    runtime = ctypes.CDLL("libamdhip64.so.7")
    runtime.gpuless_launches  # noqa: B018  (a real one has no such function)
except (OSError, AttributeError) as error:
    msg = "launches and copies are counted under --backend cupy-on-cpu only"
    raise ModuleNotFoundError(msg) from error

COUNTED = ("launches", "device_to_host_copies", "host_to_device_copies")


def counts() -> dict[str, int]:
    """Launches (kernels and library calls) and copies between host and device so far.

    Each copy to the host is a place where the host waits for the GPU.
    """
    return {name: ctypes.c_long(getattr(runtime, f"gpuless_{name}")()).value for name in COUNTED}


@contextmanager
def counted() -> Iterator[SimpleNamespace]:
    """``with counted() as cost: ...``; afterwards ``cost.launches`` and so on are this block's."""
    before = counts()
    cost = SimpleNamespace()
    yield cost
    vars(cost).update({name: count - before[name] for name, count in counts().items()})
