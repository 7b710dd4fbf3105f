"""What several commands share: their arguments, and the checks of their outputs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kmgpu.data_io import read_data
from kmgpu.estimators import ESTIMATORS
from kmgpu.files import check_writable, replacing
from kmgpu.seeding import METHODS

DATA_HELP = "rows × features: .npy (memory-mapped), .npz, .csv or .parquet"
DEVICE_HELP = "cpu, cuda, cuda:N, or auto: a GPU if one is usable (default: auto)"


def add_data(command: argparse.ArgumentParser) -> None:
    """DATA, a table, and ``--array``."""
    command.add_argument("data", metavar="DATA", help=DATA_HELP)
    command.add_argument("--array", metavar="NAME", help="which array of an .npz file DATA")


def add_running(command: argparse.ArgumentParser) -> None:
    """``--device`` and ``--no-progress``."""
    command.add_argument("--device", default="auto", help=DEVICE_HELP)
    command.add_argument("--no-progress", action="store_true", help="show no progress bar")


def add_loss(command: argparse.ArgumentParser) -> None:
    """``--loss``."""
    command.add_argument(
        "--loss",
        choices=tuple(ESTIMATORS),
        default="l2",
        help="l2: k-means (default); l1: k-medians",
    )


def add_init(command: argparse.ArgumentParser) -> None:
    """``--init``."""
    command.add_argument(
        "--init",
        metavar="INIT",
        default=METHODS[0],
        help=f"{', '.join(METHODS)}, or a file of K centres (default: {METHODS[0]})",
    )


def initialisation(text: str) -> str | np.ndarray:
    """What ``--init`` names: a method, or the centres in a file."""
    if text in METHODS:
        return text
    if not Path(text).exists():
        msg = f"--init {text} is neither one of {', '.join(METHODS)} nor a file of centres."
        raise ValueError(msg)
    return read_data(text)


def check_outputs(outputs: dict[str, str | None], inputs: Sequence[str | None]) -> None:
    """Raise before any work is done for outputs that cannot be written or would harm an input."""
    read = {Path(name).resolve() for name in inputs if name is not None}
    for suffix, name in outputs.items():
        if name is None:
            continue
        if Path(name).suffix.lower() != suffix:
            msg = f"{name} cannot be written: its name must end in {suffix}."
            raise ValueError(msg)
        if Path(name).resolve() in read:
            msg = f"{name} is an input and would be overwritten; give another name."
            raise ValueError(msg)
        check_writable(name)


def write_labels(path: str, labels: np.ndarray) -> None:
    """Write the labels to `path`, an .npy file, whole or not at all."""
    with replacing(path) as file:
        np.save(file, labels, allow_pickle=False)
    print(f"labels written to {path}")


def show_progress(args: argparse.Namespace) -> bool:
    """Whether progress bars are wanted: on a terminal, unless told otherwise."""
    return not args.no_progress and sys.stderr.isatty()
