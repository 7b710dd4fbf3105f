"""``kmgpu info``."""

from __future__ import annotations

import argparse

from kmgpu.cli.streams import output
from kmgpu.info import info as text


def add(info: argparse.ArgumentParser) -> None:
    """The subcommand and its arguments."""
    info.set_defaults(run=_info)


def _info(args: argparse.Namespace) -> None:
    del args
    output([text(), "\n"])
