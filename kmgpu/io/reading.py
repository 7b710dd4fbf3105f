"""Errors of reading: one line with the file, the reason and the remedy."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

LONGEST = 200
NO_MEMORY = (
    "it needs more memory than is free; free some, or raise the limit (ulimit -v); where the file "
    "should be small, it is damaged: take another copy"
)
# of errors that say nothing of what a file holds
REMEDIES = {
    errno.EACCES: "let it be read (chmod +r)",
    errno.EPERM: "let it be read (chmod +r)",
    errno.EMFILE: "close some files, or raise the limit (ulimit -n)",
    errno.ENFILE: "close some files, or let the system have more (sysctl fs.file-max)",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "give the file that the link should point to",
    errno.ENOTDIR: "give the path of a file",
    errno.EISDIR: "give the path of a file",
}
OF_THE_SYSTEM = "look after the disk or the network, and try again"


class BadFile(ValueError):
    """What a file holds cannot be used; the text is the line to show."""


@contextmanager
def reading(
    path: str | os.PathLike[str], cannot: str = "cannot be read", remedy: str = "take another copy"
) -> Iterator[None]:
    """Errors of the block as one line: ``{path} {cannot}: what was found; {remedy}.``

    A reader of a damaged file may raise anything, so every `Exception` is taken for damage but
    those that say that the system fails.

    Raises
    ------
    BadFile, ImportError
    MemoryError, OSError
        The file may be as it should be: there is too little memory, or the system cannot read it.
    """
    try:
        yield
    except (BadFile, ImportError):
        raise
    except FileNotFoundError as error:
        msg = f"{path}: there is no such file."
        raise FileNotFoundError(msg) from error
    except Exception as error:
        number = getattr(error, "errno", None)
        if isinstance(error, MemoryError) or number == errno.ENOMEM:
            msg = f"{path} cannot be read: {NO_MEMORY}."
            raise MemoryError(msg) from error
        # seeking where a damaged file sends one is an invalid argument
        if isinstance(error, OSError) and number not in (None, errno.EINVAL):
            why = REMEDIES.get(number, OF_THE_SYSTEM)
            msg = f"{path} cannot be read: {os.strerror(number)}; {why}."
            raise type(error)(msg) from error
        msg = f"{path} {cannot}: {told(error)}; {remedy}."
        raise BadFile(msg) from error


@contextmanager
def opened(
    path: str | os.PathLike[str], cannot: str = "cannot be read", remedy: str = "take another copy"
) -> Iterator[BinaryIO]:
    """The regular file at `path`, open to be read; errors of the block are those of `reading`."""
    place = Path(path)
    with reading(path, cannot, remedy):
        if not S_ISREG(place.stat().st_mode):
            msg = "it is not a regular file"
            raise ValueError(msg)
        with place.open("rb") as file:
            yield file


def told(error: Exception) -> str:
    """What an error says, as part of a line."""
    text = shortened(str(error)).rstrip(".")
    if isinstance(error, KeyError) or not text:
        return f"{type(error).__name__} {text}".rstrip()
    return text


def shortened(text: str) -> str:
    """A text from a file or a library, on one line and not too long."""
    line = " ".join(text[: 4 * LONGEST].split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
