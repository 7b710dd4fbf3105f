"""Stands in for cupy.cuda.thrust, whose device code is precompiled: NumPy sorts in place."""

import ctypes
import math

import numpy as np

available = True
_count_launch = ctypes.CDLL("libamdhip64.so.7").gpuless_count_launch


def get_build_version():
    return 0


def _array(address, dtype, shape):
    dtype, count = np.dtype(dtype), math.prod(shape)
    memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
    return np.frombuffer(memory, dtype, count).reshape(shape)


def sort(dtype, data_start, keys_start, shape):
    _count_launch()
    _array(data_start, dtype, shape).sort(axis=-1, kind="stable")


def argsort(dtype, idx_start, data_start, keys_start, shape):
    _count_launch()
    data = _array(data_start, dtype, shape)
    order = np.argsort(data, axis=-1, kind="stable")
    _array(idx_start, np.intp, shape)[...] = order
    data[...] = np.take_along_axis(data, order, axis=-1)


def lexsort(dtype, idx_start, keys_start, k, n):
    _count_launch()
    _array(idx_start, np.intp, (n,))[...] = np.lexsort(_array(keys_start, dtype, (k, n)))
