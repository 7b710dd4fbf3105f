"""One process compiles a kernel; others that need it meanwhile wait and load what it has saved."""

from __future__ import annotations

import os
import time
from pathlib import Path

# a compilation takes less; a process that is stopped must not hold up the others for ever
PATIENCE = 60.0
_POLL = 0.02


class Claim:
    """The right to make the file `path`, which one process at a time has.

    It ends with the process, whatever ends that. Where the system has no `flock`, or the folder
    cannot be written, every process has it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.lock")
        self._file: int | None = None

    def take(self) -> None:
        """Wait until no other process has it."""
        if self._file is not None:
            return
        try:
            import fcntl

            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_CREAT | os.O_RDWR)
        except (ImportError, OSError):
            return
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_POLL)
            except OSError:  # a file system without locks
                return
            else:
                return

    def drop(self) -> None:
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None
