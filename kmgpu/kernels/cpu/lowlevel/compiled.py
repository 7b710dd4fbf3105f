"""Numba's ``njit`` as the kernels use it.

Kernels are cached on disk if possible, and load fast; compilation is reported to
`kmgpu.kernels.compilation`. Where neither the user's cache nor the package's folder can be written,
every process compiles its kernels anew.

This is the only file that uses private names of Numba; tests/kernels/cpu/test_compiled.py fails
where a new version of Numba has moved one.
"""

from __future__ import annotations

import pickle
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import numba
from numba.core import cgutils as cgutils
from numba.core import event
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.environment import Environment, lookup_environment
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from kmgpu.kernels.compilation import COMPILATION
from kmgpu.kernels.cpu.lowlevel import claims


def make_array(array_type: Any) -> Any:
    """Numba's proxy for the struct of an array of that type."""
    from numba.np.arrayobj import make_array  # 0.2 s, and only compiling needs it

    return make_array(array_type)


class _Places(CompileResultCacheImpl):
    """Numba's folders for what it compiles, that of the package last: uninstalling leaves none."""

    _locator_classes = sorted(
        CompileResultCacheImpl._locator_classes,
        key=lambda locator: "InTree" in locator.__name__,
    )


class _Cache(FunctionCache):
    """Numba's cache, except for what loading imports and for when a kernel is out of date.

    Numba would first import its implementations of Python's and NumPy's functions (0.2 s). Only
    compiling needs them, and it imports them itself; a loaded kernel needs Numba's memory alone.

    A kernel holds the machine code of all functions that it calls. So it is out of date when any
    source below `kmgpu.kernels` has changed, not its own file alone.
    """

    _impl_class = _Places

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        own = Path(function.__code__.co_filename).parent
        stamp = _stamp(_KERNELS if _KERNELS in [own, *own.parents] else own)
        self._cache_file = _CacheFile(Path(self._cache_path), self._impl.filename_base, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        rtsys.initialize(target_context)
        return self._load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            self._save_overload(sig, data)
        except OSError as error:  # a full disk, or a folder that is no longer ours
            _say_once(f"in {self._cache_path} ({error.strerror or error})")


@cache
def _warned() -> list[str]:
    """What this process has been warned of: kernels that cannot be cached."""
    return []


def _say_once(where: str) -> None:
    if not _warned():
        _warned().append(where)
        with suppress(Warning):  # where warnings are errors, this one breaks no fit
            warnings.warn(
                f"Compiled kernels cannot be cached {where}: every process compiles them anew, "
                f"which takes some seconds. NUMBA_CACHE_DIR names another folder.",
                RuntimeWarning,
                stacklevel=2,
            )


_KERNELS = Path(__file__).parents[2]


@cache
def _stamp(folder: Path) -> list[tuple[str, str]]:
    """Name and checksum of every source in a folder and below; the same where it is copied to."""
    return [
        (path.relative_to(folder).as_posix(), sha256(path.read_bytes()).hexdigest())
        for path in sorted(folder.rglob("*.py"))
    ]


class _CacheFile:
    """A file for each signature of a kernel: a checksum, then what was compiled.

    The checksum covers the kernel's sources, too. So a file that is damaged, half-written or of
    other sources counts as missing, even while several processes write at once.

    Parameters
    ----------
    folder : Path
    name : str
        Prefix of the names of this kernel's files.
    stamp : object
        Its repr identifies the sources.
    """

    def __init__(self, folder: Path, name: str, stamp: Any) -> None:
        self._folder, self._name = folder, name
        self._made_from = repr((numba.__version__, stamp))

    def _path(self, key: tuple[Any, ...]) -> Path:
        """The file of a signature on a processor; newer code of this name overwrites it."""
        return self._folder / f"{self._name}.{sha256(repr(key[:2]).encode()).hexdigest()[:16]}.nbc"

    def _checksum(self, key: tuple[Any, ...], data: bytes) -> bytes:
        return sha256(repr((self._made_from, key)).encode() + data).digest()

    def load(self, key: tuple[Any, ...]) -> Any:
        """What was saved under that key; or None, and then it is this process's to compile."""
        found = self._read(key)
        if found is None:
            path = self._path(key)
            claims.take(path)
            found = self._read(key)
            if found is not None:
                claims.drop(path)
        return found

    def _read(self, key: tuple[Any, ...]) -> Any:
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        checksum, data = content[:32], content[32:]
        return _Unpickler(BytesIO(data)).load() if checksum == self._checksum(key, data) else None

    def save(self, key: tuple[Any, ...], compiled: Any) -> None:
        data, path = dumps(compiled), self._path(key)
        part = path.with_name(f"{path.name}.{uuid4().hex}")
        try:
            part.write_bytes(self._checksum(key, data) + data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
            claims.drop(path)

    def flush(self) -> None:
        for path in self._folder.glob(f"{self._name}.*.nbc*"):
            claims.drop(path.with_suffix("") if path.suffix == ".lock" else path)
            path.unlink(missing_ok=True)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        rebuilt = (module, name) == ("numba.core.environment", "_rebuild_env")
        return _environment if rebuilt else super().find_class(module, name)


def _environment(module: str, constants: list[Any], name: str) -> Environment:
    """The constants of a compiled function, and the globals of its module if that is loaded."""
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
    """`numba.njit`, which is always given options.

    ``cache=True`` is for kernels that Python calls: they are kept on disk. Without it, only kernels
    can call the function, which saves a fifth of all compiling.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        options.update(no_cfunc_wrapper=True, no_cpython_wrapper=not cache)
        kernel = numba.njit(**options)(function)
        if cache:
            try:
                kernel._cache = _Cache(function)
            except RuntimeError:
                _say_once("in any folder that can be written")
        return kernel

    return decorate


class _Reporter(event.Listener):
    """Tells `COMPILATION` when a kernel is compiled; those that it calls count as part of it."""

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
        self._own.depth -= 1
        if event._exc_details is not None:  # nothing will be saved; is_failed says the opposite
            claims.drop_all()
        if self._own.depth == 0 and self._own.ours:
            COMPILATION.took(time.perf_counter() - self._own.start)


event.register("numba:compile", _Reporter())
