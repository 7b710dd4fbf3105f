"""``kmgpu predict``."""

from __future__ import annotations

import argparse
import sys
from time import perf_counter
from typing import Any

import numpy as np

from kmgpu.cli.options import DEVICE_HELP, add_data, check_outputs, write_labels
from kmgpu.data_io import read_data
from kmgpu.devices import device_name, resolve
from kmgpu.model_io import load_model
from kmgpu.summary import predict_summary, table


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
    check_outputs({".npy": args.out}, (args.model, args.data))
    model = load_model(args.model)
    data = read_data(args.data, args.array)
    place = resolve(args.device, data)
    model.set_params(device=device_name(place))
    start = perf_counter()
    labels = model.predict(data)
    seconds = perf_counter() - start
    if args.out is None:
        np.savetxt(sys.stdout, labels, fmt="%d")
        return
    print(table([predict_summary(model, data, place, seconds)]))
    write_labels(args.out, labels)
