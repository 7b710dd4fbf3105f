"""The compiler check: the sample kernel for every architecture, spills, errors, occupancy."""

from types import SimpleNamespace

import pytest

from tests.gpuless import nvrtc
from tests.gpuless.kernel_build import ROOM, Unavailable
from tests.gpuless.samples import L1_NAMES
from tests.hardware.test_tensor_cores import PROBE


@pytest.fixture(autouse=True, scope="module")
def _library():
    try:
        nvrtc.nvrtc_library()
    except Unavailable as error:
        pytest.skip(str(error))


def source(file, *names, options=()):
    threads = (256,) * len(names)
    return SimpleNamespace(file=file, name_expressions=names, options=options, threads=threads)


def test_the_sample_kernel_on_every_architecture():
    sample = source("sample_l1_assign.cu", *L1_NAMES.values())
    rows, wrong = nvrtc.check(ROOM, [sample], list(nvrtc.ARCHS))
    assert not wrong
    assert {(row.kernel, row.arch) for row in rows} == {
        (name, arch) for name in L1_NAMES.values() for arch in nvrtc.ARCHS
    }
    for row in rows:
        assert 32 <= row.registers <= 128
        assert row.shared == 2 * 16 * 65 * (8 if "double" in row.kernel else 4)
        assert row.spills == 0
        assert 0.2 < row.occupancy <= 1
    lines = list(nvrtc.table(rows))
    assert lines[0].split()[-2:] == ["spills", "occupancy"]
    assert len(lines) == 1 + len(rows)


def test_a_spill_and_an_error_are_found(tmp_path):
    spilling = """template <int N> __global__ void __launch_bounds__(1024, 2) many(float* p) {
      float a[N];
      for (int i = 0; i < N; ++i) a[i] = p[i * 32 + threadIdx.x];
      __syncthreads();
      for (int j = 0; j < N; ++j)
        for (int i = 0; i < N; ++i) p[(j + i) * 32] = a[i] * a[j] + p[i];
    }"""
    (tmp_path / "spilling.cu").write_text(spilling)
    (tmp_path / "wrong.cu").write_text("template <int N> __global__ void f(int* p) { *p = gone; }")
    sources = source("spilling.cu", "many<64>"), source("wrong.cu", "f<1>")
    rows, wrong = nvrtc.check(tmp_path, sources, ["sm_75"])
    assert rows[0].spills > 0
    assert len(wrong) == 2
    assert "wrong.cu does not compile for sm_75" in wrong[0]
    assert '"gone" is undefined' in wrong[0]
    assert wrong[1] == "many<64> spills on sm_75"


@pytest.mark.parametrize(
    ("arch", "threads", "registers", "shared", "blocks", "warps"),
    [
        ("sm_80", 256, 32, 0, 8, 64),  # full
        ("sm_80", 256, 128, 0, 2, 64),  # 4 warps of 128 registers fit a quarter
        ("sm_80", 256, 65, 0, 3, 64),  # 65 registers cost as much as 72: 7 warps fit a quarter
        ("sm_75", 256, 32, 33 << 10, 1, 32),  # of 64 KiB
        ("sm_90", 64, 32, 48 << 10, 4, 64),  # 228 KiB, and 1 KiB more for each block
        ("sm_86", 32, 16, 0, 16, 48),  # no more than 16 blocks
    ],
)
def test_occupancy(arch, threads, registers, shared, blocks, warps):
    row = nvrtc.Compiled("f", arch, threads, registers, shared, 0, 0)
    assert row.occupancy == blocks * (threads // 32) / warps


def test_the_probe_of_tensor_cores_compiles(tmp_path):
    """It runs on hardware alone, so that nothing else here reads it."""
    (tmp_path / "probe.cu").write_text(PROBE.replace('extern "C" ', "template <int>\n"))
    rows, wrong = nvrtc.check(tmp_path, [source("probe.cu", "product<0>")], list(nvrtc.ARCHS))
    assert not wrong
    assert len(rows) == len(nvrtc.ARCHS)
