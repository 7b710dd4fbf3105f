"""Who hears that kernels are being compiled."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

BEGINS = "Compiling kernels (first use on this machine) ..."


class Compilation:
    """Tells listeners when kernels are being compiled, and once a process who sits before it."""

    def __init__(self) -> None:
        self._shown = False
        self._listeners: list[Callable[[str], None]] = []
        self._seconds = 0.0

    @contextmanager
    def told(
        self, say: Callable[[str], None], beside: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Tell `say` that kernels are being compiled in the block, and then how long it took.

        `beside` is called when the first one begins.
        """
        before = self._seconds
        announced: list[str] = []

        def once(message: str) -> None:
            if not announced:
                say(message)
                beside()
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
            say(BEGINS)
        if not self._shown and is_watched():
            self._shown = True
            from tqdm import tqdm  # its bars are left whole

            tqdm.write(f"kmgpu: {BEGINS}", file=sys.stderr)

    def took(self, seconds: float) -> None:
        self._seconds += seconds


def is_watched() -> bool:
    """Whether someone sees what is written to standard error: a terminal, a notebook."""
    return sys.stderr is not None and (sys.stderr.isatty() or hasattr(sys, "ps1"))


COMPILATION = Compilation()
