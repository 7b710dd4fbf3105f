"""Other processes compile the steps' kernels while a first fit seeds."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_array

from kmgpu import L1, L2, set_num_threads
from kmgpu.algorithm import ahead
from kmgpu.algorithm.losses import COSINE, Loss
from kmgpu.backend.sparse import canonical
from kmgpu.kernels.compilation import BEGINS

X = np.zeros((10, 5), np.float32)


@pytest.fixture
def started(monkeypatch):
    """What was started: the tasks."""
    tasks = []
    monkeypatch.setattr(ahead, "_RUNNING", [])
    monkeypatch.setattr(ahead.atexit, "register", lambda function: None)
    monkeypatch.setattr(ahead, "is_watched", lambda: True)

    class Process:
        def __init__(self, command, **_):
            tasks.append(json.loads(command[-1]))

        def wait(self):
            return 0

    monkeypatch.setattr(ahead.subprocess, "Popen", Process)
    set_num_threads(2)
    yield tasks
    set_num_threads(None)


def test_what_is_compiled_and_once(started):
    ahead.compile_beside(X, 3, COSINE, "k-means++")
    assert started == [["l2", "float32", 5, 3, "auto"], ["l2", "float32", 5, 3, "dense"]]
    ahead.compile_beside(X, 3, L2, "k-means++")
    assert len(started) == 2


@pytest.mark.parametrize(
    ("x", "init", "loss"),
    [
        (X, X[:3], L2),
        (X, "random", L1),
        (X, lambda x, k, random_state: x[:k], L2),
        (X, "k-means++", Loss(*[None] * 10)),
        (canonical(csr_array(X)), "k-means++", L2),
        (np.broadcast_to(X[:1, :1], (10, 30_000)), "k-means++", L2),
    ],
)
def test_where_nothing_would_be_won(started, x, init, loss):
    ahead.compile_beside(x, 3, loss, init)
    assert started == []


def test_neither_on_one_core_nor_where_there_is_no_python(started, monkeypatch):
    set_num_threads(1)
    ahead.compile_beside(X, 3, L2, "k-means++")
    set_num_threads(2)
    for name, value in (("frozen", True), ("executable", ""), ("executable", "/bin/another")):
        with monkeypatch.context() as patched:
            patched.setattr(sys, name, value, raising=False)
            ahead.compile_beside(X, 3, L2, "k-means++")
    for name, value in (("parent_process", lambda: "one"), ("is_watched", lambda: False)):
        with monkeypatch.context() as patched:
            patched.setattr(ahead, name, value)
            ahead.compile_beside(X, 3, L2, "k-means++")
    assert started == []


def test_a_process_that_cannot_start_is_done_without(started, monkeypatch):
    def refused(*_, **__):
        raise OSError(11, "no more processes")

    monkeypatch.setattr(ahead.subprocess, "Popen", refused)
    ahead.compile_beside(X, 3, L2, "k-means++")
    assert ahead._RUNNING == []


FIT = """
import numpy as np
from numba.core import event
from kmgpu import KMeans
from kmgpu.algorithm.ahead import _RUNNING
told = []

class Listener(event.Listener):
    def on_start(self, happened):
        told.append(happened.data["dispatcher"].py_func.__name__)

    def on_end(self, happened):
        pass

event.register("numba:compile", Listener())
x = np.random.default_rng(0).normal(size=(2000, 5)).astype("float32")
model = KMeans(4, random_state=0).fit(x)
print(len(_RUNNING), "nearest_rows" in told, model.inertia_)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of POSIX")
def test_a_first_fit(tmp_path):
    """Its processes end with it, and it finds what a fit finds that compiles nothing."""
    variables = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-W", "error", "-c", FIT]
    import pty  # not on Windows

    terminal, other_end = pty.openpty()
    told = [
        subprocess.run(
            command, env=variables, stdout=subprocess.PIPE, stderr=other_end, text=True, check=True
        )
        for _ in range(2)
    ]
    first, second = (run.stdout.split() for run in told)
    os.close(other_end)
    said = os.read(terminal, 1 << 16).decode().split("\r\n")
    os.close(terminal)
    assert said == [f"kmgpu: {BEGINS}", ""]
    assert first[0] == "2"
    assert second[:2] == ["0", "False"]
    assert first[2] == second[2]
    assert not list(tmp_path.rglob("*.lock"))


@pytest.mark.parametrize("loss", ["l1", "l2"])
@pytest.mark.parametrize("algorithm", ["auto", "dense"])
@pytest.mark.parametrize("d", [3, 40, 200])
def test_a_task_does_what_a_fit_does(loss, algorithm, d):
    ahead.compile_for(loss, "float32", d, 7, algorithm)
