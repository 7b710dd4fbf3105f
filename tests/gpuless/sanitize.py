"""Runs tests whose kernels are built by HostModule under a sanitizer.

    python -m tests.gpuless.sanitize address tests/kernels/cuda/test_kernels_cuda.py
    python -m tests.gpuless.sanitize thread tests/kernels/cuda/test_kernels_cuda.py -k assign

address: accesses outside arrays and shared memory, integer overflow, misaligned vectors.
thread: races between the threads of a block; each CUDA thread is a thread, so keep arrays small.
The arguments are pytest's. The sanitizer's runtime has to be loaded before Python, so pytest runs
in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from tests.gpuless.kernel_build import COMPILER, Unavailable, compiler_version

FLAGS = {
    "address": "-g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined",
    "thread": "-g1 -fsanitize=thread -DCOH_THREADS",
}
RUNTIMES = {"address": ("libasan.so", "libubsan.so", "libstdc++.so"), "thread": ("libtsan.so",)}
OPTIONS = {
    "ASAN_OPTIONS": "exitcode=66:detect_leaks=0:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "exitcode=66",
    "TSAN_OPTIONS": "exitcode=66:halt_on_error=1",
}


def environment(sanitizer: str, base: Mapping[str, str]) -> dict[str, str]:
    """`base` with what the sanitizer needs; raises Unavailable if g++ lacks it."""
    compiler_version()
    found = []
    for name in RUNTIMES[sanitizer]:
        command = [COMPILER, f"-print-file-name={name}"]
        path = subprocess.check_output(command, text=True).strip()
        if path == name:  # g++ says the bare name of what it does not have
            msg = f"{COMPILER} has no {name}; apt-get install g++"
            raise Unavailable(msg)
        found.append(path)
    return {
        **base,
        **OPTIONS,
        "LD_PRELOAD": " ".join(found),
        "PYTHONMALLOC": "malloc",
        "GPULESS_HOST_FLAGS": FLAGS[sanitizer],
    }


def main(argv: Sequence[str]) -> NoReturn:
    """Replace this process by pytest under the sanitizer."""
    if not argv or argv[0] not in FLAGS:
        sys.exit("usage: python -m tests.gpuless.sanitize {address,thread} [PYTEST ARGUMENT ...]")
    try:
        prepared = environment(argv[0], os.environ)
    except Unavailable as error:
        sys.exit(f"sanitize: {error}")
    # the sanitizer's report goes to the real stderr, past pytest's capture
    command = [sys.executable, "-m", "pytest", "--backend", "numpy", "--capture=sys", *argv[1:]]
    os.execve(sys.executable, command, prepared)


if __name__ == "__main__":
    main(sys.argv[1:])
