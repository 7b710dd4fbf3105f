"""Starts a worker process (`benchmarks.worker`) and asks it for measurements."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Timer
from typing import Any, Self

from benchmarks.engine import Engine
from benchmarks.machine import THREAD_VARIABLES

ROOT = Path(__file__).parents[1]


class EngineError(RuntimeError):
    """An engine could not do what it was asked."""


class Client:
    """A worker process of one engine; use it as a context manager."""

    def __init__(self, engine: Engine, n_threads: int, folder: Path) -> None:
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(n_threads))
        self._log = (folder / f"{engine.loss}-{engine.name}.log").open("w+")
        self._late = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", engine.device, engine.loss, engine.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def ask(self, do: str, timeout: float, **arguments: Any) -> dict[str, Any]:
        """The answer to one command; a worker that takes longer than `timeout` seconds is killed.

        Raises
        ------
        EngineError
            When the command failed, took too long, or the process died.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        timer = Timer(timeout, self._expire)
        timer.start()
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        line = self._process.stdout.readline()
        timer.cancel()
        late = f"took longer than {timeout:.3g} s"
        answer = json.loads(line) if line else {"error": late if self._late else self._last_words()}
        if "error" in answer:
            raise EngineError(answer["error"])
        return answer

    def _expire(self) -> None:
        self._late = True
        self.stop()

    def stop(self) -> None:
        """End the process now: its memory is free for others."""
        self._process.kill()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        said = self._log.read().strip().splitlines()
        return f"ended with code {code}: {said[-1] if said else 'no message'}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()
        self._log.close()
