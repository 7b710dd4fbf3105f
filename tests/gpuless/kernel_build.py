"""Turns CUDA C++ kernel text into a shared object that runs on the CPU.

include/cuda_on_host.h gives the words of CUDA a meaning in C++; here each kernel gets an entry
point. What was built is kept under a key of everything that goes into it.

Nothing but the standard library is imported, as this file is also a program:
``python kernel_build.py FOLDER`` does one build for the pretend hipRTC (runtime/hiprtc.cpp).
FOLDER holds ``source``, ``names`` and ``options`` and receives ``object`` (the name of what was
built) or ``log``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

ROOM = Path(__file__).resolve().parent
INCLUDE = ROOM / "include"
COMPILER = os.environ.get("GPULESS_CXX", "g++")
FLAGS = ("-O1", "-shared", "-fPIC", "-w", "-ffp-contract=off", "-fno-gnu-unique", "-mf16c")
EXTERN_SHARED = re.compile(r"extern\s+__shared__\s+([^;\[\]]+?)\s*\b(\w+)\s*\[\s*\]\s*;")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
ON_HOST, OF_CUPY = '#include "cuda_on_host.h"', '#include "cupy_prelude.h"'
BOUNDS = r"(?:__launch_bounds__\s*\([^)]*\)\s+)?"
KERNEL = rf"__global__\s+{BOUNDS}void\s+{BOUNDS}(\w+)\s*\("
ENTRY = """\
extern "C" const char* coh_run_{symbol}(const unsigned* grid, const unsigned* block,
    size_t shared, void** args) {{
  return coh::launch(&{kernel}, grid, block, shared, args);
}}
extern "C" const char* coh_signature_{symbol}() {{ return coh::signature(&{kernel}); }}
"""


class KernelError(RuntimeError):
    """The kernel text does not compile; the message is the compiler's."""


class Unavailable(RuntimeError):
    """Something that this room needs cannot be had here; the message says what to do."""


def cache_folder() -> Path:
    """Where everything built is kept: $GPULESS_CACHE, else gpuless in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(os.environ.get("GPULESS_CACHE") or Path(base) / "gpuless").absolute()


def digest(*parts: str) -> str:
    """A short key of some texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def compiler_version() -> str:
    """The first line that the compiler says of itself; raises Unavailable if there is none."""
    if not shutil.which(COMPILER):
        msg = f"{COMPILER} is not on PATH; apt-get install g++, or name one in GPULESS_CXX"
        raise Unavailable(msg)
    return subprocess.check_output([COMPILER, "--version"], text=True).splitlines()[0]


@cache
def toolchain() -> str:
    """A key of the compiler and of the headers that every kernel includes."""
    sources = [Path(__file__), *sorted(path for path in INCLUDE.rglob("*") if path.is_file())]
    return digest(compiler_version(), *(path.read_text(encoding="utf-8") for path in sources))


def kernel_folder() -> Path:
    """Where built kernels lie; a prepared process hands it down, so it is worked out once."""
    folder = os.environ.get("GPULESS_OBJECTS")
    return Path(folder) if folder else cache_folder() / f"kernels-{toolchain()}"


def exported(code: str) -> list[str]:
    """The kernels that a driver would find by their plain name: those with C linkage."""
    code = COMMENT.sub(" ", code)
    if re.search(r'extern\s+"C"\s*\{', code):
        return re.findall(r"(?<!>)\s" + KERNEL, " " + code)
    return re.findall(r'extern\s+"C"\s+' + KERNEL, code)


def translate(code: str, symbols: dict[str, str]) -> str:
    """The C++ text for `code`, with an entry point for each kernel of ``{kernel: symbol}``."""
    prelude = OF_CUPY if "#include <cupy/" in code else ON_HOST
    size = r"[coh::max_dynamic_shared / sizeof(\1)]"
    code = EXTERN_SHARED.sub(rf"\1 (&\2){size} = *(\1 (*){size})coh::dynamic_shared;", code)
    entries = "".join(ENTRY.format(kernel=k, symbol=symbol) for k, symbol in symbols.items())
    return f"{prelude}\n#line 1\n{code}\n{entries}"


def place(path: Path, write: Callable[[Path], object]) -> None:
    """Fill `path` by way of a temporary file: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise


def build(
    code: str,
    names: Sequence[str] = (),
    options: Sequence[str] = (),
    extra: Sequence[str] = (),
) -> tuple[Path, dict[str, str]]:
    """Build kernels; returns the shared object and ``{kernel: symbol}``.

    `names` are name expressions (without any: the kernels with C linkage). Of `options`
    (NVRTC's) -D, -I and -std count; `extra` goes to the C++ compiler as it is.
    """
    symbols = {name: f"name{i}" for i, name in enumerate(names)}
    symbols = symbols or {name: name for name in exported(code)}
    text = translate(code, symbols)
    kept = [o.replace("--std", "-std") for o in options if re.match("-D|-I|-?-std=", o)]
    standard = ["-std=c++20"] if "-DCOH_THREADS" in extra else []  # for std::barrier
    flags = [*FLAGS, "-std=c++17", *kept, *standard, *extra]
    path = kernel_folder() / f"k{digest(text, *flags, *_headers(kept))}.so"
    if not path.exists():
        source = path.with_suffix(".cpp")
        place(source, lambda temporary: temporary.write_text(text, encoding="utf-8"))
        place(path, lambda temporary: _compile(source, temporary, flags))
    return path, symbols


def _headers(options: Sequence[str]) -> Iterator[str]:
    """The .cuh files that the kernels may include: they belong to the key."""
    for folder in (Path(option[2:]) for option in options if option.startswith("-I")):
        for path in sorted(folder.glob("*.cuh")):
            yield path.read_text(encoding="utf-8")


def _compile(source: Path, target: Path, flags: Sequence[str]) -> None:
    compiler_version()
    text = source.read_text(encoding="utf-8")
    parsed = _parsed("cuda_on_host.h" if text.startswith(ON_HOST) else "cupy_prelude.h", flags)
    _run_compiler(*flags, f"-I{parsed}", f"-I{INCLUDE}", str(source), "-o", str(target))


def _parsed(header: str, flags: Sequence[str]) -> Path:
    """The folder of a header as g++ has parsed it: in most kernels, more work than the rest."""
    flags = [flag for flag in flags if flag != "-shared" and not re.match("-I|-D(?!COH_)", flag)]
    path = kernel_folder() / f"parsed-{digest(*flags)}" / f"{header}.gch"
    if not path.exists():
        command = *flags, "-x", "c++-header", f"-I{INCLUDE}", str(INCLUDE / header)
        place(path, lambda temporary: _run_compiler(*command, "-o", str(temporary)))
    return path.parent


def _run_compiler(*arguments: str) -> None:
    done = subprocess.run([COMPILER, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise KernelError(done.stderr)


def main(folder: Path) -> None:
    """Do one build for the pretend hipRTC."""

    def read(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    try:
        path, _ = build(read("source"), read("names").splitlines(), read("options").splitlines())
        (folder / "object").write_text(path.name, encoding="utf-8")
    except (KernelError, Unavailable) as error:
        (folder / "log").write_text(str(error), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
