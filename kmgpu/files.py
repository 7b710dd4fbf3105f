"""Writing a file so that a reader finds the old one or the whole new one, never a part."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, EFBIG, EMFILE, ENAMETOOLONG, ENFILE, ENOSPC
from pathlib import Path
from secrets import token_hex
from stat import S_IMODE, S_ISDIR, S_ISREG
from typing import BinaryIO, NamedTuple, cast

PathLike = str | os.PathLike[str]

# parts that this process has begun
_unfinished: set[Path] = set()
REMEDIES = {
    ENOSPC: "free some space, or give another folder",
    EDQUOT: "remove some files, or give another folder",
    EFBIG: "raise the limit on the size of files (ulimit -f), or give another folder",
    EMFILE: "raise the limit on open files (ulimit -n)",
    ENFILE: "close other programs",
    ENAMETOOLONG: "give a shorter name",
}


@contextmanager
def replacing(path: PathLike) -> Iterator[BinaryIO]:
    """A new binary file that takes the place of `path` once the block ends without an error.

    Until then it lies beside `path` under a name of its own; after an error or an interrupt it
    is gone and `path` is as it was. Links are followed. A file that is replaced leaves its
    permissions to the new one, and its owner where that is allowed; its other names (hard links)
    keep the old content. Parts that killed processes left in that folder are removed.

    Raises
    ------
    OSError
        When `path` cannot be written; the message names it and says why.
    """
    with _part_for(path) as part:
        yield part.file
        part.file.flush()
        os.fsync(part.file.fileno())
        part.file.close()
        part.path.replace(part.target)


def check_writable(path: PathLike) -> None:
    """Raise OSError, naming `path` and the reason, when `replacing` could not write it."""
    with _part_for(path):
        pass


def discard_unfinished() -> None:
    """Remove what this process has begun to write, before it ends."""
    for part in list(_unfinished):
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def named_errors(path: PathLike, folder: PathLike | None = None) -> Iterator[None]:
    """Raise each OSError of the block anew: its message names `path`, the reason and a remedy.

    Parameters
    ----------
    path : str or path-like
        What is to be written.
    folder : str or path-like, optional
        Where the error is, if that is not the folder of `path`.
    """
    try:
        yield
    except OSError as error:
        reason = str(error)
        if error.errno is not None:
            remedy = REMEDIES.get(error.errno, "give another folder")
            where = f" in {_folder(path) if folder is None else folder}"
            where = "" if error.errno in (EMFILE, ENFILE) else where
            reason = f"{error.strerror}{where}; {remedy}"
        named = type(error)(f"{path} cannot be written: {reason.removesuffix('.')}.")
        named.errno = error.errno
        raise named from error


class _Part(NamedTuple):
    file: BinaryIO
    path: Path
    target: Path


@contextmanager
def _part_for(path: PathLike) -> Iterator[_Part]:
    """An empty file beside the target, gone at the end unless it was moved."""
    with named_errors(path):
        target, old = _target(path)
        _remove_abandoned(target.parent)
        while True:
            part = target.with_name(f".kmgpu-{token_hex(6)}.part")
            _unfinished.add(part)
            try:
                with _created(part, old) as file:
                    if not _taken(file):  # another process took it for abandoned
                        continue
                    if old is not None:
                        _keep_permissions(part, old)
                    yield _Part(file, part, target)
                    return
            finally:
                with suppress(OSError):
                    part.unlink(missing_ok=True)
                _unfinished.discard(part)


def _target(path: PathLike) -> tuple[Path, os.stat_result | None]:
    """The file itself (not a link to it), and what is there; an error if that must stay."""
    target = Path(os.path.realpath(path))
    try:
        old = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        if target.parent.is_dir():
            return target, None
        msg = f"there is no folder {target.parent}; create it first"
        raise FileNotFoundError(msg) from None
    if S_ISDIR(old.st_mode):
        msg = "it is a folder, not a regular file; give the name of a file"
        raise IsADirectoryError(msg)
    if not S_ISREG(old.st_mode):
        msg = "it is not a regular file; give another name"
        raise OSError(msg)
    try:
        os.close(os.open(target, os.O_WRONLY))
    except PermissionError as error:
        msg = "the file is write-protected; give another name"
        raise PermissionError(msg) from error
    return target, old


def _created(part: Path, old: os.stat_result | None) -> BinaryIO:
    """Create a file; until it has the mode of the one that it replaces, only its owner reads it."""
    mode = 0o666 if old is None else 0o600
    opener = lambda name, flags: os.open(name, flags, mode)  # noqa: E731
    return cast(BinaryIO, open(part, "xb", opener=opener))


def _keep_permissions(part: Path, old: os.stat_result) -> None:
    new = part.stat()
    if sys.platform != "win32" and (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        with suppress(OSError):
            os.chown(part, old.st_uid, old.st_gid)
    if S_IMODE(new.st_mode) != S_IMODE(old.st_mode):
        part.chmod(S_IMODE(old.st_mode))


def _remove_abandoned(folder: Path) -> None:
    """Remove the parts that killed processes left: those that nobody holds locked."""
    with suppress(OSError):
        for part in folder.glob(".kmgpu-*.part"):
            if part not in _unfinished:
                with suppress(OSError):
                    _remove_if_abandoned(part)


if sys.platform == "win32":

    def _taken(file: BinaryIO) -> bool:
        """Return True: nobody removes a file there that is open."""
        del file
        return True

    def _remove_if_abandoned(part: Path) -> None:
        part.unlink()

else:
    from fcntl import LOCK_EX, LOCK_NB, flock

    def _taken(file: BinaryIO) -> bool:
        """Lock a new file; False when another process has locked or removed it already."""
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: nobody removes what he cannot lock
            return True
        return os.fstat(file.fileno()).st_nlink > 0

    def _remove_if_abandoned(part: Path) -> None:
        descriptor = os.open(part, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
            part.unlink()
        finally:
            os.close(descriptor)


def _folder(path: PathLike) -> str:
    try:
        return os.path.dirname(os.path.realpath(path))  # noqa: PTH120
    except OSError:  # the current folder has been removed
        return "the current folder"
