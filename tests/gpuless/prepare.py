"""Makes, once, what the real CuPy needs to run on a CPU; it is kept in the cache folder.

    wheel-VERSION-TAG/   CuPy's wheel for ROCm, unpacked, without its precompiled thrust
    runtime-KEY/         lib/ (pretend ROCm libraries), bin/hipcc, python/ (the stand-in for thrust)
    kernels-KEY/         kernels, built as they are used

The wheel is never installed; processes may share the cache, as a folder appears whole or not at
all.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.gpuless.kernel_build import COMPILER, ROOM, Unavailable, compiler_version, digest

SOURCES = ROOM / "runtime"
WHEEL, VERSION = "cupy-rocm-7-0", "14.2.0"
TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"
# The libraries that the wheel loads: prefix of their symbols, file name, source, and what the
# functions that the source lacks return ("not supported" in each library's own numbers).
LIBRARIES = [
    ("hipblas", "libhipblas.so.3", "hipblas.cpp", 7),
    ("hiprand", "libhiprand.so.1", None, 1000),
    ("hiprtc", "libhiprtc.so.7", "hiprtc.cpp", 1),
    ("hipsparse", "libhipsparse.so.4", None, 10),
    ("hipfft", "libhipfft.so.0", None, 14),
    ("rocsolver", "librocsolver.so.0", None, 2),
    ("rocblas", "librocblas.so.5", None, 2),
    ("rocfft", "librocfft.so.0", None, 2),
    ("roctracer", "libroctracer64.so.4", None, 0),
    ("roctx", "libroctx64.so.4", None, 0),
    ("", "libamdhip64.so.7", "hip.cpp", 801),
]
HIPCC = """#!/bin/sh
# CuPy asks hipcc where its headers are; there are none.
printf '#include <...> search starts here:\\n\\nEnd of search list.\\n' >&2
"""


def prepare(cache: Path) -> tuple[Path, Path]:
    """The folders of the wheel and of the runtime, made if they are not there yet.

    Raises
    ------
    Unavailable
        When the machine, the compiler or the wheel is not there; the message says what to do.
    """
    check_machine()
    wheel = cache / f"wheel-{VERSION}-{TAG}"
    once(wheel, unpack_wheel)
    texts = [path.read_text(encoding="utf-8") for path in sorted(SOURCES.iterdir())]
    texts.append(Path(__file__).read_text(encoding="utf-8"))
    runtime = cache / f"runtime-{digest(TAG, compiler_version(), *texts)}"
    once(runtime, lambda folder: build_runtime(folder, wheel))
    return wheel, runtime


def check_machine() -> None:
    """Raise Unavailable unless the wheel can work on this machine with this Python."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        msg = f"the wheel of {WHEEL} is for Linux on x86_64; this is {platform.platform()}"
        raise Unavailable(msg)
    compiler_version()
    if not shutil.which("nm"):
        msg = "nm is not on PATH; apt-get install binutils"
        raise Unavailable(msg)
    if int(np.__version__.split(".")[0]) < 2:
        msg = f"CuPy {VERSION} needs numpy>=2.0, not {np.__version__}"
        raise Unavailable(msg)


def once(folder: Path, fill: Callable[[Path], None]) -> None:
    """Fill `folder` unless it is there; a reader never sees half of it."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix="making-"))
    try:
        fill(temporary)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another process was faster
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def run(command: Sequence[str | Path], purpose: str) -> str:
    """What a command prints; raises Unavailable with its messages if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"{purpose} failed:\n{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
        raise Unavailable(msg.rstrip())
    return done.stdout


def pip() -> list[str]:
    """The command of this Python's pip, else of the first on PATH."""
    own = [sys.executable, "-m", "pip"]
    if subprocess.run([*own, "--version"], capture_output=True, check=False).returncode == 0:
        return own
    found = shutil.which("pip") or shutil.which("pip3")
    if not found:
        msg = f"pip is needed, once, to fetch {WHEEL}; {sys.executable} -m ensurepip"
        raise Unavailable(msg)
    return [found]


