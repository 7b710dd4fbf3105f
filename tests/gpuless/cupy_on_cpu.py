"""Runs a command in which ``import cupy`` gives the real CuPy, whose kernels run on the CPU.

    python -m tests.gpuless.cupy_on_cpu python -m benchmarks.gpu

The environment that this takes has to stand before the process starts: the loader reads
LD_LIBRARY_PATH once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tests.gpuless.kernel_build import ROOM, Unavailable, cache_folder, toolchain
from tests.gpuless.prepare import TAG, prepare

NAME = "cupy-on-cpu"


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """`base` with what CuPy on the CPU needs; raises `Unavailable`, whose message says why."""
    wheel, runtime = prepare(cache_folder())
    kernels = cache_folder() / f"kernels-{toolchain()}"

    def before(name: str, *folders: Path) -> str:
        kept = [part for part in base.get(name, "").split(os.pathsep) if part]
        first = [str(folder) for folder in folders]
        return os.pathsep.join(first + [part for part in kept if part not in first])

    return {
        **base,
        "GPULESS_HOME": str(ROOM),
        "GPULESS_OBJECTS": str(kernels),
        "GPULESS_PYTHON": sys.executable,
        "GPULESS_RUNTIME": str(runtime),
        "PATH": before("PATH", runtime / "bin"),
        "PYTHONPATH": before("PYTHONPATH", runtime / "python", wheel),
        "LD_LIBRARY_PATH": before("LD_LIBRARY_PATH", runtime / "lib"),
        "ROCM_HOME": str(runtime),
        "CUPY_CACHE_DIR": str(kernels / f"cupy-{TAG}"),
        "CUPY_ACCELERATORS": "",
    }


def main(command: Sequence[str]) -> NoReturn:
    """Replace this process by `command`."""
    if not command or command[0].startswith("-"):
        sys.exit("usage: python -m tests.gpuless.cupy_on_cpu COMMAND [ARGUMENT ...]")
    try:
        prepared = environment(os.environ)
    except Unavailable as error:
        sys.exit(f"{NAME}: {error}")
    try:
        os.execvpe(command[0], command, prepared)
    except FileNotFoundError:
        sys.exit(f"{NAME}: {command[0]}: command not found")


if __name__ == "__main__":
    main(sys.argv[1:])
