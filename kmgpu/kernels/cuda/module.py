"""The kernels' text, compiled by CuPy when first needed, and launches with checked arguments."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from kmgpu.backend.arrays import Array

FOLDER = Path(__file__).parent
# CUDA's names of the dtypes that kernels read
TYPES = {
    "float16": "Half",
    "bfloat16": "Bfloat16",
    "float32": "float",
    "float64": "double",
    "bool": "unsigned char",
    "uint8": "unsigned char",
    "uint16": "unsigned short",
    "uint32": "unsigned",
    "uint64": "unsigned long long",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long long",
}
# what the checks without a GPU compile for; the other integers differ from these in width alone
CHECKED = ("float16", "float32", "float64", "uint8", "int64")
MOST_BLOCKS = 2**31 - 1
# the files of a source, one after the other
PARTS = {
    "nearest": ("common", "ranked", "nearest"),
    "settle": ("common", "ranked", "settle"),
    "sort": ("common", "sort"),
    "means": ("common", "means"),
    "weights": ("common", "weights"),
    "medians": ("common", "selection", "medians"),
    "seeding": ("common", "seeding"),
}


@cache
def text(source: str) -> str:
    """CUDA C++ of one source, ready to compile."""
    parts = [(FOLDER / f"{name}.cu").read_text(encoding="utf-8") for name in PARTS[source]]
    return "\n".join(parts)


def type_of(dtype: Any) -> str:
    """CUDA's name of a dtype that kernels read; TypeError for others."""
    if str(dtype) not in TYPES:
        msg = f"X.dtype={dtype}: the kernels read {', '.join(TYPES)}; convert it first."
        raise TypeError(msg)
    return TYPES[str(dtype)]


def origin_dtype(dtype: Any) -> Any:
    """The dtype of the point that such data are ranked about; `Origin` in common.cu."""
    return np.float32 if np.can_cast(dtype, np.float32) else np.float64


def raw_module(source: str, name: str) -> Any:
    """One kernel of a source, compiled; CuPy keeps it on disk."""
    import cupy

    return cupy.RawModule(code=text(source), options=("-std=c++17",), name_expressions=(name,))


@cache
def _function(source: str, name: str, device: str) -> Any:
    del device  # a module is loaded once on each
    return raw_module(source, name).get_function(name)


def on_device_of(x: Array) -> AbstractContextManager[Any]:
    """Make the device of `x` the current one; its current stream is the caller's."""
    return nullcontext() if isinstance(x, np.ndarray) else x.device


def launch(
    source: str, name: str, n_blocks: int, block: tuple[int, ...], arguments: tuple[Any, ...]
) -> None:
    """Launch a kernel on the current device, which holds its arrays, and its current stream.

    Parameters
    ----------
    source, name : str
        A source file and a kernel of it, with its template arguments.
    n_blocks : int
    block : tuple of int
        Threads of a block.
    arguments : tuple
        Arrays, checked by the caller through `checked`, and NumPy scalars of the width that the
        kernel declares. The first is an array.
    """
    if n_blocks > MOST_BLOCKS:
        msg = f"{name}: {n_blocks} blocks, a GPU takes {MOST_BLOCKS}; pass fewer rows at a time."
        raise ValueError(msg)
    function = _function(source, name, str(arguments[0].device))
    function((n_blocks,), block, arguments)


def checked(name: str, array: Array, dtype: Any, shape: tuple[int, ...], beside: Array) -> Array:
    """`array`, if a kernel may read it as it is.

    Raises
    ------
    TypeError
        Where its dtype is not `dtype`.
    ValueError
        Where its shape or its device is another, or its elements do not lie in C order.
    """
    if array.dtype != dtype:
        msg = f"{name}.dtype={array.dtype}: the kernel reads {np.dtype(dtype)}; convert it first."
        raise TypeError(msg)
    if tuple(array.shape) != shape:
        msg = f"{name}.shape={tuple(array.shape)}: the kernel needs {shape}."
        raise ValueError(msg)
    if not array.flags.c_contiguous:
        msg = f"{name}.strides={array.strides}: the kernel reads C order; pass a contiguous copy."
        raise ValueError(msg)
    if array.device != beside.device:
        msg = f"{name} is on {array.device}, the data on {beside.device}; move it there first."
        raise ValueError(msg)
    return array


def matrix(x: Array) -> tuple[Array, np.int64, np.int64]:
    """The arguments of a matrix of any strides: its elements and its strides in elements."""
    rows, columns = (stride // x.dtype.itemsize for stride in x.strides)
    return x, np.int64(rows), np.int64(columns)
