"""array-api-strict, narrowed to what a CuPy array can do.

On its device "device1", array-api-strict already refuses NumPy's functions and arrays made without
``device=``. Its arrays still do a little that `cupy.ndarray` does not, and each conversion to a
Python number, where a GPU program would wait, passes unseen. `cupy_envelope` ends both.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import array_api_strict

StrictArray = type(array_api_strict.zeros(1))
CONVERSIONS = ("__bool__", "__int__", "__float__", "__complex__")
# read off CuPy 14.2; `to_device` is not listed, as array_api_compat.to_device stands in for it
NOT_IN_CUPY = ("__index__",)


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(self: Any, *args: Any) -> Any:
        msg = f"cupy.ndarray has no {name}"
        raise AttributeError(msg)

    return refuse


def _recorded(name: str, waits: list[str]) -> Callable[..., Any]:
    convert = getattr(StrictArray, name)

    def record(self: Any) -> Any:
        frame = sys._getframe(1)
        waits.append(f"{name} at {frame.f_code.co_filename}:{frame.f_lineno}")
        return convert(self)

    return record


@contextmanager
def cupy_envelope() -> Iterator[list[str]]:
    """Narrow the arrays of array-api-strict; yields the places that waited, as they happen."""
    waits: list[str] = []
    narrowed = {name: _refusal(name) for name in NOT_IN_CUPY}
    narrowed |= {name: _recorded(name, waits) for name in CONVERSIONS}
    saved = {name: StrictArray.__dict__[name] for name in narrowed}
    try:
        for name, method in narrowed.items():
            setattr(StrictArray, name, method)
        yield waits
    finally:
        for name, method in saved.items():
            setattr(StrictArray, name, method)
