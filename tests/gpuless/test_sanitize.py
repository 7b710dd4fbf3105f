"""Mistakes that only a sanitizer sees, planted into the sample kernel; each in its own process."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.gpuless.kernel_build import COMPILER, ROOM, Unavailable
from tests.gpuless.samples import L1_ASSIGN
from tests.gpuless.sanitize import environment

RUN = """
import sys
from tests.gpuless.host_module import HostModule
from tests.gpuless.samples import check_l1_assign
check_l1_assign(HostModule, lambda x: x, lambda x: x, sys.stdin.read(), [(70, 3, 5)])
"""
FAR = "volatile int far = n * 100000000;"
BARRIER = "      __syncthreads();\n"


def run(sanitizer, code):
    if not shutil.which(COMPILER):
        pytest.skip(f"{COMPILER} is not on PATH")
    try:
        prepared = environment(sanitizer, os.environ)
    except Unavailable as error:
        pytest.skip(str(error))
    return subprocess.run(
        [sys.executable, "-c", RUN],
        env=prepared,
        cwd=ROOM.parent.parent,
        input=code,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_the_sample_kernel_is_clean(sanitizer):
    done = run(sanitizer, L1_ASSIGN)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("sanitizer", "old", "new", "said"),
    [
        ("address", "first + r < count &&", "first + r <= count &&", "heap-buffer-overflow"),
        ("address", "tile[t][r] = inside", "tile[t + 1][r] = inside", "out of bounds"),
        ("address", "const int row0 = ", f"{FAR} const int row0 = 0 * far + ", "integer overflow"),
        ("thread", BARRIER, "", "data race"),
    ],
)
def test_a_mistake_is_caught(sanitizer, old, new, said):
    assert old in L1_ASSIGN
    done = run(sanitizer, L1_ASSIGN.replace(old, new))
    assert done.returncode == 66, done.stderr
    assert said in done.stderr
