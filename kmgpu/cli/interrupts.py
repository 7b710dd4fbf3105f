"""Signals that end a process raise an exception first, so that it can tidy up."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from time import monotonic
from types import FrameType, TracebackType
from typing import Any, NoReturn

from kmgpu.files import discard_unfinished

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
# a signal that is sent to a process and to its group arrives twice
TOGETHER = 1.0
USUAL = (signal.SIG_DFL, signal.default_int_handler)


class Interrupts:
    """While it is open, the first signal raises KeyboardInterrupt; in the main thread only.

    A second one, a while later, ends the process at once: code that was called may have swallowed
    the exception. Both leave no unfinished file. Signals that are ignored remain so.

    Attributes
    ----------
    number : int or None
        Of the first signal.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._at = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is None or signal.getsignal(number) not in USUAL:
                continue
            with suppress(ValueError):  # signal handlers can be set in the main thread only
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.number is not None or kind is KeyboardInterrupt:
            discard_unfinished()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal, as shells count."""
        return 128 + (signal.SIGINT if self.number is None else self.number)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.number is None:
            self.number, self._at = number, monotonic()
            raise KeyboardInterrupt
        if monotonic() - self._at > TOGETHER:
            self._end()

    def _end(self) -> NoReturn:
        discard_unfinished()
        os._exit(self.exit_code)
