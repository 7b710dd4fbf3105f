"""What tensor cores do with fragments and sums, which no manual says in full; on a GPU alone.

The instruction is written out here, so that nothing of kmgpu's is needed to believe it.
"""

import numpy as np
import pytest

# the unit that kmgpu charges for each addition
UNIT = 2.0**-22
PROBE = """
extern "C" __global__ void product(const unsigned* a, const unsigned* b, float* c) {
  const int lane = threadIdx.x, g = lane / 4, q = lane % 4;
  unsigned f[4], e[2];
  for (int i = 0; i < 4; ++i) f[i] = a[(g + i % 2 * 8) * 8 + q + i / 2 * 4];
  for (int i = 0; i < 2; ++i) e[i] = b[g * 8 + q + i * 4];
  float s[4];
  for (int i = 0; i < 4; ++i) s[i] = c[(g + i / 2 * 8) * 8 + 2 * q + i % 2];
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
               "{%8,%9}, {%0,%1,%2,%3};"
               : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3])
               : "r"(f[0]), "r"(f[1]), "r"(f[2]), "r"(f[3]), "r"(e[0]), "r"(e[1]));
#else
  for (int h = 0; h < 2; ++h)
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3])
                 : "r"(f[2 * h]), "r"(f[2 * h + 1]), "r"(e[h]));
#endif
  for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 8 + 2 * q + i % 2] = s[i];
}
"""


@pytest.fixture
def product(hardware):
    """``product(a, b, c)``: c + a b', for halves (16, 16) and (8, 16), and float32 (16, 8)."""
    if int(hardware.cuda.Device().compute_capability) < 75:
        pytest.skip("before Turing there is no such instruction")
    kernel = hardware.RawModule(code=PROBE, options=("-std=c++17",)).get_function("product")

    def call(a, b, c):
        out = hardware.asarray(c.astype(np.float32))
        words = (hardware.asarray(m.astype(np.float16).view(np.uint32)) for m in (a, b))
        kernel((1,), (32,), (*words, out))
        return out.get().astype(np.float64)

    return call


def test_fragments_lie_as_the_manual_says(product):
    rng = np.random.default_rng(0)
    a, b, c = (rng.integers(-8, 9, shape) for shape in ((16, 16), (8, 16), (16, 8)))
    np.testing.assert_array_equal(product(a, b, c), a @ b.T + c)


@pytest.mark.parametrize("spread", [0, 4, 10])
def test_sums_err_by_no_more_than_is_charged(product, spread):
    """Terms of many magnitudes and signs, that cancel: each of 16 additions within its unit."""
    rng = np.random.default_rng(1)
    worst = 0.0
    for _ in range(200):
        a, b = (
            (rng.standard_normal(shape) * 2.0 ** rng.integers(-spread, 1, shape)).astype(np.float16)
            for shape in ((16, 16), (8, 16))
        )
        terms = a[:, None, :].astype(np.float64) * b[None, :, :].astype(np.float64)
        c = (-terms.sum(axis=2) * rng.choice([0, 1], (16, 8))).astype(np.float32)
        size = np.abs(terms).sum(axis=2) + np.abs(c)
        worst = max(worst, (np.abs(product(a, b, c) - (terms.sum(axis=2) + c)) / size).max())
    print(f"\nworst error of a sum: {worst / UNIT:.3g} units of 2^-22 of its terms")
    assert worst <= 16 * UNIT


def test_products_that_halves_do_not_hold_are_not_lost(product):
    """Subnormal halves are read, products beyond binary16 kept, and NaN and infinity passed on."""
    least, most = 2.0**-24, 65504.0
    a, b = np.zeros((16, 16)), np.zeros((8, 16))
    a[0, 0], a[1, 0], a[2, 0], a[3, 0] = least, most, np.inf, np.nan
    b[:, 0] = [1, least, most, -1, 0.5, 2, 3, 4]
    found = product(a, b, np.zeros((16, 8)))
    np.testing.assert_array_equal(found[0], least * b[:, 0])
    np.testing.assert_array_equal(found[1], most * b[:, 0])
    np.testing.assert_array_equal(found[2], np.inf * b[:, 0])
    assert np.isnan(found[3]).all()
