"""Writing a file so that a reader finds the old one or the whole new one, never a part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from stat import S_IMODE
from typing import BinaryIO

PathLike = str | os.PathLike[str]


@contextmanager
def replacing(path: PathLike) -> Iterator[BinaryIO]:
    """A new binary file that takes the place of `path` once the block ends without an error.

    Until then it lies beside `path` under a name of its own; after an error or an interrupt it
    is gone and `path` is as it was. A file that is replaced leaves its permissions to the new one.

    Raises
    ------
    OSError
        When `path` cannot be written; the message names it and says why.
    """
    target = _target(path)
    part = target.with_name(f".kmgpu-{token_hex(6)}.part")
    try:
        with _opened(part, path) as file:
            if target.exists():
                part.chmod(S_IMODE(target.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def check_writable(path: PathLike) -> None:
    """Raise OSError, naming `path` and the reason, when `replacing` could not write it."""
    part = _target(path).with_name(f".kmgpu-{token_hex(6)}.part")
    try:
        _opened(part, path).close()
    finally:
        part.unlink(missing_ok=True)


def _target(path: PathLike) -> Path:
    """The file itself (not a link to it), where it is one that may be replaced."""
    target = Path(path).resolve()
    if not target.parent.is_dir():
        msg = f"{path} cannot be written: there is no folder {target.parent}; create it first."
        raise FileNotFoundError(msg)
    if target.exists() and not target.is_file():
        msg = f"{path} cannot be written: it is not a regular file; give another name."
        raise OSError(msg)
    if target.exists() and not os.access(target, os.W_OK):
        msg = f"{path} cannot be written: the file is write-protected; give another name."
        raise PermissionError(msg)
    return target


def _opened(part: Path, path: PathLike) -> BinaryIO:
    try:
        return part.open("xb")
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror} in {part.parent}; give another folder."
        raise OSError(msg) from error
