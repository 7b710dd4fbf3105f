"""``kmgpu predict``."""

from __future__ import annotations

import argparse
import sys
from time import perf_counter
from typing import Any

import numpy as np

from kmgpu.arrays import resolve
from kmgpu.cli.options import DEVICE_HELP, add_data, check_outputs, write_labels
from kmgpu.data_io import read_data
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
    model = load_model(args.model).set_params(device=args.device)
    data = read_data(args.data, args.array)
    start = perf_counter()
    labels = model.predict(data)
    seconds = perf_counter() - start
    if args.out is None:
        np.savetxt(sys.stdout, labels, fmt="%d")
        return
    print(table([predict_summary(model, data, resolve(args.device, data), seconds)]))
    write_labels(args.out, labels)
