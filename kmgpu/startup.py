"""What the command ``kmgpu`` does before NumPy and all else is imported; nothing in a library."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress


def _is_command() -> bool:
    """Whether this process is ``kmgpu`` or ``python -m kmgpu``."""
    if sys.argv[:1] == ["-m"]:  # so while Python looks for the module
        return sys.orig_argv[-len(sys.argv)] in ("kmgpu", "-mkmgpu")
    name = os.path.basename(sys.argv[0]) if sys.argv else ""  # noqa: PTH119
    return name.removesuffix(".exe").removesuffix("-script.pyw") == "kmgpu"


def prepare_command() -> None:
    """Let Ctrl-C end the imports without a traceback, and no file take the place of a stream.

    A file that is opened gets the lowest number that is free: 1 where standard output is closed,
    and all that is printed would go into it.
    """
    with suppress(ValueError):  # not in the main thread
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, closefd=False)


if hasattr(sys, "argv") and _is_command():
    prepare_command()
