"""Which kernels CuPy has compiled on this machine.

CuPy keeps them on disk under names that it does not tell, so a mark of ours beside its files says
that a kernel is among them. It is ours to look at before a compilation and for ``kmgpu info``.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kmgpu.backend.gpus import outdated
from kmgpu.kernels.compilation import COMPILATION


def folder() -> Path:
    """Where CuPy keeps what it compiles."""
    return Path(os.environ.get("CUPY_CACHE_DIR") or "~/.cupy/kernel_cache").expanduser()


def mark_of(text: str, name: str) -> Path:
    """The file that is there once CuPy has compiled this kernel for the current device."""
    import cupy

    capability = cupy.cuda.Device().compute_capability
    versions = cupy.__version__, str(cupy.cuda.runtime.runtimeGetVersion())
    told = "\0".join((text, name, capability, *versions))
    return folder() / "kmgpu" / hashlib.sha256(told.encode()).hexdigest()[:40]


@contextmanager
def told(text: str, name: str) -> Iterator[None]:
    """Tell `COMPILATION` of this kernel's, which happens in the block, unless it is on disk."""
    mark = mark_of(text, name)
    if why := outdated():
        with suppress(Warning):  # a user who turns warnings into errors still gets a fit
            warnings.warn(why, RuntimeWarning, stacklevel=2)
    elif mark.exists():
        yield
        return
    COMPILATION.begins()
    begun = time.perf_counter()
    yield
    COMPILATION.took(time.perf_counter() - begun)
    with suppress(OSError):  # CuPy cannot write there either
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def described(kernels: Iterable[tuple[str, str]]) -> str:
    """How many of `kernels`, pairs of text and name, are on disk for the current device."""
    found = sum(mark_of(*kernel).exists() for kernel in kernels)
    return f"{found} compiled on this machine, kept by CuPy in {folder()}"
