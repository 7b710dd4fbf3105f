"""Worker threads: order, exceptions, nesting."""

import threading
import time

import pytest

from kmgpu.threads import Workers


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_results_are_in_order_and_every_item_is_done_once(n_threads):
    done = []

    def square(i):
        done.append(i)
        return i * i

    assert Workers(n_threads).map(square, range(100)) == [i * i for i in range(100)]
    assert sorted(done) == list(range(100))


def test_several_threads_work_at_once():
    meeting = threading.Barrier(2, timeout=30)
    Workers(2).map(lambda _: meeting.wait(), range(2))


@pytest.mark.parametrize("n_threads", [1, 3])
def test_after_an_exception_no_further_item_is_begun(n_threads):
    begun = []

    def fail_at_first(i):
        begun.append(i)
        if i == 0:
            msg = "no"
            raise ValueError(msg)
        time.sleep(0.005)

    with pytest.raises(ValueError, match="no"):
        Workers(n_threads).map(fail_at_first, range(200))
    assert len(begun) < 100


def test_a_map_inside_a_map_of_the_same_workers_ends():
    workers = Workers(2)
    inner = workers.map(lambda i: sum(workers.map(lambda j: i * j, range(20))), range(20))
    assert inner == [190 * i for i in range(20)]
