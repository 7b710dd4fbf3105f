"""Worker threads: order, exceptions, nesting, how many; the pool they come from."""

import os
import threading
import time
import weakref

import numpy as np
import pytest
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

import kmgpu
from kmgpu import KMeans
from kmgpu.backend import blas, machine, threads
from kmgpu.backend.threads import Workers
from tests.support import oracles

X = oracles.blobs(30_000, 3, 5, seed=1).astype(np.float32)
N_CPUS = machine.usable_cpus()


@pytest.fixture
def pool(monkeypatch):
    """A pool without threads, in place of the process's."""
    made = threads._Pool()
    monkeypatch.setattr(threads, "_pool", made)
    return made


@pytest.fixture(autouse=True)
def default_number():
    yield
    kmgpu.set_num_threads(None)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_results_are_in_order_and_every_item_is_done_once(n_threads):
    done = []

    def square(i):
        done.append(i)
        return i * i

    assert Workers(n_threads).map(square, range(100)) == [i * i for i in range(100)]
    assert sorted(done) == list(range(100))


def test_several_threads_work_at_once():
    meeting = threading.Barrier(3, timeout=30)
    Workers(3).map(lambda _: meeting.wait(), range(3))


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("kind", [ValueError, MemoryError, KeyboardInterrupt, SystemExit])
def test_after_an_exception_no_further_item_is_begun(n_threads, kind):
    begun, error = [], kind("no")

    def fail_at_first(i):
        begun.append(i)
        if i == 0:
            raise error
        time.sleep(0.005)

    with pytest.raises(kind, match="no"):
        Workers(n_threads).map(fail_at_first, range(200))
    assert len(begun) < 100


@pytest.mark.parametrize("kind", [MemoryError, SystemExit])
def test_what_a_helper_raises_comes_out_and_the_pool_lives_on(kind):
    """Here the caller's own item ends well; the helper's does not."""
    caller, meeting = threading.get_ident(), threading.Barrier(2, timeout=30)
    error = kind("elsewhere")

    def fail_elsewhere(_):
        meeting.wait()
        if threading.get_ident() != caller:
            raise error

    for _ in range(3):
        with pytest.raises(kind, match="elsewhere"):
            Workers(2).map(fail_elsewhere, range(2))


def test_a_helper_that_cannot_even_say_what_went_wrong_is_not_waited_for(monkeypatch, pool):
    """As if memory had run out in the bookkeeping: nothing was recorded."""

    class Dumb(threads._Task):
        __slots__ = ()

        def run(self):
            self._begun.acquire(blocking=False)
            self._ended.release()
            raise MemoryError

    monkeypatch.setattr(threads, "_Task", Dumb)
    raised = False
    for _ in range(200):  # until the helper is faster than the owner is done
        try:
            Workers(2).map(lambda _: time.sleep(0.001), range(4))
        except MemoryError as error:
            raised = "a worker thread ran out of memory" in str(error)
            break
    assert raised


def test_a_map_inside_a_map_of_the_same_workers_ends():
    workers = Workers(2)
    inner = workers.map(lambda i: sum(workers.map(lambda j: i * j, range(20))), range(20))
    assert inner == [190 * i for i in range(20)]


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_where_no_thread_can_be_started_the_caller_does_it_all(monkeypatch, pool, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr(threads, "start_new_thread", refuse)
    found = Workers(4).map(lambda _: threading.get_ident(), range(50))
    assert set(found) == {threading.get_ident()}
    assert pool._n_threads == 0
    np.testing.assert_array_equal(KMeans(3, random_state=0).fit(X).labels_.shape, len(X))


def test_the_pool_starts_what_is_needed_and_is_shared(pool):
    Workers(1).map(abs, range(9))
    assert pool._n_threads == 0
    Workers(8).map(abs, range(2))
    assert pool._n_threads == 1
    for _ in range(20):
        Workers(3).map(abs, range(9))
    assert pool._n_threads == 2


def test_a_fit_with_one_thread_starts_none(pool):
    with threadpool_limits(1):
        KMeans(5, random_state=0).fit(X).predict(X)
    kmgpu.set_num_threads(1)
    KMeans(5, random_state=0).fit(np.tile(X, 20)).predict(np.tile(X, 20))
    assert pool._n_threads == 0
    kmgpu.set_num_threads(3)
    KMeans(5, random_state=0).fit(X)
    assert pool._n_threads == 2


def test_after_a_map_the_pool_keeps_nothing_of_it(pool):
    class Thing:
        pass

    thing = Thing()
    alive = weakref.ref(thing)
    Workers(3).map(lambda _, held=thing: time.sleep(0.001), range(30))
    del thing
    end = time.monotonic() + 30
    while alive() is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert alive() is None


def test_scratch_is_the_threads_own_and_goes_with_the_workers():
    workers = Workers(2)
    meeting = threading.Barrier(2, timeout=30)

    def own(_, workers=workers):
        meeting.wait()
        array = workers.scratch("a", (3, 4), np.float32)
        assert array is workers.scratch("a", (3, 4), np.float32)
        assert workers.scratch("b", (3, 4), np.float32) is not array
        return weakref.ref(array), id(array)

    (one, first), (two, second) = workers.map(own, range(2))
    assert first != second
    assert one().shape == two().shape == (3, 4)
    del workers, own
    assert one() is None
    assert two() is None


@pytest.mark.parametrize(
    ("variables", "most"),
    [
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "1,8"}, 1),
        ({"OMP_NUM_THREADS": "100"}, N_CPUS),
        ({"OMP_NUM_THREADS": ""}, N_CPUS),
        ({"OMP_NUM_THREADS": "many"}, N_CPUS),
        ({"OMP_NUM_THREADS": "-3"}, N_CPUS),
        ({"LOKY_MAX_CPU_COUNT": "1"}, 1),
        ({"LOKY_MAX_CPU_COUNT": "2", "OMP_NUM_THREADS": "1"}, 1),
    ],
)
def test_variables_of_the_environment(monkeypatch, variables, most):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert kmgpu.get_num_threads() == min(most, N_CPUS) == Workers().n_threads


