"""Cases of a random search, each run in a process that is ended where a case hangs."""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any


class Lost(Exception):
    """A case that gave no answer; its two arguments are the kind of failure and what happened."""


class Child:
    """A process that answers for one case after the other; where one is lost, the next has its own.

    Parameters
    ----------
    answer : callable
        ``answer(seed, number)``, importable.
    seed : int
    """

    def __init__(self, answer: Callable[[int, int], Any], seed: int) -> None:
        self._answer, self._seed = answer, seed
        self._process: Any = None
        self._pipe: Any = None

    def ask(self, number: int, seconds: float) -> Any:
        """The answer for a case.

        Raises
        ------
        Lost
            When there is none after some seconds, or the process ends.
        """
        if self._process is None:
            self._start()
        self._pipe.send(number)
        try:
            if self._pipe.poll(seconds):
                return self._pipe.recv()
            self._process.kill()
            lost = Lost("hangs", f"no end after {seconds:g} s")
        except EOFError:
            self._process.join()
            lost = Lost("crash", f"the process ended with {self._process.exitcode}")
        self._process = None
        raise lost

    def _start(self) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        arguments = theirs, self._answer, self._seed
        self._process = spawn.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()


def _serve(pipe: Connection, answer: Callable[[int, int], Any], seed: int) -> None:
    with suppress(EOFError):  # the search is over
        while True:
            pipe.send(answer(seed, pipe.recv()))


def parser_of(module: str, about: str | None) -> argparse.ArgumentParser:
    """The options of a random search: for how long, with which seed, or which case alone."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    today = int(datetime.now(UTC).strftime("%Y%m%d"))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=today, help="default: the date, YYYYMMDD")
    parser.add_argument("--case", type=int, help="this case alone")
    return parser
