"""One process compiles a kernel; others that need it meanwhile wait and load what it has saved.

A claim is the right to make a file. It ends with the process, whatever ends that. Where the system
has no `flock`, or the folder cannot be written, every process has it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

# a compilation takes less; a process that is stopped must not hold up the others for ever
PATIENCE = 60.0
_POLL = 0.02
# the lock files of this process's claims, which are open
_CLAIMED: dict[Path, int] = {}


def take(path: Path) -> None:
    """Wait until no other process claims that file, and claim it."""
    if path in _CLAIMED:
        return
    try:
        import fcntl

        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _CLAIMED[path] = os.open(_lock_of(path), os.O_CREAT | os.O_RDWR)
    except (ImportError, OSError):
        return
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_POLL)
        except OSError:  # a file system without locks
            return
        else:
            return


def drop(path: Path) -> None:
    """Let others make the file; nothing happens where it is not claimed."""
    lock = _CLAIMED.pop(path, None)
    if lock is not None:
        _lock_of(path).unlink(missing_ok=True)
        os.close(lock)


def drop_all() -> None:
    """Let others make what this process does not make after all."""
    for path in list(_CLAIMED):
        drop(path)


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")
