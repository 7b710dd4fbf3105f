"""Numba's ``njit`` as the kernels use it: cached where it can be, quick to load, heard of.

Where neither the package's folder nor the user's cache can be written, a kernel is compiled in
every process.
"""

from __future__ import annotations

import pickle
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import event
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.environment import Environment, lookup_environment
from numba.core.runtime import rtsys

from kmgpu.kernels import COMPILATION


class _Cache(FunctionCache):
    """Numba's cache, but loading does not first import Numba's own implementations.

    Those of Python's and NumPy's functions (0.2 s) serve compiling, which imports them itself.
    What was compiled holds their machine code, and needs of Numba its run time for memory alone.

    A kernel is out of date when any source of its package has changed, not its own alone: it holds
    the code of those it calls.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        own = Path(function.__code__.co_filename).parent
        stamp = _stamp(_KERNELS if _KERNELS in [own, *own.parents] else own)
        self._cache_file = _CacheFile(self._cache_path, self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


_KERNELS = Path(__file__).parent


@cache
def _stamp(folder: Path) -> list[tuple[str, int, int]]:
    """Name, time and size of every source in a folder and below."""
    sources = ((path, path.stat()) for path in sorted(folder.rglob("*.py")))
    return [
        (path.relative_to(folder).as_posix(), status.st_mtime_ns, status.st_size)
        for path, status in sources
    ]


class _CacheFile(IndexDataCacheFile):
    def _load_data(self, name: str) -> Any:
        with Path(self._data_path(name)).open("rb") as file:
            return _Unpickler(file).load()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        rebuilt = (module, name) == ("numba.core.environment", "_rebuild_env")
        return _environment if rebuilt else super().find_class(module, name)


def _environment(module: str, constants: list[Any], name: str) -> Environment:
    """The constants of a compiled function; its globals, for Python code alone, if at hand."""
    known = lookup_environment(name)
    if known is not None:
        return known
    loaded = sys.modules.get(module)
    made = Environment(vars(loaded) if loaded else {"__name__": module})
    made.consts[:] = constants
    made.env_name = name
    Environment._memo[name] = made
    return made


def njit(*, cache: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` with options alone.

    ``cache=True`` for kernels that Python calls: kept on disk where there is a place. The others
    can be called from kernels only, which saves a fifth of all compiling.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        options.update(no_cfunc_wrapper=True, no_cpython_wrapper=not cache)
        kernel = numba.njit(**options)(function)
        if cache:
            with suppress(RuntimeError):  # no folder can be written
                kernel._cache = _Cache(function)
        return kernel

    return decorate


class _Ear(event.Listener):
    """Tells `COMPILATION` of the kernels that are compiled, those inside others not apart."""

    def __init__(self) -> None:
        self._own = threading.local()

    def on_start(self, event: Any) -> None:
        depth = getattr(self._own, "depth", 0)
        self._own.depth = depth + 1
        if depth == 0:
            self._own.start = time.perf_counter()
            self._own.ours = event.data["dispatcher"].py_func.__module__.startswith("kmgpu.")
            if self._own.ours:
                COMPILATION.begins()

    def on_end(self, event: Any) -> None:
        del event
        self._own.depth -= 1
        if self._own.depth == 0 and self._own.ours:
            COMPILATION.took(time.perf_counter() - self._own.start)


event.register("numba:compile", _Ear())
