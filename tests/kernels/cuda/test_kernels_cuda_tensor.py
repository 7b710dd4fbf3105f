"""Squared distances on tensor cores: fragments, the certificate, and labels that are float64's."""

from functools import partial

import numpy as np
import pytest

from kmgpu.kernels.cuda import module, nearest, tensor
from kmgpu.kernels.cuda.centers import prepared
from tests.support.cuda import DTYPES, LAYOUTS, found_labels
from tests.support.kernels_on_host import kernels_on_host
from tests.support.oracles import labels_in_order

WIDTHS = pytest.mark.parametrize("d", [8, 40, 128, 200, 300])
SAMPLE = """
extern "C" __global__ void product(const int4* a, const int4* b, float* c) {
  __shared__ int4 rows[16][3], columns[16][3];  // 16 halves each, and 8 that nobody reads
  const int lane = threadIdx.x;
  copy16(&rows[lane / 2][lane % 2], a + lane);
  copy16(&columns[lane / 2][lane % 2], b + lane);
  wait();
  __syncwarp();
  unsigned of_a[4], of_b[4];
  load_matrix(of_a, &rows[lane % 16][lane / 16]);
  load_matrix(of_b, &columns[lane / 16 * 8 + lane % 8][lane / 8 % 2]);
  for (int n = 0; n < 2; ++n) {
    float sum[4] = {};
    mma(sum, of_a, of_b[2 * n], of_b[2 * n + 1]);
    for (int e = 0; e < 4; ++e) {
      c[(lane / 4 + e / 2 * 8) * 16 + 8 * n + 2 * (lane % 4) + e % 2] = sum[e];
    }
  }
}
extern "C" __global__ void round_to_half(const float2* numbers, unsigned* words, int n) {
  for (int i = threadIdx.x; i < n; i += 32) words[i] = pack_half(numbers[i].x, numbers[i].y);
}
"""


def sample(gpu, name):
    """A kernel of SAMPLE, by CuPy or on the host."""
    if gpu.name == "numpy":
        from tests.gpuless.host_module import HostModule as Module
    else:
        from cupy import RawModule as Module
    return Module(code=module.text("tensor") + SAMPLE, options=("-std=c++17",)).get_function(name)


