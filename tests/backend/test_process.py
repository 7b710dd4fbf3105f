"""Fits at the edges of a process: its end, forks, no memory, ever new data. Each in a process."""

import os
import subprocess
import sys

import pytest

import kmgpu

pytestmark = pytest.mark.slow
NEEDS_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
HEAD = """
import os, sys, threading, time
import numpy as np
import kmgpu
from kmgpu import KMeans, KMedians, kernels

kmgpu.set_num_threads(3)
wide = np.random.default_rng(0).standard_normal((4000, 150), dtype=np.float32)
narrow = np.ascontiguousarray(wide[:, :3])

def fit(estimator=KMeans, x=wide, **options):
    model = estimator(6, random_state=0, max_iter=3, **options).fit(x)
    assert (model.predict(x) == model.labels_).all()
    return model.inertia_

def fits():
    found = [fit(), fit(KMedians, narrow)]
    with kernels.use("reference"):
        return [*found, fit(KMedians)]

def say(found):  # in one piece, as other processes write too
    print(f"{found}\\n", end="", flush=True)
"""


def run(code, request, limit="", **variables):
    """What the code prints, line by line; it must end well, in time, and say no more."""
    done = subprocess.run(
        ["sh", "-c", f'{limit} exec "$0" -c "$1"', sys.executable, HEAD + code],
        cwd=request.config.rootpath,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


def same(lines):
    assert len(set(lines)) == 1, lines


@pytest.mark.parametrize("first", ["print(fits())", ""], ids=["threads run", "no threads yet"])
def test_a_thread_that_outlives_main(request, first):
    lines = run(
        f"""
{first}
def later():
    threading.main_thread().join()
    time.sleep(0.1)
    print(fits())
threading.Thread(target=later).start()
""",
        request,
    )
    assert len(lines) == 1 + bool(first)
    same(lines)


@pytest.mark.parametrize("first", ["print(fits())", ""], ids=["threads run", "no threads yet"])
def test_atexit(request, first):
    lines = run(f"{first}\nimport atexit\natexit.register(lambda: print(fits()))", request)
    assert len(lines) == 1 + bool(first)
    same(lines)


def test_the_end_of_main_is_not_held_up_by_threads_that_fit(request):
    run("threading.Thread(target=fits, daemon=True).start(); time.sleep(0.2)", request)


@NEEDS_FORK
def test_after_fork_the_child_starts_its_own_threads(request):
    lines = run(
        """
from kmgpu.backend import threads
say(fits())
child = os.fork()
assert threads._pool._n_threads == (2 if child else 0)
say(fits())
assert threads._pool._n_threads == 2
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    grandchild = os.fork()
    say(fits())
    assert not grandchild or os.waitpid(grandchild, 0)[1] == 0
    os._exit(0)
""",
        request,
        PYTHONWARNINGS="ignore::DeprecationWarning",
    )
    assert len(lines) == 5
    same(lines)


@NEEDS_FORK
def test_a_fork_while_another_thread_fits(request):
    """Outside BLAS; inside it OpenBLAS itself waits for ever."""
    lines = run(
        """
say(fits())
at_work, go_on = threading.Event(), threading.Event()
from kmgpu.backend.threads import Workers
def slow(i):
    at_work.set()
    go_on.wait()
def work():
    Workers(3).map(slow, range(3))
thread = threading.Thread(target=work)
thread.start()
at_work.wait()
child = os.fork()
if not child:
    say(fits())
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
go_on.set()
thread.join()
""",
        request,
        PYTHONWARNINGS="ignore::DeprecationWarning",
    )
    same(lines)


def test_one_thread_is_one_thread(request):
    code = """
kmgpu.set_num_threads(None)
before = threading.active_count(), len(os.listdir("/proc/self/task"))
fits()
assert before == (threading.active_count(), len(os.listdir("/proc/self/task")))
"""
    if sys.platform != "linux":
        pytest.skip("counts threads in /proc")
    run(code, request, OMP_NUM_THREADS="1")


def test_joblibs_limit_reaches_its_workers(request):
    code = """
kmgpu.set_num_threads(None)
from joblib import Parallel, delayed, parallel_config
def most():
    import kmgpu
    return kmgpu.get_num_threads()
with parallel_config("loky", inner_max_num_threads=1):
    assert Parallel(n_jobs=2)(delayed(most)() for _ in range(3)) == [1, 1, 1]
"""
    run(code, request)


def test_where_no_thread_can_be_started(request):
    """A limit on processes does not hold for root: Python is told that there is one."""
    lines = run(
        """
print(fits())
import kmgpu.backend.threads as threads
def refuse(*_):
    raise RuntimeError("can't start new thread")
threads.start_new_thread, threads._pool = refuse, threads._Pool()
print(fits())
assert threads._pool._n_threads == 0
""",
        request,
    )
    same(lines)


LITTLE = """
import resource
kmgpu.set_num_threads(4)
fit()
def room():
    pages = int(open("/proc/self/statm").read().split()[0])
    return pages * resource.getpagesize()
from kmgpu.backend.threads import Workers
refused = 0
for left in range(0, 48 << 20, 1 << 20):
    resource.setrlimit(resource.RLIMIT_AS, (room() + left, resource.RLIM_INFINITY))
    try:
        Workers(4).map(lambda i: np.ones((1 << 18) * (i + 1)).sum(), range(24))
    except MemoryError:
        refused += 1
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert 0 < refused < 48, refused
print(fit())
print(fit())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and a limit that holds")
def test_a_map_without_memory_ends(request):
    same(run(LITTLE, request))


def test_numpys_errors_and_warnings_that_are_errors(request):
    lines = run(
        """
print(fits())
np.seterr(all="raise")
import warnings
warnings.simplefilter("error")
print(fits())
""",
        request,
    )
    same(lines)


GROWS = """
if sys.platform != "linux":
    sys.exit()
def resident():
    import gc
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
models = [KMeans(4, random_state=0, max_iter=2).fit(wide), KMedians(4, max_iter=2).fit(narrow)]
models.append(KMeans(4, max_iter=2).fit(narrow))
sizes = iter(range(2100, 4000))
def predict(times):
    for n, _ in zip(sizes, range(times)):
        for model, x in zip(models, (wide, narrow, narrow)):
            model.predict(x[:n])
    return resident(), len(os.listdir("/proc/self/task"))
predict(60)
before, tasks = predict(60)
after, tasks_after = predict(240)
assert tasks == tasks_after
assert after < before + (4 << 20), (after - before) / 1e6
from kmgpu.kernels.cpu.lowlevel.rows import row_ranges
for n in range(10_000):
    row_ranges(n)
assert row_ranges.cache_info().currsize <= 64
"""


def test_a_process_that_predicts_on_ever_new_numbers_of_rows_does_not_grow(request):
    run(GROWS, request)


def test_this_is_the_code_under_test(request):
    assert run("print(kmgpu.__file__)", request) == [kmgpu.__file__]
