"""``kmgpu info``."""

from __future__ import annotations

import argparse
from typing import Any

from kmgpu.cli.streams import output


def add(commands: Any) -> None:
    """The subcommand and its arguments."""
    info = commands.add_parser("info", help="versions, and which backends are usable")
    info.set_defaults(run=_info)


def _info(args: argparse.Namespace) -> None:
    del args
    from kmgpu.info import info

    output([info(), "\n"])
