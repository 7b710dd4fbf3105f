"""The CUDA kernels on NumPy arrays: the launchers as they are, HostModule in CuPy's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from kmgpu.kernels import cuda
from kmgpu.kernels.cuda import module


@contextmanager
def kernels_on_host(
    host_module: Any, text: Callable[[str], str] = module.text, whole: bool = True
) -> Iterator[None]:
    """Build kernels for the CPU inside the block.

    `text` gives the CUDA C++ of a source; `whole` builds all kernels of a source at once, which is
    quicker where most of them are used.
    """
    names = {source.file.removesuffix(".cu"): source.name_expressions for source in cuda.SOURCES}

    @cache
    def build(source: str, expressions: tuple[str, ...]) -> Any:
        return host_module(code=text(source), options=("-std=c++17",), name_expressions=expressions)

    kept = module.raw_module
    module.raw_module = lambda source, name: build(source, names[source] if whole else (name,))
    module._function.cache_clear()
    try:
        yield
    finally:
        module.raw_module = kept
        module._function.cache_clear()
