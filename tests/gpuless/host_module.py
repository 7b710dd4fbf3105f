"""HostModule: stands in for cupy.RawModule where there is no GPU; its arrays are NumPy's.

    module = HostModule(code=text, name_expressions=("f<float>",))
    module.get_function("f<float>")(grid, block, (x, np.int32(n), out))

It is stricter than a GPU: the number of arguments and the width of each must fit the kernel's
parameters, arrays must be C-contiguous, and a barrier that part of a block skips is an error.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tests.gpuless.kernel_build import build

CODES = {"i4": "i", "u4": "i", "i8": "l", "u8": "l", "f4": "f", "f8": "d", "b1": "b"}


class HostModule:
    """Kernels built for the CPU, with the interface of `cupy.RawModule`.

    Parameters
    ----------
    code : str
        CUDA C++.
    options : sequence of str
        NVRTC's; -D, -I and -std count.
    backend : str
        Not looked at.
    name_expressions : sequence of str
        Template instantiations; without any, the kernels with C linkage.
    extra : sequence of str
        For the C++ compiler; by default what ``python -m tests.gpuless.sanitize`` set.
    """

    def __init__(
        self,
        *,
        code: str,
        options: Sequence[str] = (),
        backend: str = "nvrtc",
        name_expressions: Sequence[str] = (),
        extra: Sequence[str] | None = None,
    ) -> None:
        if extra is None:
            extra = os.environ.get("GPULESS_HOST_FLAGS", "").split()
        path, self._symbols = build(code, tuple(name_expressions), options, extra)
        self._library = ctypes.PyDLL(str(path))  # keeps the GIL: one launch at a time

    def get_function(self, name: str) -> Callable[..., None]:
        """The launcher of a kernel: ``launch(grid, block, args, *, shared_mem=0)``."""
        symbol = self._symbols[name]
        run = getattr(self._library, f"coh_run_{symbol}")
        run.restype = ctypes.c_char_p
        run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        signature = getattr(self._library, f"coh_signature_{symbol}")
        signature.restype = ctypes.c_char_p
        parameters = signature().decode()

        def launch(
            grid: Sequence[int], block: Sequence[int], args: Sequence[Any], *, shared_mem: int = 0
        ) -> None:
            if len(args) != len(parameters):
                msg = f"{name}: {len(args)} arguments, {len(parameters)} parameters"
                raise TypeError(msg)
            boxes = [_box(name, i, args[i], parameters[i]) for i in range(len(args))]
            pointers = (ctypes.c_void_p * len(args))(*(box.ctypes.data for box in boxes))
            error = run(_dim3(grid), _dim3(block), shared_mem, pointers)
            if error:
                msg = f"{name}: {error.decode()}"
                raise RuntimeError(msg)

        return launch


def _box(name: str, i: int, arg: Any, parameter: str) -> np.ndarray:
    """The argument's bytes as CuPy would pass them, in an array that keeps them alive."""
    if isinstance(arg, np.ndarray):
        if parameter != "P":
            msg = f"{name}: argument {i} is an array, the parameter is no pointer"
            raise TypeError(msg)
        if not arg.flags.c_contiguous:
            msg = f"{name}: argument {i} is not C-contiguous"
            raise ValueError(msg)
        return np.array([arg.ctypes.data], np.uintp)
    box = np.array([arg])  # NumPy scalars keep their width; Python's become 64 bits wide
    if CODES.get(box.dtype.str[1:]) != parameter:
        msg = f"{name}: argument {i} is {box.dtype}, the parameter is {parameter!r}"
        raise TypeError(msg)
    return box


def _dim3(size: Sequence[int]) -> ctypes.Array[ctypes.c_uint]:
    return (ctypes.c_uint * 3)(*(*size, 1, 1, 1)[:3])
