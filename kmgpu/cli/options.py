"""What several commands share: their arguments, and the checks of their outputs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kmgpu.algorithm.seeding import METHODS
from kmgpu.estimators import ESTIMATORS
from kmgpu.files import check_writable
from kmgpu.io.columns import Choice, Picked, all_but, as_fitted, only
from kmgpu.io.models import is_model, load_model
from kmgpu.io.opening import with_columns
from kmgpu.io.scaling import parts
from kmgpu.io.stores import HDF5
from kmgpu.io.tables import READERS, STDIN, Table, read_table
from kmgpu.summary import NAMES

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


def add_columns(command: argparse.ArgumentParser) -> None:
    """``--columns`` and ``--drop``."""
    group = command.add_mutually_exclusive_group()
    group.add_argument(
        "--columns",
        metavar="A,B,…",
        help="use these columns alone: names, or numbers from 0 on; others may hold anything",
    )
    group.add_argument("--drop", metavar="A,B,…", help="use all columns but these")


def choice_of(args: argparse.Namespace) -> Choice | None:
    """What ``--columns`` or ``--drop`` chooses, if one is given."""
    if args.columns is not None:
        return only(args.data, "--columns", args.columns)
    return None if args.drop is None else all_but(args.data, "--drop", args.drop)


def add_running(command: argparse.ArgumentParser) -> None:
    """``--device`` and ``--no-progress``."""
    command.add_argument("--device", default="auto", help=DEVICE_HELP)
    command.add_argument("--no-progress", action="store_true", help="show no progress bar")


def add_loss(command: argparse.ArgumentParser, losses: Sequence[str] = tuple(ESTIMATORS)) -> None:
    """``--loss``."""
    command.add_argument(
        "--loss",
        choices=losses,
        default="l2",
        help="; ".join(f"{loss}: {NAMES[loss]}" for loss in losses).replace(";", " (default);", 1),
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


def initialisation(text: str, table: Table, drawn: dict[str, object]) -> str | np.ndarray:
    """What ``--init`` names: a method, or the centres in a file, in the order of the data.

    Parameters
    ----------
    text : str
    table : Table
        The data; of files of centres its columns are read.
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
    choose = as_fitted(text, table.names, table.columns)
    if is_model(text):
        model = load_model(text)
        centers, held = centers_of(model), getattr(parts(model)[1], "_columns", None)
        if centers.names is None and held is not None and table.columns is not None:
            return _in_order(text, centers.data, held, table.columns)
        return with_columns(centers, choose).data
    found = read_table(text, choose=choose)
    return found.data if found.columns is not None else with_columns(found, choose).data


def _in_order(text: str, centers: np.ndarray, held: Picked, wanted: Picked) -> np.ndarray:
    """Centres of these columns, which have no names, in the order of those of the data."""
    if held.width != wanted.width or set(held.positions) != set(wanted.positions):
        fitted = ",".join(map(str, held.positions))
        msg = (
            f"--init {text} was fitted to other columns than these; choose its own ones, "
            f"--columns {fitted} of {held.width}."
        )
        raise ValueError(msg)
    return centers[:, [held.positions.index(at) for at in wanted.positions]]


def centers_of(model: Any) -> Table:
    """The centres of a model, in the units of its data, and the names of its features."""
    scaler, estimator = parts(model)
    centers = estimator.cluster_centers_
    names = getattr(model, "feature_names_in_", None)
    return Table(
        centers if scaler is None else scaler.inverse_transform(centers),
        None if names is None else tuple(names),
    )


def check_outputs(
    outputs: Mapping[str, tuple[str | None, tuple[str, ...]]], inputs: Sequence[str | None]
) -> None:
    """Raise before any work is done for outputs that cannot be written or would harm a file.

    Parameters
    ----------
    outputs : mapping
        Option -> the file given for it, and what the file's name may end in; anything if that is
        empty.
    inputs : sequence of str or None
    """
    taken: dict[str, str] = {}
    read = {os.path.realpath(name) for name in inputs if name is not None}
    for option, (name, endings) in outputs.items():
        if name is None:
            continue
        if endings and Path(name).suffix.lower() not in endings:
            one = f"{'one of ' if len(endings) > 1 else ''}{', '.join(endings)}"
            msg = f"{name} cannot be written: its name must end in {one}."
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
