"""The command line: ``kmgpu fit | predict | animate | quantize | info | demo``, a file each."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import NoReturn, TextIO

from kmgpu.cli import animate, demo, fit, info, predict, quantize
from kmgpu.devices import Unavailable

INTERNAL = 1
BAD_INPUT = 2
INTERRUPTED = 130
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
        The exit code: 0; 2 for input that cannot be used, with one line on stderr that says why;
        130 when interrupted; 1 for an error of kmgpu's own, with its traceback.
    """
    try:
        args = _parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.simplefilter("always", RuntimeWarning)
            warnings.showwarning = _show_warning
            args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read the labels has seen enough; the flush at exit must not fail either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("kmgpu: interrupted; unfinished output was discarded", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, Unavailable, ImportError, MemoryError) as error:
        print(f"kmgpu: error: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    except Exception:
        traceback.print_exc()
        return INTERNAL
    return 0


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


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="kmgpu", description="k-means and k-medians on CPUs and GPUs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