def test_quotas_of_cgroups(monkeypatch):
    monkeypatch.setattr(machine, "cpu_quota", lambda: 1)
    assert kmgpu.get_num_threads() == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_the_affinity():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert kmgpu.get_num_threads() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_limits_of_threadpoolctl_hold_in_the_calling_thread():
    seen = []
    with threadpool_limits(1):
        assert kmgpu.get_num_threads() == 1
        other = threading.Thread(target=lambda: seen.append(kmgpu.get_num_threads()))
        other.start()
        other.join()
    with threadpool_limits(1, user_api="blas"):  # says nothing of loops
        assert kmgpu.get_num_threads() == N_CPUS
    with blas.single_threaded_blas():
        assert kmgpu.get_num_threads() == N_CPUS
    assert seen == [N_CPUS]
    assert kmgpu.get_num_threads() == N_CPUS


@pytest.mark.parametrize("n", [1, 3, np.int64(2)])
def test_the_number_that_is_set_is_taken_by_every_thread(n):
    kmgpu.set_num_threads(n)
    with threadpool_limits(1):
        assert kmgpu.get_num_threads() == Workers().n_threads == n
    assert Workers(4).n_threads == 4
    seen = []
    other = threading.Thread(target=lambda: seen.append(kmgpu.get_num_threads()))
    other.start()
    other.join()
    assert seen == [n]
    kmgpu.set_num_threads(None)
    assert kmgpu.get_num_threads() == N_CPUS


@pytest.mark.parametrize(
    ("n", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_other_numbers_are_refused(n, error):
    kmgpu.set_num_threads(2)
    with pytest.raises(error, match=rf"^n.*(None for the default.*)?{n}"):
        kmgpu.set_num_threads(n)
    assert kmgpu.get_num_threads() == 2


def test_joblibs_inner_limit():
    with Parallel(n_jobs=2) as parallel:
        assert set(parallel(delayed(kmgpu.get_num_threads)() for _ in range(4))) == {
            max(1, N_CPUS // 2)
        }


@pytest.mark.parametrize("d", [3, 40])
def test_numpys_errors_and_warnings_break_no_fit(d):
    x = oracles.blobs(3000, d, 4, seed=2).astype(np.float32)
    x[0] *= 1e-30
    kmgpu.set_num_threads(3)
    expected = KMeans(4, random_state=0).fit(x)
    with np.errstate(all="raise"):
        model = KMeans(4, random_state=0).fit(x)
        np.testing.assert_array_equal(model.predict(x), expected.labels_)
        assert model.transform(x).shape == (3000, 4)
        with kmgpu.kernels.use("reference"):
            model.fit(x).predict(x)
        assert np.geterr()["over"] == "raise"


def test_a_worker_raises_nothing_for_numpys_sake():
    def overflow(_):
        return np.float32(1e38) * np.float32(1e38)

    meeting = threading.Barrier(2, timeout=30)

    def elsewhere(_):
        caller = threading.get_ident() == main
        meeting.wait()
        return None if caller else overflow(0)

    main = threading.get_ident()
    assert np.inf in Workers(2).map(elsewhere, range(2))
