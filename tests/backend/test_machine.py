"""What may be used of the machine: CPUs and memory, with cgroups of both versions."""

import os
import sys

import pytest

from kmgpu.backend import blocks, machine

GB = 1 << 30


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """``pretend({path: text})``: files of /proc and of /sys/fs/cgroup, and no others."""
    for name, folder in (("PROC", "proc"), ("CGROUPS", "cgroup")):
        monkeypatch.setattr(machine, name, tmp_path / folder)

    def write(files):
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        forget()

    def forget():
        machine._folders.cache_clear()
        machine.cpu_quota.cache_clear()

    forget()
    yield write
    forget()


CPUS = [
    # v2: in a container, and deep below it; the outer quota is the tighter one
    ({"proc/self/cgroup": "0::/\n", "cgroup/cpu.max": "150000 100000\n"}, 2),
    (
        {
            "proc/self/cgroup": "0::/a/b\n",
            "cgroup/a/b/cpu.max": "max 100000\n",
            "cgroup/a/cpu.max": "100000 100000\n",
        },
        1,
    ),
    ({"proc/self/cgroup": "0::/a\n", "cgroup/a/cpu.max": "max 100000\n"}, sys.maxsize),
    # v1: the path is the host's, the container shows its own group as the root
    (
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/docker/1f\n1:name=systemd:/\n",
            "cgroup/cpu/cpu.cfs_quota_us": "50000\n",
            "cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        1,
    ),
    (
        {
            "proc/self/cgroup": "4:cpu:/\n",
            "cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        sys.maxsize,
    ),
    ({}, sys.maxsize),
]


@pytest.mark.parametrize(("files", "quota"), CPUS)
def test_quotas_of_cpus(pretend, files, quota):
    pretend(files)
    assert machine.cpu_quota() == quota
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert machine.usable_cpus() == min(quota, here)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_the_affinity_counts_whenever_it_is_set(pretend):
    pretend({})
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.usable_cpus() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert machine.usable_cpus() == len(before)


MEMINFO = f"MemTotal: {16 << 20} kB\nMemFree: 1 kB\nMemAvailable: {8 << 20} kB\n"
MEMORY = [
    ({"proc/meminfo": MEMINFO}, 8 * GB),
    # v2, an outer limit; page cache that nobody has touched of late is free
    (
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/a/b\n",
            "cgroup/a/b/memory.max": "max\n",
            "cgroup/a/b/memory.current": "5\n",
            "cgroup/a/memory.max": f"{4 * GB}\n",
            "cgroup/a/memory.current": f"{3 * GB}\n",
            "cgroup/a/memory.stat": f"anon 7\ninactive_file {GB}\nactive_file 9\n",
        },
        2 * GB,
    ),
    (
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "4:memory:/docker/1f\n",
            "cgroup/memory/memory.limit_in_bytes": f"{4 * GB}\n",
            "cgroup/memory/memory.usage_in_bytes": f"{3 * GB}\n",
            "cgroup/memory/memory.stat": f"inactive_file 5\ntotal_inactive_file {GB // 2}\n",
        },
        3 * GB // 2,
    ),
    (
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "4:memory:/\n",
            "cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "cgroup/memory/memory.usage_in_bytes": f"{3 * GB}\n",
        },
        8 * GB,
    ),
    # over its limit
    (
        {
            "proc/self/cgroup": "0::/\n",
            "cgroup/memory.max": "5\n",
            "cgroup/memory.current": "9\n",
        },
        0,
    ),
    ({}, sys.maxsize),
]


@pytest.mark.parametrize(("files", "free"), MEMORY)
def test_free_memory(pretend, files, free):
    pretend(files)
    assert machine.free_memory() == free


def test_what_ulimit_leaves_counts(pretend, monkeypatch):
    resource = pytest.importorskip("resource")
    pretend({"proc/self/statm": "1000 5 5 5\n"})
    limit = 3000 * resource.getpagesize()
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limit, limit))
    assert machine.free_memory() == 2000 * resource.getpagesize()


def test_here_something_is_free():
    assert 1 << 20 < machine.free_memory() <= sys.maxsize


@pytest.mark.parametrize(
    ("n_bytes", "budget", "free", "kept"),
    [
        (5 * GB, 17, 0, 17),
        (5 * GB, None, 100 * GB, 5 * GB),
        (1000, None, 100 * GB, 256 << 20),
        (5 * GB, None, 8 * GB, 4 * GB),
        (1000, None, 200 << 20, 100 << 20),
        (1000, None, 0, 0),
    ],
)
def test_kept_bytes(monkeypatch, n_bytes, budget, free, kept):
    monkeypatch.setattr(blocks, "free_memory", lambda: free)
    assert blocks.kept_bytes(n_bytes, budget) == kept
