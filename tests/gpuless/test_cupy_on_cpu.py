"""The emulation against NumPy: what CuPy computes on it, and that it refuses what a GPU refuses."""

import time

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("counted")  # about the emulation: not on a GPU
RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 7)).astype("f4")
C = X[:4].copy()
LABEL = RNG.integers(0, 4, 50)
HUGE = np.full((3, 4), np.inf, "f4")
NAN = np.array([[1, np.nan, 0], [2, 1, 1]], "f4")
COUNTS = np.array([1, 2, 0, 1])
STARTS = np.array([0, 10, 20, 45])
TIES = RNG.integers(0, 3, (500, 40)).astype("f4")
DOUBLE = X.astype("f8")


def added_at(xp, x, label):
    total = xp.zeros((4, 7), "f4")
    xp.add.at(total, label, x)
    return total


def assigned(x, label):
    x[label == 2, :] = 0
    x[3] = 5
    return x


# name -> function of the namespace xp and of X, C, LABEL in it: NumPy and CuPy must agree
OPERATIONS = {
    "arithmetic": lambda xp, x, c, z: (x * 2 - 1) / (x * x + 3) + xp.sqrt(xp.abs(x)),
    "astype": lambda xp, x, c, z: (x * 100).astype("i4"),
    "float16": lambda xp, x, c, z: x.astype("f2") * 3,
    "matmul": lambda xp, x, c, z: x @ c.T,
    "matmul float64": lambda xp, x, c, z: xp.asarray(DOUBLE) @ xp.asarray(DOUBLE).T,
    "matmul integer": lambda xp, x, c, z: z.reshape(10, 5) @ z.reshape(5, 10),
    "matmul stacked": lambda xp, x, c, z: x.reshape(5, 10, 7) @ xp.stack([c.T] * 5),
    "matmul broadcast": lambda xp, x, c, z: x.reshape(5, 10, 7) @ c.T,
    "matmul vector": lambda xp, x, c, z: x @ c[0],
    "vector matmul": lambda xp, x, c, z: c[:, 0] @ c,
    "dot": lambda xp, x, c, z: xp.dot(x[:, 0], x[:, 1]),
    "tensordot": lambda xp, x, c, z: xp.tensordot(x.reshape(5, 10, 7), c, axes=([2], [1])),
    "einsum": lambda xp, x, c, z: xp.einsum("ij,kj->ik", x, c),
    "sum": lambda xp, x, c, z: xp.sum(x * x, axis=1),
    "sum in float64": lambda xp, x, c, z: xp.sum(x, axis=0, dtype=xp.float64),
    "mean": lambda xp, x, c, z: xp.mean(x, axis=0),
    "var": lambda xp, x, c, z: xp.var(x, axis=0),
    "min of inf": lambda xp, x, c, z: xp.min(xp.asarray(HUGE), axis=1),
    "argmin": lambda xp, x, c, z: xp.argmin(x, axis=1),
    "argmin of inf": lambda xp, x, c, z: xp.argmin(xp.asarray(HUGE), axis=1),
    "argmin of nan": lambda xp, x, c, z: xp.argmin(xp.asarray(NAN), axis=1),
    "argmin ties": lambda xp, x, c, z: xp.argmin(xp.asarray(TIES), axis=1),
    "argmax": lambda xp, x, c, z: xp.argmax(x, axis=0),
    "any, all": lambda xp, x, c, z: xp.any(x > 9) | xp.all(xp.isfinite(x)),
    "take": lambda xp, x, c, z: xp.take(c, z, axis=0),
    "take_along_axis": lambda xp, x, c, z: xp.take_along_axis(x, z[:, None], axis=1),
    "cumsum": lambda xp, x, c, z: xp.cumsum(xp.arange(5000)),
    "sort": lambda xp, x, c, z: xp.sort(x, axis=0),
    "argsort stable": lambda xp, x, c, z: xp.argsort(z, kind="stable"),
    "lexsort": lambda xp, x, c, z: xp.lexsort(xp.stack([x[:, 0], z.astype("f4")])),
    "partition": lambda xp, x, c, z: xp.partition(x, 3, axis=0)[3],
    "searchsorted": lambda xp, x, c, z: xp.searchsorted(xp.sort(z), xp.arange(5)),
    "unique": lambda xp, x, c, z: xp.unique(z, return_counts=True)[1],
    "where": lambda xp, x, c, z: xp.where(x > 0, x, 0.0),
    "clip": lambda xp, x, c, z: xp.clip(x, 0, None),
    "mask": lambda xp, x, c, z: x[x[:, 0] > 0],
    "nonzero": lambda xp, x, c, z: xp.nonzero(z == 1)[0],
    "bincount": lambda xp, x, c, z: xp.bincount(z, minlength=6),
    "bincount weights": lambda xp, x, c, z: xp.bincount(z, weights=x[:, 0], minlength=6),
    "add.at": lambda xp, x, c, z: added_at(xp, x, z),
    "add.reduceat": lambda xp, x, c, z: xp.add.reduceat(x, xp.asarray(STARTS), axis=0),
    "setitem": lambda xp, x, c, z: assigned(x.copy(), z),
    "repeat": lambda xp, x, c, z: xp.repeat(c, xp.asarray(COUNTS), axis=0),
    "concatenate": lambda xp, x, c, z: xp.concatenate([x, c]),
    "median": lambda xp, x, c, z: xp.median(x, axis=0),
    "norm": lambda xp, x, c, z: xp.linalg.norm(x, axis=1),
    "L1 distances": lambda xp, x, c, z: xp.sum(xp.abs(x[:, None, :] - c[None, :, :]), axis=-1),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_cupy_agrees_with_numpy(cupy, name):
    expected = OPERATIONS[name](np, X, C, LABEL)
    got = OPERATIONS[name](cupy, *map(cupy.asarray, (X, C, LABEL))).get()
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, 1e-5, 1e-5)


