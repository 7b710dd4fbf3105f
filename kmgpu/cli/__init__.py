"""The command line: ``kmgpu fit | predict | animate | …``, a file each.

The file of a command is imported when that command is given: ``kmgpu --help`` needs none of them.
"""

from __future__ import annotations

import argparse
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn, TextIO

from kmgpu.cli.interrupts import Interrupts
from kmgpu.cli.streams import harmless_stderr, output
from kmgpu.version import __version__

INTERNAL = 1
BAD_INPUT = 2
COMMANDS = {
    "fit": "cluster the rows of a table",
    "predict": "the nearest centre of every row",
    "animate": "watch the algorithm, half-step by half-step",
    "quantize": "reduce a picture to k colours",
    "info": "versions, and which backends are usable",
    "demo": "the 16 colours of a photograph, with both losses",
    "warmup": "compile the usual kernels before they are needed",
}


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
    given = sys.argv[1:] if argv is None else list(argv)
    interrupts = Interrupts()
    with harmless_stderr():
        try:
            parser = _parser(given)  # imports, which Ctrl-C may end at once
            with interrupts, warnings.catch_warnings():
                args = parser.parse_args(given)
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
    from kmgpu.backend.devices import Unavailable

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


class _Version(argparse.Action):
    """argparse's own would not notice that standard output cannot be written."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> NoReturn:
        del rest
        output([f"kmgpu {__version__}\n"])
        parser.exit()


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of all commands; only the one that is given has its arguments."""
    parser = _Parser(prog="kmgpu", description="k-means and k-medians on CPUs and GPUs.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose)
        if name in given:
            import_module(f"kmgpu.cli.{name}").add(command)
    return parser