def test_fragments_lie_as_the_manual_says(gpu):
    """Products of whole numbers are exact: every element is in its place."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(-8, 9, (2, 16, 16))
    out = gpu.asarray(np.zeros((16, 16), np.float32))
    words = [gpu.asarray(part.astype(np.float16).view(np.int32)) for part in (a, b)]
    sample(gpu, "product")((1,), (32,), (*words, out))
    np.testing.assert_array_equal(gpu.to_numpy(out), a @ b.T)


def test_halves_are_rounded_to_nearest_even(gpu):
    """At and beside the middle of two, subnormal ones too."""
    halves = np.arange(1 << 15, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].astype(np.float64)
    middle = (halves[1:] + halves[:-1]) / 2
    beside = [np.nextafter(middle.astype(np.float32), np.float32(to)) for to in (0, 1e9)]
    numbers = np.concatenate([middle.astype(np.float32), *beside, halves.astype(np.float32)])
    numbers = np.concatenate([numbers, -numbers])[: len(numbers) * 2 // 2 * 2]
    words = gpu.asarray(np.zeros(len(numbers) // 2, np.int32))
    arguments = gpu.asarray(numbers), words, np.int32(len(numbers) // 2)
    sample(gpu, "round_to_half")((1,), (32,), arguments)
    np.testing.assert_array_equal(gpu.to_numpy(words).view(np.float16), numbers.astype(np.float16))


def some(n, d, dtype, seed=0):
    x = 40 * np.random.default_rng(seed).standard_normal((n, d))
    return np.abs(x).astype(dtype) if dtype == "uint8" else x.astype(dtype)


def left_open(gpu, x, centers):
    """Shares of the rows that the two products leave open."""
    there, means = gpu.asarray(x), gpu.asarray(centers)
    ready = prepared("l2", there, means)
    label = gpu.asarray(np.zeros(len(x), np.int32))
    left = tensor.nearest(there, means, ready.origin, ready.extents, label, 1 << 20)
    return [int(gpu.to_numpy(total)[0]) / len(x) for total in (left.before, left.total)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("n", "k"), [(1, 2), (129, 1), (300, 3), (193, 64), (130, 65), (257, 130)], ids=str
)
@WIDTHS
def test_labels_are_those_of_float64(gpu, dtype, n, k, d):
    """Rows and centres on either side of the edges of blocks and tiles."""
    rng = np.random.default_rng(k)
    x = some(n, d, dtype)
    centers = x[rng.integers(0, n, k)] + rng.standard_normal((k, d))
    np.testing.assert_array_equal(
        found_labels(gpu, "l2", x, centers), labels_in_order(x, centers, "l2")
    )


@pytest.mark.parametrize("k", [2, 70])
@WIDTHS
def test_duplicate_centres_go_to_the_lowest_index(gpu, k, d):
    x = some(150, d, "float32")
    centers = np.concatenate([x[:k], x[:k]]).astype(np.float64)
    found = found_labels(gpu, "l2", x, centers)
    np.testing.assert_array_equal(found, labels_in_order(x, centers, "l2"))
    assert found.max() < k


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@WIDTHS
def test_ties_of_eight_bits(gpu, dtype, d):
    rng = np.random.default_rng(1)
    x = rng.integers(0, 3, (200, d)).astype(dtype)
    centers = rng.integers(0, 3, (30, d)).astype(np.float64)
    x[:30], x[30:60] = centers, (centers + centers[::-1]) // 2
    np.testing.assert_array_equal(
        found_labels(gpu, "l2", x, centers), labels_in_order(x, centers, "l2")
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", [8, 40])
@pytest.mark.only("cupy")
def test_any_strides(gpu, layout, d):
    x = some(150, d, "float32")
    centers = x[:9].astype(np.float64) + 0.5
    found = nearest.nearest("l2", LAYOUTS[layout](gpu.asarray(x)), gpu.asarray(centers))
    np.testing.assert_array_equal(gpu.to_numpy(found), labels_in_order(x, centers, "l2"))


FAR = {
    "an offset": lambda x: x + 1e4,
    "outliers": lambda x: np.where(np.arange(len(x))[:, None] % 50, x, 1e6 * x),
    "a row that halves do not hold": lambda x: np.where(np.arange(len(x))[:, None], x, 5e3 * x),
    "rows that float32 does not hold": lambda x: np.where(np.arange(len(x))[:, None], x, 3e38),
    "subnormal": lambda x: x * 1e-41,
    "small": lambda x: x * 1e-30,
    "large": lambda x: x * 1e17,
    "two groups": lambda x: x + np.where(np.arange(len(x)) % 2, 1e5, 0)[:, None],
}


@pytest.mark.parametrize("case", FAR)
@pytest.mark.parametrize("among", [False, True])
@WIDTHS
def test_far_rows_and_extreme_numbers(gpu, case, among, d):
    """One of the centres far away, or none."""
    x = np.random.default_rng(2).standard_normal((150, d))
    x = FAR[case](x).astype(np.float32)
    centers = x[(0 if among else 3) :][:11].astype(np.float64)
    if case not in ("subnormal", "rows that float32 does not hold"):
        centers += 1e-3 * np.abs(x[5]).max()
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        found = found_labels(gpu, "l2", x, centers)
    np.testing.assert_array_equal(found, labels_in_order(x, centers, "l2"))


@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e-40, 1e40, 1e160])
def test_magnitudes_of_float64(gpu, scale):
    x = scale * np.random.default_rng(3).standard_normal((70, 16))
    centers = x[:7].copy()
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        found = found_labels(gpu, "l2", x, centers)
        np.testing.assert_array_equal(found, labels_in_order(x, centers, "l2"))


def near_bisectors(rng, n, d, dtype):
    """Rows as near to two of the centres as 1e-8 to 1e-1 of their distance."""
    one, other = rng.standard_normal((2, d))
    away = 10.0 ** rng.uniform(-8, -1, n) * rng.choice([-1, 1], n)
    along = rng.standard_normal((n, d))
    along -= ((along @ (one - other)) / ((one - other) ** 2).sum())[:, None] * (one - other)
    x = (one + other) / 2 + away[:, None] * (other - one) + 0.3 * along
    far = 9 * rng.standard_normal((5, d))
    return x.astype(dtype), np.stack([*far[:2], one, *far[2:], other])


def with_residuals_that_agree(rng, n):
    """Rows whose residuals lie along the centre that they then seem not to be near.

    Centres are halves; of a row, 14 numbers lie 0.49 units above a half, and cancel but for a few
    units; about a centre at 0.
    """
    x = np.zeros((n, 16))
    pairs = 1 + rng.integers(10, 900, (n, 7)) / 1024
    x[:, :7], x[:, 7:14] = pairs, -pairs + rng.integers(-2, 3, (n, 7)) / 1024
    x[:, :14] += 0.49 / 1024
    x[:, 15] = 32
    centers = np.zeros((5, 16))
    centers[0, :14], centers[1, :14] = 4, -4
    centers[:, 15] = [4, 4, 0, -4, -8]
    return x.astype(np.float32), centers


def with_centres_whose_residuals_agree():
    """Rows are halves; two centres lie 0.49 units above and below the same halves."""
    x = np.linspace(1, 4, 385)[:, None] * np.ones(14)
    away = 0.49 / 1024 * np.ones(14)
    centers = np.stack([1.5 + away, 1.5 - away, *np.outer([0, -1, -1], np.ones(14))])
    return x.astype(np.float32), centers


def of_whole_numbers(rng, n):
    """Halves without residuals, near a bisector: nothing errs but the additions."""
    one = rng.integers(-900, 900, 128)
    other = rng.permutation(one)
    other += (other - one) % 2
    middle = (one + other) // 2
    x = middle + (rng.random((n, 128)) < 0.05) * rng.integers(-9, 10, (n, 128))
    centers = np.stack([one, other, *rng.integers(-900, 900, (5, 128))])
    return x.astype(np.float32), np.concatenate([centers, -centers, np.zeros((1, 128))]).astype(
        np.float64
    )


ADVERSE = {"exact": "", "up": "-DMMA_ERRS=0", "down": "-DMMA_ERRS=1", "flushing": "-DCOH_FLUSH"}


@pytest.fixture(params=ADVERSE)
def adverse(request, backend, host_module):
    """The kernels on NumPy arrays, their sums erring by as much as is charged, or not at all."""
    errs = ADVERSE[request.param].split()
    with kernels_on_host(partial(host_module, extra=errs) if errs else host_module):
        yield backend


def check(gpu, x, centers):
    """Labels are float64's, and neither do all rows stay open nor none."""
    expected = labels_in_order(x, centers, "l2")
    np.testing.assert_array_equal(found_labels(gpu, "l2", x, centers), expected)
    first, second = left_open(gpu, x, centers)
    assert 0 < first < 1
    assert second <= first


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "d"), [("float32", 8), ("float32", 40), ("float32", 300), ("float64", 200)]
)
@pytest.mark.only("numpy")
def test_rows_near_bisectors(adverse, dtype, d):
    check(adverse, *near_bisectors(np.random.default_rng(d), 300, d, dtype))


