"""``kmgpu predict``."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from time import perf_counter
from typing import Any

import numpy as np

from kmgpu.backend.cards import Work
from kmgpu.backend.devices import device_name, resolve
from kmgpu.base import AlternatingMinimizer
from kmgpu.cli.options import DEVICE_HELP, add_data, check_outputs, in_order, write_labels
from kmgpu.cli.streams import output, report
from kmgpu.io.models import load_model
from kmgpu.io.tables import Table, read_table
from kmgpu.summary import predict_summary, table

AT_A_TIME = 1 << 14


def add(commands: Any) -> None:
    """The subcommand and its arguments."""
    predict = commands.add_parser("predict", help="the nearest centre of every row")
    predict.add_argument("model", metavar="MODEL", help="an .npz that kmgpu fit --out wrote")
    add_data(predict)
    predict.add_argument(
        "--out", metavar="FILE.npy", help="write the labels there (default: one a line on stdout)"
    )
    predict.add_argument("--device", default="auto", help=DEVICE_HELP)
    predict.set_defaults(run=_predict)


def _predict(args: argparse.Namespace) -> None:
    check_outputs({"--out": (args.out, ".npy")}, (args.model, args.data))
    model = load_model(args.model)
    data = _matched(read_table(args.data, args.array, args.header), model, args.data)
    work = Work(model.cluster_centers_.shape[0], model.loss.squared)
    place = resolve(args.device, data, work)
    model.set_params(device=device_name(place))
    start = perf_counter()
    labels = model.predict(data)
    seconds = perf_counter() - start
    if args.out is None:
        output(_lines(labels))
        return
    summary = predict_summary(model, data, place, seconds)
    write_labels(args.out, labels)
    report([table([summary]), f"\nlabels written to {args.out}\n"])


def _lines(labels: np.ndarray) -> Iterator[str]:
    """The labels, one a line, some thousands at a time."""
    for start in range(0, len(labels), AT_A_TIME):
        yield "".join(f"{label}\n" for label in labels[start : start + AT_A_TIME].tolist())


def _matched(table: Table, model: AlternatingMinimizer, path: str) -> np.ndarray:
    """The data in the order of the model's features, names checked as estimators check frames."""
    names = getattr(model, "feature_names_in_", None)
    if table.names is None:
        return table.data
    if names is None:
        warnings.warn(
            f"{path} has names of columns, but the model was fitted without; nothing says that "
            f"they are in the same order.",
            stacklevel=1,
        )
        return table.data
    data = in_order(table, list(names), path)
    del model.feature_names_in_  # they are checked; an array has none
    return data
