"""Standard streams that are closed, full or ASCII only: no result is lost because of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from errno import EBADF
from typing import Any, TextIO, cast


def output(texts: Iterable[str]) -> None:
    """Print what a command is for, and see that it is written.

    A reader that has closed its end of a pipe has seen enough: what is left is dropped.

    Raises
    ------
    OSError
        When standard output cannot be written; the message names it and says why.
    """
    stream = sys.stdout
    try:
        if stream is None:
            raise OSError(EBADF, "it is closed")
        for text in texts:
            stream.write(_in_its_characters(text, stream))
        stream.flush()
    except BrokenPipeError:
        _give_up(stream)
    except OSError as error:
        _give_up(stream)
        msg = f"standard output cannot be written: {error.strerror}."
        raise OSError(msg) from error


def report(texts: Iterable[str]) -> None:
    """Print what is said of files that are written; where standard output is closed, nothing."""
    if sys.stdout is None:
        return
    try:
        output(texts)
    except OSError as error:
        msg = f"{error} All files are written."
        raise OSError(msg) from error


@contextmanager
def harmless_stderr() -> Iterator[None]:
    """While it is open, messages that standard error cannot take are dropped; nothing fails."""
    stream = _Harmless(sys.stderr)
    with redirect_stderr(cast(TextIO, stream)):
        try:
            yield
        finally:
            stream.flush()


class _Harmless:
    """A text stream that drops what it cannot write: messages are not results."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            if self._stream is not None:
                self._stream.write(_in_its_characters(text, self._stream))
        except OSError:
            _give_up(self._stream)
        return len(text)

    def flush(self) -> None:
        try:
            if self._stream is not None:
                self._stream.flush()
        except OSError:
            _give_up(self._stream)

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _in_its_characters(text: str, stream: TextIO) -> str:
    """The text, with escapes for characters that the encoding of the stream lacks."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding, getattr(stream, "errors", None) or "strict")
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def _give_up(stream: TextIO | None) -> None:
    """Drop what is buffered; Python would try to write it at exit and fail."""
    with suppress(OSError, AttributeError):
        descriptor = cast(TextIO, stream).fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, descriptor)
        os.close(nowhere)
