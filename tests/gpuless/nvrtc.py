"""Compiles the library's CUDA kernels with NVRTC for real architectures; needs no GPU, no driver.

    python -m tests.gpuless.nvrtc                # every kernel in kmgpu.kernels.cuda.SOURCES
    python -m tests.gpuless.nvrtc --arch sm_90

prints, for each kernel and architecture, registers and shared memory, spills, and the theoretical
occupancy, and fails if a kernel does not compile or spills. How a kernel is registered: README.md.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NamedTuple

from tests.gpuless.kernel_build import Unavailable

REGISTRY = "kmgpu.kernels.cuda"
# what CuPy passes for a RawModule, and the assembler's report
OPTIONS = ("-std=c++17", "-ftz=true", "--device-as-default-execution-space", "--ptxas-options=-v")


class Arch(NamedTuple):
    """What a multiprocessor holds; NVIDIA's CUDA programming guide, "Compute Capabilities"."""

    warps: int
    blocks: int
    shared: int  # KiB
    reserved: int  # bytes of shared memory that each block costs besides its own
    unit: int  # bytes; shared memory is given out in multiples of it


ARCHS = {
    "sm_75": Arch(32, 16, 64, 0, 256),
    "sm_80": Arch(64, 32, 164, 1024, 128),
    "sm_86": Arch(48, 16, 100, 1024, 128),
    "sm_89": Arch(48, 24, 100, 1024, 128),
    "sm_90": Arch(64, 32, 228, 1024, 128),
    "sm_100": Arch(64, 32, 228, 1024, 128),
    "sm_120": Arch(48, 24, 100, 1024, 128),
}


class Compiled(NamedTuple):
    """What the assembler says of one kernel on one architecture; memory in bytes."""

    kernel: str
    arch: str
    threads: int
    registers: int
    shared: int
    stack: int
    spills: int

    @property
    def occupancy(self) -> float:
        """Resident warps as a share of the most that a multiprocessor holds."""
        arch = ARCHS[self.arch]
        warps = -(-self.threads // 32)
        # each of the 4 quarters of a multiprocessor has 16384 registers, given out by 256 a warp
        in_a_quarter = 16384 // (-(-max(1, self.registers * 32) // 256) * 256)
        shared = -(-(self.shared + arch.reserved) // arch.unit) * arch.unit
        limits = [arch.blocks, arch.warps // warps, 4 * in_a_quarter // warps]
        if shared:
            limits.append(arch.shared * 1024 // shared)
        return min(limits) * warps / arch.warps


def nvrtc_library() -> Any:
    """The bindings; raises Unavailable if NVRTC cannot be loaded."""
    try:
        import nvidia
        from cuda.bindings import nvrtc

        # the bindings look for it in the site-packages folders only, not all along sys.path
        for folder in map(Path, nvidia.__path__):
            for path in folder.glob("cu*/lib/libnvrtc.so.*"):
                ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)
        nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError) as error:
        msg = f"NVRTC cannot be loaded ({error}); pip install cuda-bindings nvidia-cuda-nvrtc"
        raise Unavailable(msg) from error
    return nvrtc


def call(function: Any, *args: Any) -> Any:
    """Call a function of NVRTC; its values without the status, which must be success."""
    status, *values = function(*args)
    if status.value:
        msg = f"{function.__name__}: {status.name}"
        raise RuntimeError(msg)
    return values[0] if len(values) == 1 else values


def compile_for(
    arch: str, code: str, names: Sequence[str], threads: Sequence[int], options: Sequence[str]
) -> list[Compiled]:
    """Compile `names` (name expressions) of `code`; raises SyntaxError with NVRTC's messages."""
    nvrtc = nvrtc_library()
    program = call(nvrtc.nvrtcCreateProgram, code.encode(), b"kernel.cu", 0, [], [])
    for name in names:
        call(nvrtc.nvrtcAddNameExpression, program, name.encode())
    flags = [flag.encode() for flag in (*OPTIONS, *options, f"-arch={arch}")]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(flags), flags)
    log = b" " * call(nvrtc.nvrtcGetProgramLogSize, program)
    call(nvrtc.nvrtcGetProgramLog, program, log)
    text = log.decode().rstrip("\0 \n")
    if status.value:
        raise SyntaxError(text or status.name)
    symbols = [call(nvrtc.nvrtcGetLoweredName, program, name.encode()).decode() for name in names]
    numbers = dict(report(text))
    return [
        Compiled(name, arch, size, *numbers[symbol])
        for name, symbol, size in zip(names, symbols, threads, strict=True)
    ]


def report(log: str) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """(symbol, (registers, shared, stack, spills)) of each kernel in the assembler's report."""
    for part in re.split(r"Compiling entry function '", log)[1:]:
        patterns = r"Used (\d+) registers", r"(\d+) bytes smem", r"(\d+) bytes stack frame"
        found = [sum(map(int, re.findall(pattern, part))) for pattern in patterns]
        spilled = sum(map(int, re.findall(r"(\d+) bytes spill (?:stores|loads)", part)))
        yield part.split("'")[0], (found[0], found[1], found[2], spilled)


def table(rows: Iterable[Compiled]) -> Iterator[str]:
    """Lines of text."""
    cells = [("kernel", "arch", "threads", "registers", "shared", "stack", "spills", "occupancy")]
    cells += [(*map(str, row), f"{row.occupancy:.0%}") for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        aligned = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
        aligned += [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        yield "  ".join(aligned)


def check(
    folder: Traversable, sources: Iterable[Any], archs: Sequence[str]
) -> tuple[list[Compiled], list[str]]:
    """Compile every source, a file in `folder`, for `archs`; the rows, and what is wrong."""
    rows: list[Compiled] = []
    wrong: list[str] = []
    for source in sources:
        code = (folder / source.file).read_text(encoding="utf-8")
        for arch in archs:
            try:
                rows += compile_for(
                    arch, code, source.name_expressions, source.threads, source.options
                )
            except SyntaxError as error:
                wrong.append(f"{source.file} does not compile for {arch}:\n{error.msg}")
    wrong += [f"{row.kernel} spills on {row.arch}" for row in rows if row.spills]
    return rows, wrong


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", nargs="+", choices=ARCHS, default=list(ARCHS))
    args = parser.parse_args(argv)
    try:
        version = call(nvrtc_library().nvrtcVersion)
    except Unavailable as error:
        sys.exit(str(error))
    registry = importlib.import_module(REGISTRY)
    rows, wrong = check(files(registry), registry.SOURCES, args.arch)
    print(*table(rows), sep="\n")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print("NVRTC {}.{}: {}".format(*version, f"{len(wrong)} failed" if wrong else "ok"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
