"""Uploads to a GPU: the bits arrive, nothing stays pinned, errors leave nothing behind."""

import gc
import weakref

import numpy as np
import pytest

from kmgpu import KMeans
from kmgpu.backend import upload
from kmgpu.backend.arrays import HOST, place_of

SHAPE = (301, 17)
LAYOUTS = {
    "C": lambda x: x,
    "Fortran": np.asfortranarray,
    "backwards": lambda x: x[::-2, ::-3],
    "columns": lambda x: x.repeat(3, axis=1)[:, ::3],
    "long rows": lambda x: x.repeat(2, axis=0).T[:, ::2],
    "one column": lambda x: x[:, :1],
    "flat": lambda x: x.reshape(-1),
    "empty": lambda x: x[:0],
}


@pytest.fixture
def place(cupy):
    return place_of(cupy.empty(0))


@pytest.fixture
def small(monkeypatch):
    """Buffers that hold a few rows only."""
    monkeypatch.setattr(upload, "BUFFER_BYTES", 1 << 10)
    monkeypatch.setattr(upload, "LEAST_BYTES", 1)
    monkeypatch.setattr(upload, "THREAD_BYTES", 1 << 8)


@pytest.fixture
def buffers(monkeypatch):
    """Weak references to all buffers that are made."""
    made, make = [], upload._buffer

    def kept(n_bytes):
        buffer = make(n_bytes)
        made.append((weakref.ref(buffer), n_bytes))
        return buffer

    monkeypatch.setattr(upload, "_buffer", kept)
    return made


def data(dtype="f4", shape=SHAPE):
    return (100 * np.random.default_rng(0).random(shape)).astype(dtype)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1", "?", "i8", ">f4", ">i2"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_bits_arrive_from_any_layout(place, layout, dtype):
    x = LAYOUTS[layout](data(dtype))
    x.setflags(write=False)
    there = upload.uploaded(x, place)
    assert place_of(there) == place
    assert there.dtype == x.dtype.newbyteorder("=")
    np.testing.assert_array_equal(there.get(), x)


@pytest.mark.usefixtures("small")
def test_blocks_arrive_in_order_from_memory_that_is_reused(place):
    x, block = data(), np.empty((40, SHAPE[1]), np.float32)

    def blocks():
        for start in range(0, len(x), 40):
            part = x[start : start + 40]
            block[: len(part)] = part
            yield block[: len(part)]

    found = list(upload.uploaded_blocks(blocks(), place))
    assert [len(part) for part in found] == [40] * 7 + [21]
    np.testing.assert_array_equal(np.concatenate([part.get() for part in found]), x)


def test_what_is_there_stays_and_small_arrays_take_no_buffer(place, buffers):
    there = place.xp.asarray(data())
    assert upload.uploaded(there, place) is there
    assert upload.uploaded(data(), HOST).shape == SHAPE
    np.testing.assert_array_equal(upload.uploaded(data(), place).get(), data())
    assert not buffers


def test_nothing_stays_pinned(cupy, place, buffers, monkeypatch):
    monkeypatch.setattr(upload, "BUFFER_BYTES", 1 << 20)
    x = data(shape=(1 << 10, 1 << 10))
    pool = cupy.get_default_pinned_memory_pool()
    before = pool.n_free_blocks()
    there = upload.uploaded(x, place)
    np.testing.assert_array_equal(there.get(out=np.empty_like(x)), x)
    gc.collect()
    assert [size for _, size in buffers] == [1 << 20] * 2
    assert all(buffer() is None for buffer, _ in buffers)
    assert pool.n_free_blocks() == before


def test_buffers_are_no_larger_than_half_the_array(place, buffers):
    x = data(shape=(1 << 10, 300))
    upload.uploaded(x, place)
    assert [size for _, size in buffers] == [x.nbytes // 2] * 2


@pytest.mark.usefixtures("small")
def test_without_pinned_memory_it_is_pageable(cupy, place, monkeypatch):
    def refuse(n_bytes):
        raise cupy.cuda.runtime.CUDARuntimeError(2)

    monkeypatch.setattr(cupy.cuda, "PinnedMemory", refuse)
    np.testing.assert_array_equal(upload.uploaded(data(), place).get(), data())


@pytest.mark.usefixtures("small")
def test_a_failure_leaves_no_buffer_and_the_next_upload_works(place, buffers, monkeypatch):
    calls, copy = [], upload._copy

    def fail_at_the_third(to, part):
        calls.append(part)
        if len(calls) == 3:
            raise KeyboardInterrupt
        copy(to, part)

    monkeypatch.setattr(upload, "_copy", fail_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        upload.uploaded(data(), place)
    gc.collect()
    assert buffers
    assert all(buffer() is None for buffer, _ in buffers)
    np.testing.assert_array_equal(upload.uploaded(data(), place).get(), data())


@pytest.mark.usefixtures("small")
def test_an_iterator_that_is_closed_frees_its_buffers(place, buffers):
    blocks = upload.uploaded_blocks([data()] * 3, place)
    next(blocks)
    blocks.close()
    gc.collect()
    assert all(buffer() is None for buffer, _ in buffers)


@pytest.mark.usefixtures("small")
def test_streams_wait_for_each_other(cupy, place, monkeypatch):
    """The copies wait for the caller's stream, the caller's stream for them, the end for both."""
    told = []

    class Stream(cupy.cuda.Stream):
        def wait_event(self, event):
            told.append("copies wait")
            super().wait_event(event)

        def synchronize(self):
            told.append("host waits")
            super().synchronize()

    class Callers(cupy.cuda.Stream):
        def wait_event(self, event):
            told.append("caller waits")
            super().wait_event(event)

    callers = Callers(non_blocking=True)
    monkeypatch.setattr(cupy.cuda, "Stream", Stream)
    monkeypatch.setattr(upload, "_copy", lambda to, part: told.append("copy"))
    with callers:
        upload.uploaded(data(shape=(16, 16)), place)
    assert told[-5:] == ["copies wait", "copy", "copy", "caller waits", "host waits"]


@pytest.mark.usefixtures("small")
def test_the_next_block_is_on_its_way_when_one_is_handed_out(place, monkeypatch):
    told, copy, out = [], upload._copy, upload._Copies.handed_out
    monkeypatch.setattr(upload, "_copy", lambda to, part: told.append("copy") or copy(to, part))
    monkeypatch.setattr(
        upload._Copies, "handed_out", lambda *args: told.append("handed out") or out(*args)
    )
    blocks = [data(shape=(4, 16)) + i for i in range(3)]
    found = list(upload.uploaded_blocks(blocks, place))
    # a block passes through both buffers
    assert told == [*["copy"] * 4, "handed out", *["copy"] * 2, "handed out", "handed out"]
    for there, block in zip(found, blocks, strict=True):
        np.testing.assert_array_equal(there.get(), block)


@pytest.mark.usefixtures("small")
def test_an_estimator_uploads_so(place, buffers):
    x = data()
    model = KMeans(3, init=x[:3], device="cuda").fit(x)
    assert len(buffers) == 2
    np.testing.assert_array_equal(model.predict(x), model.labels_)
    assert len(buffers) == 4
