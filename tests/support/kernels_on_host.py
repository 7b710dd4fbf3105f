"""The CUDA kernels on NumPy arrays: the launchers as they are, HostModule in CuPy's place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from kmgpu.kernels import cuda
from kmgpu.kernels.cuda import module


@contextmanager
def kernels_on_host(host_module: Any, mutant: Any = None) -> Iterator[None]:
    """Build kernels for the CPU inside the block: those of a source that checks list at once.

    `mutant`, or the one that the environment variable KMGPU_MUTANT names, plants a mistake of
    `tests.mutants.cuda`; what is not used is then not built.
    """
    if "KMGPU_MUTANT" in os.environ:
        from tests.mutants.cuda import MUTANTS

        mutant = MUTANTS[os.environ["KMGPU_MUTANT"]]
    names = {source.file.removesuffix(".cu"): source.name_expressions for source in cuda.SOURCES}

    @cache
    def build(source: str, expressions: tuple[str, ...]) -> Any:
        code = module.text(source)
        code = mutant.planted(code) if mutant and mutant.source in ("common", source) else code
        return host_module(code=code, options=("-std=c++17",), name_expressions=expressions)

    kept = module.raw_module

    def raw_module(source: str, name: str) -> Any:
        together = not mutant and name in names[source]
        return build(source, names[source] if together else (name,))

    module.raw_module = raw_module
    module._function.cache_clear()
    try:
        yield
    finally:
        module.raw_module = kept
        module._function.cache_clear()
