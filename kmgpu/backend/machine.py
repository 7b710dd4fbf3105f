"""What this process may use of the machine: CPUs and memory, the limits of its cgroups counted."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from math import ceil
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
NO_LIMIT = 1 << 60  # v1 writes its largest number of whole pages


def usable_cpus() -> int:
    """Return the number of CPUs this process may run on: affinity and quotas of cgroups (v1, v2).

    A quota of 1.5 CPUs counts as 2.
    """
    affine = hasattr(os, "sched_getaffinity")
    cpus = len(os.sched_getaffinity(0)) if affine else os.cpu_count() or 1
    return max(1, min(cpus, cpu_quota()))


def free_memory() -> int:
    """Return the bytes that this process can still take; `sys.maxsize` where nothing tells.

    That is the least of what the machine has available, what each cgroup (v1, v2) of the process
    leaves, page cache that can be dropped counted as free, and what ``ulimit -v`` leaves.
    """
    return max(0, min([sys.maxsize, *_available(), *_left_by_cgroups(), *_left_by_ulimit()]))


def _available() -> Iterator[int]:
    """What Linux says is available (bytes)."""
    for line in _text(PROC / "meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _left_by_cgroups() -> Iterator[int]:
    for folder in _folders("memory", ""):
        limit = _number(folder / "memory.max")
        limit = _number(folder / "memory.limit_in_bytes") if limit is None else limit
        if limit is None or limit >= NO_LIMIT:
            continue
        used = _number(folder / "memory.current")
        used = _number(folder / "memory.usage_in_bytes") if used is None else used
        if used is None:
            continue
        cached = 0
        for line in _text(folder / "memory.stat").splitlines():
            name, _, value = line.partition(" ")
            # v1 counts the groups below under "total_"; v2 always does
            if name == "total_inactive_file" or (name == "inactive_file" and not cached):
                cached = int(value)
        yield limit - max(0, used - cached)


def _left_by_ulimit() -> Iterator[int]:
    try:
        from resource import RLIM_INFINITY, RLIMIT_AS, getpagesize, getrlimit
    except ImportError:  # Windows
        return
    limit, pages = getrlimit(RLIMIT_AS)[0], _text(PROC / "self/statm").split()
    if limit != RLIM_INFINITY and pages:
        yield limit - int(pages[0]) * getpagesize()


@cache  # reading takes longer than a small `predict`
def cpu_quota() -> int:
    """Return how many CPUs the cgroups of this process leave it; `sys.maxsize` without a quota."""
    quotas = []
    for folder in _folders("cpu", ""):
        words = _text(folder / "cpu.max").split()  # v2: quota and period
        if not words:
            words = [_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
        try:
            quota, period = map(int, words)
        except ValueError:  # "max", or no such files
            continue
        if quota > 0 and period > 0:  # v1 writes -1 for none
            quotas.append(ceil(quota / period))
    return min(quotas, default=sys.maxsize)


@cache
def _folders(*controllers: str) -> list[Path]:
    """The folders of this process's cgroups of some controllers ("": v2), the outer ones too.

    Where a container shows its own cgroup as the root, the deeper paths do not exist.
    """
    found = []
    for line in _text(PROC / "self/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        for name in set(names.split(",")) & set(controllers):
            inner = Path(path.lstrip("/"))
            found += [CGROUPS / name / folder for folder in [inner, *inner.parents]]
    return [folder for folder in found if folder.is_dir()]


def _number(path: Path) -> int | None:
    """The integer that a file holds; None without one, "max" (no limit) among them."""
    try:
        return int(_text(path))
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
