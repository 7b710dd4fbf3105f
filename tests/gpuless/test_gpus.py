"""The pretend GPU's settings: several devices, little memory, and what they make CuPy do."""

import gc

import numpy as np
import pytest

import kmgpu.info


def test_several_devices_keep_their_arrays_apart(backend, pretend_gpus):
    import cupy

    x = backend.asarray(np.arange(3.0))
    with pretend_gpus(devices=2):
        with cupy.cuda.Device(1):
            y = cupy.ones(3)
            assert (y + y).device.id == 1
        assert x.device.id == 0
        with pytest.raises(ValueError, match="Peer access is unavailable"):
            x + y
        assert ", 2 GPU(s)" in kmgpu.info.info()
    assert ", 1 GPU(s)" in kmgpu.info.info()


def test_little_memory_runs_out(backend, pretend_gpus):
    import cupy

    from tests.gpuless.gpus import free_all_blocks

    gc.collect()
    free_all_blocks()
    free, total = cupy.cuda.runtime.memGetInfo()
    memory = total - free + (1 << 20)
    with pretend_gpus(memory=memory):
        assert cupy.cuda.runtime.memGetInfo() == (1 << 20, memory)
        cupy.zeros(1 << 16, "float32")
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
            cupy.zeros(1 << 19, "float32")
    cupy.zeros(1 << 19, "float32")