@pytest.mark.only("numpy")
def test_residuals_that_agree(adverse):
    check(adverse, *with_residuals_that_agree(np.random.default_rng(0), 600))


@pytest.mark.only("numpy")
def test_residuals_of_centres_that_agree(adverse):
    check(adverse, *with_centres_whose_residuals_agree())


@pytest.mark.only("numpy")
def test_additions_that_err_as_much_as_they_can(adverse):
    check(adverse, *of_whole_numbers(np.random.default_rng(0), 300))


@pytest.mark.only("numpy")
def test_a_row_at_the_origin(adverse):
    """Its best score is 0, whose lowest bits are no number that a GPU keeps."""
    centers = np.concatenate([-np.eye(8), np.zeros((1, 8)), np.eye(8)])
    x = np.zeros((3, 8), np.float32)
    np.testing.assert_array_equal(found_labels(adverse, "l2", x, centers), [8] * 3)


@WIDTHS
def test_most_rows_are_decided(gpu, d):
    """And rightly: rows about 20 centres, and rows without structure."""
    rng = np.random.default_rng(4)
    centers = 3 * rng.standard_normal((20, d))
    blobs = centers[rng.integers(0, 20, 300)] + rng.standard_normal((300, d))
    uniform = rng.random((300, d))
    for x, means, most in ((blobs, centers, (0.03, 0.004)), (uniform, uniform[:40], (0.08, 0.01))):
        x = x.astype(np.float32)
        first, second = left_open(gpu, x, means)
        assert first < most[0]
        assert second < most[1]
        np.testing.assert_array_equal(
            found_labels(gpu, "l2", x, means), labels_in_order(x, means, "l2")
        )


@pytest.mark.slow
@pytest.mark.parametrize("d", [40])
def test_few_blocks_take_many_rows(gpu, monkeypatch, d):
    """One block ranks rows again and again: where memory is short, and where many stay open."""
    monkeypatch.setattr(tensor, "BLOCKS", 1)
    x, centers = near_bisectors(np.random.default_rng(d), 700, d, "float32")
    np.testing.assert_array_equal(
        found_labels(gpu, "l2", x, centers, 1), labels_in_order(x, centers, "l2")
    )
    assert left_open(gpu, x, centers)[0] > 0.2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("budget", [1, 5000, 1 << 20])
@pytest.mark.parametrize("d", [9, 40])
def test_labels_without_tensor_cores(gpu, monkeypatch, dtype, budget, d):
    monkeypatch.setattr(tensor, "_has_tensor_cores", lambda x: False)
    x = some(100, d, dtype)
    centers = x[:12] + np.random.default_rng(0).standard_normal((12, d))
    np.testing.assert_array_equal(
        found_labels(gpu, "l2", x, centers, budget), labels_in_order(x, centers, "l2")
    )


def test_the_same_bits_twice(gpu):
    x = some(300, 40, "float32")
    found = [found_labels(gpu, "l2", x, x[:30].astype(np.float64)) for _ in range(2)]
    np.testing.assert_array_equal(*found)


def test_what_tensor_cores_serve(gpu):
    there = [gpu.asarray(np.zeros((2, d), np.float32)) for d in (7, 8, 2048, 2049)]
    assert [tensor.serves(x) for x in there] == [False, True, True, False]
