"""The command line: ``kmgpu fit | predict | animate | quantize | info | demo``, a file each."""

from __future__ import annotations

import argparse
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn, TextIO

from kmgpu.backend.devices import Unavailable
from kmgpu.cli import animate, demo, fit, info, predict, quantize
from kmgpu.cli.interrupts import Interrupts
from kmgpu.cli.streams import harmless_stderr, output

INTERNAL = 1
BAD_INPUT = 2
COMMANDS = (fit, predict, animate, quantize, info, demo)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        The exit code: 0; 2 for input that cannot be used or output that cannot be written, with
        one line on stderr that says why; 128 and its number (130 for Ctrl-C) after a signal that
        ends processes, when no unfinished file is left; 1 for an error of kmgpu's own, with its
        traceback.
    """
    interrupts = Interrupts()
    with harmless_stderr():
        try:
            with interrupts, warnings.catch_warnings():
                args = _parser().parse_args(argv)
                warnings.simplefilter("always", UserWarning)
                warnings.simplefilter("always", RuntimeWarning)
                warnings.showwarning = _show_warning
                args.run(args)
        except (Exception, KeyboardInterrupt) as error:
            # code that was interrupted may have made another error of it
            if interrupts.number is None and isinstance(error, Exception):
                return _explain(error)
            print("kmgpu: interrupted; unfinished output was discarded", file=sys.stderr)
            return interrupts.exit_code
    return 0


def _explain(error: Exception) -> int:
    if isinstance(error, (ValueError, OSError, Unavailable, ImportError, MemoryError)):
        print(f"kmgpu: error: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    traceback.print_exception(error)
    return INTERNAL


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """What `warnings.showwarning` is replaced by: the message alone."""
    del category, filename, lineno, file, line
    print(f"kmgpu: warning: {' '.join(str(message).split())}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """argparse, its errors left to `main`, which prints one line."""

    def error(self, message: str) -> NoReturn:
        msg = f"{message} (see {self.prog} --help)"
        raise ValueError(msg)

    def print_help(self, file: Any = None) -> None:
        del file
        output([self.format_help()])


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="kmgpu", description="k-means and k-medians on CPUs and GPUs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