def unpack_wheel(folder: Path) -> None:
    """Fetch the wheel with pip and unpack it, with NumPy's sorts in place of thrust's."""
    print(f"fetching {WHEEL} {VERSION} for {TAG} (75 MB, once)", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=folder.parent) as download:
        flags = ["--quiet", "--no-deps", "--only-binary=:all:", "--implementation=cp"]
        flags += [f"--abi={TAG}", f"--python-version={TAG[2:]}"]
        flags += ["--platform=manylinux2014_x86_64", "--dest", download]
        purpose = (
            f"fetching {WHEEL} {VERSION} for Python {platform.python_version()} "
            "(without an index: put the wheel into a folder and set PIP_FIND_LINKS to it)"
        )
        run([*pip(), "download", *flags, f"{WHEEL}=={VERSION}"], purpose)
        (wheel,) = Path(download).iterdir()
        with zipfile.ZipFile(wheel) as archive:
            # without its metadata it cannot clash with a CuPy that is installed
            names = [name for name in archive.namelist() if ".dist-info/" not in name]
            archive.extractall(folder, names)
    cuda = folder / "cupy" / "cuda"
    for compiled in cuda.glob("thrust.*.so"):
        compiled.unlink()
    text = "from gpuless_thrust import *  # noqa: F403\n"
    (cuda / "thrust.py").write_text(text, encoding="utf-8")


def needed_symbols(wheel: Path) -> dict[str, str]:
    """``{symbol: version or ''}`` of what the wheel's modules take from ROCm's libraries."""
    listing = run(["nm", "-D", "--undefined-only", *sorted(wheel.rglob("*.so"))], "reading CuPy")
    return dict(re.findall(r"\s[Uw] (_*(?:hip|roc)\w*)(?:@+(\S+))?", listing))


def build_runtime(folder: Path, wheel: Path) -> None:
    """Fill the runtime's folder."""
    for name in ("lib", "bin", "python"):
        (folder / name).mkdir()
    symbols = needed_symbols(wheel)
    jobs = []
    for prefix, *rest in LIBRARIES:
        own = {name: symbols.pop(name) for name in sorted(symbols) if name.startswith(prefix)}
        jobs.insert(0, (own, *rest))  # libamdhip64 comes first: the others call it
    for job in jobs:
        with tempfile.TemporaryDirectory() as scratch:
            build_library(folder / "lib", Path(scratch), *job)
    hipcc = folder / "bin" / "hipcc"
    hipcc.write_text(HIPCC, encoding="utf-8")
    hipcc.chmod(0o755)
    shutil.copy(SOURCES / "gpuless_thrust.py", folder / "python")


def missing(symbol: str, status: int) -> str:
    """The text of a function that only says that it is missing."""
    note = 'std::fprintf(stderr, "gpuless: %s is not emulated\\n", __func__);' if status else ""
    return f"int {symbol}(...) {{ {note} return {status}; }}\n"


def build_library(
    folder: Path,
    scratch: Path,
    symbols: dict[str, str],
    soname: str,
    source: str | None,
    status: int,
) -> None:
    """`source` and, for the symbols that it lacks, functions that return `status`."""
    compiler: list[str | Path] = [COMPILER, "-std=c++17", "-O3", "-fPIC", "-w"]
    parts: list[str | Path] = []
    defined: set[str] = set()
    if source:
        built = scratch / "source.o"
        run([*compiler, "-c", SOURCES / source, "-o", built], f"building {source}")
        defined = set(run(["nm", "--defined-only", built], f"reading {soname}").split())
        parts.append(built)
    stubs = scratch / "missing.cpp"
    lines = "".join(missing(name, status) for name in symbols if name not in defined)
    stubs.write_text(f'#include <cstdio>\nextern "C" {{\n{lines}}}\n', encoding="utf-8")
    parts.append(stubs)
    runtime = folder / "libamdhip64.so.7"
    if runtime.exists():
        parts.append(runtime)
    versions: dict[str, list[str]] = {}
    for name, version in symbols.items():
        versions.setdefault(version, []).append(name)
    versions.pop("", None)
    if versions:
        script = scratch / "versions"
        lines = "".join(f"{v} {{ global: {'; '.join(s)}; }};\n" for v, s in versions.items())
        script.write_text(lines, encoding="utf-8")
        parts.append(f"-Wl,--version-script={script}")
    target = ["-o", folder / soname, f"-Wl,-soname,{soname}", "-ldl"]
    run([*compiler, "-shared", *parts, *target], f"building {soname}")
