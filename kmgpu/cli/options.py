"""What several commands share: their arguments, and the checks of their outputs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kmgpu.algorithm.seeding import METHODS
from kmgpu.estimators import ESTIMATORS
from kmgpu.files import check_writable
from kmgpu.io.models import is_model, load_model
from kmgpu.io.stores import HDF5
from kmgpu.io.tables import READERS, STDIN, Table, read_table
from kmgpu.sources.row_blocks import RowBlocks

DATA_HELP = (
    f"rows × features: {', '.join((*READERS, *HDF5))}, a folder of .npy, .csv, .parquet or "
    f"vector files, a zarr folder; {STDIN}: text on stdin. What is larger than memory is read by "
    f"blocks"
)
DEVICE_HELP = "cpu, cuda, cuda:N, or auto: a GPU if one is usable (default: auto)"


def add_data(command: argparse.ArgumentParser) -> None:
    """DATA, a table, and how to read it."""
    command.add_argument("data", metavar="DATA", help=DATA_HELP)
    add_reading(command)


def add_reading(command: argparse.ArgumentParser) -> None:
    """``--array`` and ``--header``."""
    command.add_argument(
        "--array", metavar="NAME", help="which array of DATA: of .npz, zarr or HDF5"
    )
    command.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="the first line of a text file DATA holds names (default: if no number is in it)",
    )


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
        help="l2: k-means (default); l1: k-medians; cosine: spherical k-means",
    )


def add_init(command: argparse.ArgumentParser) -> None:
    """``--init``."""
    command.add_argument(
        "--init",
        metavar="INIT",
        default=METHODS[0],
        help=f"{', '.join(METHODS)}, a file of K centres, or a model that kmgpu fit --out wrote "
        f"(default: {METHODS[0]})",
    )


def initialisation(
    text: str, names: Sequence[str] | None, drawn: dict[str, object]
) -> str | np.ndarray:
    """What ``--init`` names: a method, or the centres in a file, in the order of the data.

    Parameters
    ----------
    text : str
    names : sequence of str or None
        Of the columns of the data.
    drawn : dict
        Options that have no effect where nothing is drawn, and what was given for them.
    """
    if text in METHODS:
        return text
    if not Path(text).exists():
        msg = f"--init {text} is neither one of {', '.join(METHODS)} nor a file of centres."
        raise ValueError(msg)
    for option, value in drawn.items():
        if value is not None:
            msg = f"{option} has no effect with --init {text}, as nothing is drawn; leave it out."
            raise ValueError(msg)
    table = centers_of(text) if is_model(text) else read_table(text)
    return table.data if names is None else in_order(table, names, text)


def centers_of(path: str) -> Table:
    """The centres of a model, and the names of its features."""
    model = load_model(path)
    names = getattr(model, "feature_names_in_", None)
    return Table(model.cluster_centers_, None if names is None else tuple(names))


def in_order(table: Table, names: Sequence[str], path: str) -> Any:
    """The columns of `table` in the order of `names`; as they are where they have none.

    Raises
    ------
    ValueError
        When the names are others.
    """
    if table.names is None or list(table.names) == list(names):
        return table.data
    known, found = set(names), set(table.names)
    if known != found or len(found) < len(table.names) or len(known) < len(names):
        shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        unlike = [name for name in table.names if name not in known]
        missing = [name for name in names if name not in found]
        faults = [f"{name!r} is unknown" for name in unlike[:3]]
        faults += [f"{name!r} is missing" for name in missing[:3]]
        msg = (
            f"{path}: the names of the columns must be those of the data fitted ({shown}), each "
            f"once: {', '.join(faults) or 'some occur more than once'}."
        )
        raise ValueError(msg)
    order = [table.names.index(name) for name in names]
    data = table.data
    if not isinstance(data, RowBlocks):
        return data[:, order]
    return RowBlocks(lambda: (rows[:, order] for rows in data.blocks()), n_samples=data.n_samples)


def check_outputs(outputs: dict[str, tuple[str | None, str]], inputs: Sequence[str | None]) -> None:
    """Raise before any work is done for outputs that cannot be written or would harm a file.

    Parameters
    ----------
    outputs : dict
        Option -> the file given for it, and what the file's name must end in, if anything.
    inputs : sequence of str or None
    """
    taken: dict[str, str] = {}
    read = {os.path.realpath(name) for name in inputs if name is not None}
    for option, (name, suffix) in outputs.items():
        if name is None:
            continue
        if suffix and Path(name).suffix.lower() != suffix:
            msg = f"{name} cannot be written: its name must end in {suffix}."
            raise ValueError(msg)
        check_writable(name)
        file = os.path.realpath(name)
        if file in read:
            msg = f"{name} is an input and would be overwritten; give another name."
            raise ValueError(msg)
        if file in taken:
            msg = f"{name} is both {taken[file]} and {option}; give them two names."
            raise ValueError(msg)
        taken[file] = option


def show_progress(args: argparse.Namespace) -> bool:
    """Whether progress bars are wanted: on a terminal, unless told otherwise."""
    return not args.no_progress and sys.stderr.isatty()
