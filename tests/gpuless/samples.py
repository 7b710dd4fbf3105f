"""Sample kernels for the room's own tests, and the check of the larger one."""

from pathlib import Path

import numpy as np

L1_ASSIGN = (Path(__file__).parent / "sample_l1_assign.cu").read_text(encoding="utf-8")
L1_NAMES = {
    "f4": "l1_assign<float,float,64,64,16,16,16>",
    "f8": "l1_assign<double,double,64,64,16,16,16>",
}
SHAPES = ((1, 1, 1), (70, 3, 5), (64, 64, 16), (130, 70, 33))

SHARED = r"""
extern "C" __global__ void reverse(const float* in, float* out, int late) {
  extern __shared__ float tile[];
  tile[threadIdx.x + late] = in[blockIdx.x * blockDim.x + threadIdx.x];
  __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}
extern "C" __global__ void divergent(int* out) {
  if (threadIdx.x % 2) __syncthreads();
  out[threadIdx.x] = 1;
}
"""


def check_l1_assign(module_type, asarray, to_numpy, code=L1_ASSIGN, shapes=SHAPES):
    """Run the sample kernel on arrays of the device and compare with brute force."""
    names = tuple(L1_NAMES.values())
    module = module_type(code=code, options=("-std=c++17",), name_expressions=names)
    rng = np.random.default_rng(0)
    for dtype, name in L1_NAMES.items():
        for n, k, d in shapes:
            x, c = (rng.integers(-2, 3, (rows, d)).astype(dtype) for rows in (n, k))
            label, dist = asarray(np.full(n, -1, "i4")), asarray(np.full(n, np.nan, dtype))
            args = asarray(x), asarray(c), np.int32(n), np.int32(k), np.int32(d), label, dist
            module.get_function(name)((-(-n // 64),), (16, 16), args)
            expected = np.abs(x[:, None] - c[None]).sum(-1)
            np.testing.assert_array_equal(to_numpy(label), expected.argmin(1))
            np.testing.assert_array_equal(to_numpy(dist), expected.min(1))
