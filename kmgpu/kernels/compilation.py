"""Who hears that kernels are being compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Compilation:
    """Tells listeners when kernels are being compiled; silent otherwise."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[str], None]] = []
        self._seconds = 0.0

    @contextmanager
    def told(self, say: Callable[[str], None]) -> Iterator[None]:
        """Tell `say` that kernels are being compiled in the block, and then how long it took."""
        before = self._seconds
        announced: list[str] = []

        def once(message: str) -> None:
            if not announced:
                say(message)
            announced.append(message)

        self._listeners.append(once)
        try:
            yield
        finally:
            self._listeners.remove(once)
            if announced:
                say(f"Compiled kernels for {self._seconds - before:.1f} s.")

    def begins(self) -> None:
        for say in self._listeners:
            say("Compiling kernels (first use on this machine) ...")

    def took(self, seconds: float) -> None:
        self._seconds += seconds


COMPILATION = Compilation()