def test_a_matrix_product_is_quick(cupy):
    a, b = RNG.standard_normal((5000, 64)), RNG.standard_normal((64, 64))
    there = cupy.asarray(a), cupy.asarray(b)
    start = time.process_time()
    product = there[0] @ there[1]
    assert time.process_time() - start < 1
    np.testing.assert_allclose(product.get(), a @ b, 1e-9, 1e-9)


def test_nothing_is_converted_unasked(cupy):
    x = cupy.asarray(X)
    for convert in (np.asarray, lambda x: x + X, lambda x: range(x[0, 0])):
        with pytest.raises(TypeError):
            convert(x)


def test_launches_and_copies_are_counted(cupy, counted):
    x = cupy.asarray(X)
    with counted() as cost:
        y = x + x
    assert vars(cost) == {"launches": 1, "device_to_host_copies": 0, "host_to_device_copies": 0}
    with counted() as cost:
        float(y[0, 0])
        y @ y.T
    assert (cost.launches, cost.device_to_host_copies) == (1, 1)
    with counted() as cost:
        cupy.sort(y[0]).get()
        cupy.asarray(X)
    assert cost.launches >= 1
    assert (cost.device_to_host_copies, cost.host_to_device_copies) == (1, 1)


def test_a_kernel_that_does_not_compile_says_why(cupy):
    kernel = cupy.RawKernel('extern "C" __global__ void f(int* p) { p[0] = nothing; }', "f")
    with pytest.raises(cupy.cuda.compiler.CompileException, match="nothing"):
        kernel((1,), (1,), (cupy.zeros(1, "i4"),))


def test_new_memory_holds_junk(cupy):
    # a pool of its own: in the usual one a part of a block that is in use may be free
    with cupy.cuda.using_allocator(cupy.cuda.MemoryPool().malloc):
        assert (cupy.empty(1 << 18, "u1").get() == 0xA5).all()


def test_the_pool_has_a_limit(cupy):
    pool = cupy.get_default_memory_pool()
    pool.free_all_blocks()
    pool.set_limit(size=pool.used_bytes() + (1 << 20))
    try:
        cupy.zeros(1 << 16, "f4")
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
            cupy.zeros(1 << 20, "f4")
    finally:
        pool.set_limit(size=0)
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
        cupy.empty(1 << 40, "f4")
