"""BLAS is held to one thread while fits run, and nobody else notices."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits

from kmgpu import KMeans
from kmgpu.backend import blas
from kmgpu.backend.blas import single_threaded_blas
from tests.support import oracles

X = oracles.blobs(3000, 64, 5, seed=1).astype(np.float32)


def numbers():
    return {lib["filepath"]: lib["num_threads"] for lib in threadpool_info()}


def real():
    """What the BLAS libraries themselves say, asked past threadpoolctl."""
    found = {}
    for lib in ThreadpoolController().lib_controllers:
        for name in ("openblas_get_num_threads", "scipy_openblas_get_num_threads"):
            for end in ("", "64_", "_64"):
                function = getattr(lib.dynlib, name + end, None)
                if lib.internal_api == "openblas" and function is not None:
                    found[lib.filepath] = function()
    return found


def ones(found):
    return dict.fromkeys(found, 1)


@pytest.fixture(autouse=True)
def nothing_is_left():
    if max(real().values(), default=0) < 2:
        pytest.skip("needs OpenBLAS with two threads")
    before = numbers()
    yield
    assert numbers() == before


def fit(seed):
    return KMeans(16, random_state=seed, max_iter=3, algorithm="dense").fit(X).inertia_


def test_inside_blas_has_one_thread_and_others_see_what_was():
    before, seen = real(), numbers()
    with single_threaded_blas():
        assert real() == ones(before)
        assert numbers() == seen
        with single_threaded_blas():
            assert real() == ones(before)
        assert real() == ones(before)
    assert real() == before


def test_an_exception_ends_it():
    before = real()
    error = ValueError("no")
    with pytest.raises(ValueError, match="no"), single_threaded_blas():
        raise error
    assert real() == before


class Step:
    """``with step:`` in a thread of its own; entered and left when told."""

    def __init__(self, make):
        self._make, self._leave = make, threading.Event()

    def enter(self):
        entered = threading.Event()

        def run():
            with self._make():
                entered.set()
                assert self._leave.wait(30)

        self._thread = threading.Thread(target=run)
        self._thread.start()
        assert entered.wait(30)

    def leave(self):
        self._leave.set()
        self._thread.join()


ORDERS = ["AaBb", "ABab", "ABba", "ABCacb", "ABCbca", "ABaCbc"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("users", ["", "A", "B", "AB", "C", "AC"])
@pytest.mark.parametrize("limit", [1, 2])
def test_blocks_of_several_threads_in_any_order(order, users, limit):
    """Some are users' own limits. They may overlap with ours, not with each other: that
    threadpoolctl itself does not restore."""
    here = [name for name in users if name in order]
    if len(here) > 1 and not order.index(here[0].lower()) < order.index(here[1]):
        pytest.skip("users' own limits overlap")
    before = real()
    steps = {
        name: Step(partial(threadpool_limits, limit) if name in users else single_threaded_blas)
        for name in order
        if name.isupper()
    }
    for name in order:
        getattr(steps[name.upper()], "enter" if name.isupper() else "leave")()
        ours = [other for other in steps if other not in users]
        begun = order[: order.index(name) + 1]
        if any(other in begun and other.lower() not in begun for other in ours):
            assert real() == ones(before)
    assert real() == before


def test_a_users_limit_that_outlasts_ours_holds_afterwards():
    before = real()
    ours = Step(single_threaded_blas)
    ours.enter()
    with threadpool_limits(2):
        ours.leave()
        assert set(real().values()) == {2}
    with threadpool_limits(1):
        assert real() == ones(before)
        fit(0)
        assert real() == ones(before)


def test_overlapping_fits():
    before = real()
    expected = [fit(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(fit, range(8))) == expected
    assert real() == before


def test_fits_while_another_thread_sets_limits_of_its_own():
    before, stop, count = real(), threading.Event(), 0
    random = np.random.default_rng(0)

    def own():
        nonlocal count
        while not stop.is_set():
            with threadpool_limits(1 + count % 2):
                time.sleep(random.random() * 0.003)
            count += 1

    thread = threading.Thread(target=own)
    thread.start()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(fit, range(12)))
    stop.set()
    thread.join()
    assert count > 3
    assert real() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_inside_leaves_the_child_its_threads():
    before = real()
    with single_threaded_blas():
        child = os.fork()
        if not child:
            with single_threaded_blas():
                held = real() == ones(before)
            os._exit(0 if held and real() == before else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert real() == ones(before)
    assert real() == before


class Library:
    """OpenBLAS over OpenMP: every thread has a limit of its own."""

    internal_api, user_api, prefix = "openblas", "blas", "libopenblas"
    threading_layer = "openmp"
    filepath = "libopenblas.so"

    def __init__(self):
        self.own = threading.local()

    def info(self, **_):
        return {"num_threads": self.num_threads, "user_api": self.user_api}

    @property
    def num_threads(self):
        return getattr(self.own, "number", 4)

    def set_num_threads(self, number):
        self.own.number = number


def test_where_limits_are_a_threads_own_they_are_set_there(monkeypatch):
    library = Library()
    only = ThreadpoolController._from_controllers([library])
    monkeypatch.setattr(blas, "_by_thread", lambda: only)
    seen = []

    def other():
        seen.append(library.num_threads)
        blas.one_blas_thread_here()
        seen.append(library.num_threads)

    with single_threaded_blas():
        assert library.num_threads == 1
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert library.num_threads == 4
    assert seen == [4, 1]
