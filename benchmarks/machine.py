"""What a benchmark ran on, and how much memory a process takes."""

from __future__ import annotations

import os
import platform
import resource
import sys
from contextlib import suppress
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = {
    "kmgpu": "kmgpu",
    "numpy": "numpy",
    "numba": "numba",
    "scipy": "scipy",
    "scikit-learn": "scikit-learn",
    "sklearnex": "scikit-learn-intelex",
    "faiss": "faiss-cpu",
    "superkmeans": "superkmeans",
    "fastkmeans": "fastkmeans",
}
STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
# ru_maxrss is in kilobytes, on macOS in bytes
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def describe() -> dict[str, str]:
    """Processor, cores, date and the versions of what is installed."""
    found = {
        "processor": _processor(),
        "cores": str(n_cores()),
        "load": f"{load():.2f} a core",
        "date": date.today().isoformat(),
        "python": platform.python_version(),
    }
    for name, package in PACKAGES.items():
        try:
            found[name] = version(package)
        except PackageNotFoundError:
            continue
    return found


def load() -> float:
    """Processes that wanted a core over the last minute, per core; 0 where that is unknown."""
    return os.getloadavg()[0] / n_cores() if hasattr(os, "getloadavg") else 0.0


def n_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def resident_bytes() -> int:
    """Memory this process holds now; the most it ever held where the system does not say."""
    return _status("VmRSS") or peak_bytes()


def peak_bytes() -> int:
    """The most this process held since `forget_peak`, or since its start."""
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT


def forget_peak() -> None:
    """Reset the peak to what is held now, where the system allows it."""
    with suppress(OSError):
        CLEAR_REFS.write_text("5")


def _status(field: str) -> int:
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return 0
