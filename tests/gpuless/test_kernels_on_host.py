"""CUDA C++ kernels on the CPU: the sample kernel, and mistakes that must not pass."""

import os

import numpy as np
import pytest

from tests.gpuless.kernel_build import KernelError
from tests.gpuless.samples import L1_ASSIGN, SHARED, check_l1_assign


def same(x):
    return x


def test_the_sample_kernel_on_numpy_arrays(host_module):
    check_l1_assign(host_module, same, same)


def test_the_sample_kernel_on_cupy_arrays(backend, counted):
    import cupy

    check_l1_assign(cupy.RawModule, backend.asarray, backend.to_numpy)


def test_arguments_are_checked(host_module):
    kernel = host_module(code=SHARED).get_function("reverse")
    x = np.arange(32, dtype="f4")
    with pytest.raises(TypeError, match="2 arguments, 3 parameters"):
        kernel((1,), (32,), (x, x))
    with pytest.raises(TypeError, match="argument 2 is int64, the parameter is 'i'"):
        kernel((1,), (32,), (x, x, 0))
    with pytest.raises(TypeError, match="argument 2 is an array"):
        kernel((1,), (32,), (x, x, x))
    with pytest.raises(ValueError, match="argument 0 is not C-contiguous"):
        kernel((1,), (16,), (x[::2], x, np.int32(0)))
    with pytest.raises(RuntimeError, match="1 to 1024 threads"):
        kernel((1,), (2048,), (x, x, np.int32(0)))


def test_dynamic_shared_memory_ends_where_it_ends(host_module):
    kernel = host_module(code=SHARED).get_function("reverse")
    x, out = np.arange(128, dtype="f4"), np.empty(128, "f4")
    kernel((4,), (32,), (x, out, np.int32(0)), shared_mem=32 * 4)
    np.testing.assert_array_equal(out, x.reshape(4, 32)[:, ::-1].ravel())
    with pytest.raises(RuntimeError, match="past the dynamic shared memory"):
        kernel((4,), (32,), (x, out, np.int32(1)), shared_mem=32 * 4)


def test_a_divergent_barrier_is_an_error(host_module):
    kernel = host_module(code=SHARED).get_function("divergent")
    with pytest.raises(RuntimeError, match="reached by only part of the block"):
        kernel((1,), (32,), (np.zeros(32, "i4"),))


def test_the_same_errors_on_cupy_arrays(backend, counted):
    import cupy

    x = cupy.zeros(128, "f4")
    late = x, x.copy(), np.int32(1)
    reverse, divergent = (cupy.RawKernel(SHARED, name) for name in ("reverse", "divergent"))
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="past the dynamic"):
        reverse((4,), (32,), late, shared_mem=128)
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="only part of the block"):
        divergent((1,), (32,), (cupy.zeros(32, "i4"),))


def test_text_that_does_not_compile_says_why(host_module):
    with pytest.raises(KernelError, match="nothing"):
        host_module(code='extern "C" __global__ void f(int* p) { p[0] = nothing; }')


BARRIER = "      __syncthreads();\n"
# name -> (text in the sample kernel, what stands there instead, which of its places)
MUTANTS = {
    "no barrier before the tile is read": (BARRIER, "", 0),
    "no barrier before the tile is filled again": (BARRIER, "", 1),
    "a guard off by one": ("if (tx == 0 && row < n)", "if (tx == 0 && row < n - 1)", 0),
    "a column guard dropped": ("if (j < k && nearer", "if (nearer", 0),
    "a narrow tile": ("for (int t = 0; t < BK; ++t) {", "for (int t = 0; t < BK - 1; ++t) {", 0),
    "ties to the highest centre": ("ia < ib", "ia > ib", 0),
    "half a shuffle": ("for (int s = TX / 2;", "for (int s = TX / 4;", 0),
    "a divergent barrier": (BARRIER, "if (tx) __syncthreads();\n", 0),
    "no start of the sum": ("RN] = {};", "RN]; if (col0 == 0) acc[0][0] = 1;", 0),
    "no data": ("inside ? M", "false ? M", 0),
}


@pytest.mark.skipif("GPULESS_HOST_FLAGS" in os.environ, reason="a sanitizer ends the process")
@pytest.mark.parametrize("name", MUTANTS)
def test_mistakes_are_caught_on_the_host(host_module, name):
    old, new, place = MUTANTS[name]
    parts = L1_ASSIGN.split(old)
    assert len(parts) > place + 1
    code = old.join(parts[: place + 1]) + new + old.join(parts[place + 1 :])
    with pytest.raises((AssertionError, RuntimeError)):
        check_l1_assign(host_module, same, same, code)
