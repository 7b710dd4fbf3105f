"""``kmgpu predict``."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np

from kmgpu.algorithm.assignment import nearest
from kmgpu.backend.arrays import asarray, to_host
from kmgpu.backend.blocks import working_at
from kmgpu.backend.cards import Work
from kmgpu.backend.devices import resolve
from kmgpu.base import AlternatingMinimizer
from kmgpu.cli.labels import ENDINGS, LABELS_HELP, is_alone, labels_file, write_labels
from kmgpu.cli.options import add_data, add_running, check_outputs, show_progress
from kmgpu.cli.standardize import standardized
from kmgpu.cli.streams import output, report
from kmgpu.io.columns import as_fitted
from kmgpu.io.labelled import check_labelled
from kmgpu.io.models import load_model
from kmgpu.io.opening import open_table
from kmgpu.io.scaling import parts
from kmgpu.sources.arrays import ArrayBlocks
from kmgpu.sources.base import Block
from kmgpu.sources.row_blocks import RowBlocks
from kmgpu.sources.stream import Stream
from kmgpu.streaming.door import like, of_the_loss
from kmgpu.summary import predict_summary, table
from kmgpu.validation import check_finite

AT_A_TIME = 1 << 14


def add(predict: argparse.ArgumentParser) -> None:
    """The subcommand and its arguments."""
    predict.add_argument("model", metavar="MODEL", help="an .npz that kmgpu fit --out wrote")
    add_data(predict)
    predict.add_argument(
        "--out", metavar="FILE", help=f"{LABELS_HELP} (default: labels, one a line on stdout)"
    )
    add_running(predict)
    predict.set_defaults(run=_predict)


def _predict(args: argparse.Namespace) -> None:
    check_outputs({"--out": (args.out, ENDINGS)}, (args.model, args.data))
    if args.out is not None:
        check_labelled(args.out, args.data)
    whole = load_model(args.model)
    scaler, model = parts(whole)
    data = _matched(args, whole, model)
    blocks = data if isinstance(data, RowBlocks) else ArrayBlocks(data)
    # one row of ones meets all checks of widths and names
    model.set_params(device="cpu")
    whole.predict(np.ones((1, blocks.n_features), blocks.dtype))
    if scaler is not None:
        data = standardized(data, scaler)
        blocks = data if isinstance(data, RowBlocks) else ArrayBlocks(data)
    blocks = of_the_loss(blocks, model.loss)
    work = Work(model.cluster_centers_.shape[0], model.loss.squared)
    place = resolve(args.device, like(blocks), work)
    source = Stream(blocks, place)
    start = perf_counter()
    if args.out is not None and is_alone(args.out):
        with labels_file(args.out) as write:
            _label(source, model, write, blocks.n_samples, show_progress(args))
        said = f"labels written to {args.out}\n"
    else:
        labels: list[np.ndarray] = []
        _label(source, model, labels.append, blocks.n_samples, show_progress(args))
        if args.out is None:
            output(_lines(np.concatenate(labels)))
            return
        said = write_labels(args.out, np.concatenate(labels), args)
    summary = predict_summary(
        model, (source.n_samples, source.n_features), place, perf_counter() - start
    )
    report([table([summary]), "\n", said])


def _label(
    source: Stream,
    model: AlternatingMinimizer,
    write: Callable[[np.ndarray], None],
    n_samples: int | None,
    progress: bool,
) -> None:
    """Give the labels of all rows, whose number may be unknown, to `write`, block by block."""
    from tqdm import tqdm

    place, loss = source.place, model.loss
    centers = asarray(model.cluster_centers_, place, place.xp.float64)

    def label(block: Block) -> None:
        with working_at(place, block.rows, model.n_clusters):
            check_finite(block.rows, "X", block.start)
            found = to_host(nearest(block.rows, centers, loss))
        write(found)
        bar.update(len(found))

    with tqdm(total=n_samples, unit="row", unit_scale=True, disable=not progress) as bar:
        source.map(label)


def _lines(labels: np.ndarray) -> Iterator[str]:
    """The labels, one a line, some thousands at a time."""
    for start in range(0, len(labels), AT_A_TIME):
        yield "".join(f"{label}\n" for label in labels[start : start + AT_A_TIME].tolist())


def _matched(args: argparse.Namespace, whole: Any, model: AlternatingMinimizer) -> Any:
    """The columns that the model was fitted to, names checked as estimators check frames."""
    found = getattr(whole, "feature_names_in_", None)
    names = None if found is None else tuple(found)
    choose = as_fitted(args.data, names, getattr(model, "_columns", None))
    table = open_table(args.data, args.array, args.header, choose)
    if (names is None) != (table.names is None):
        named, other = (args.data, "the model was fitted without")
        if table.names is None:
            named, other = "the model", f"{args.data} has none"
        warnings.warn(
            f"{named} has names of columns, but {other}; nothing says that they are in the same "
            f"order.",
            stacklevel=1,
        )
    if names is not None:
        estimator = whole if whole is model else whole[0]
        del estimator.feature_names_in_  # they are checked here; an array has none
    return table.data
