"""``kmgpu fit``."""

from __future__ import annotations

import argparse
from time import perf_counter
from typing import Any

import numpy as np

from kmgpu.algorithm.lloyd import EMPTY_CLUSTER
from kmgpu.base import AlternatingMinimizer
from kmgpu.cli.centers import centers_text, clusters_text
from kmgpu.cli.cluster import add_cluster, by_workers, workers
from kmgpu.cli.labels import ENDINGS, LABELS_HELP, write_labels
from kmgpu.cli.options import (
    add_columns,
    add_data,
    add_init,
    add_loss,
    add_running,
    centers_of,
    check_outputs,
    choice_of,
    initialisation,
    show_progress,
)
from kmgpu.cli.standardize import fitted_scaler, standardized
from kmgpu.cli.streams import output, report
from kmgpu.estimators import ESTIMATORS
from kmgpu.io.labelled import check_labelled
from kmgpu.io.lazy import open_lazy
from kmgpu.io.models import save_model
from kmgpu.io.opening import open_table
from kmgpu.io.scaling import parts, with_scaling
from kmgpu.io.tables import Table, read_weights
from kmgpu.sources.row_blocks import RowBlocks
from kmgpu.summary import fit_summary
from kmgpu.summary import table as summary_table


def add(fit: argparse.ArgumentParser) -> None:
    """The subcommand and its arguments."""
    add_data(fit)
    add_columns(fit)
    fit.add_argument(
        "--standardize",
        action="store_true",
        help="subtract the mean of each column and divide by its standard deviation; the model "
        "keeps both, and centres are in the units of DATA",
    )
    fit.add_argument("-k", "--n-clusters", metavar="K", type=int, required=True)
    add_loss(fit)
    add_init(fit)
    fit.add_argument(
        "--n-init", metavar="N", type=_n_init, help="restarts, or auto (default: auto)"
    )
    fit.add_argument("--max-iter", metavar="N", type=int, default=300, help="(default: 300)")
    fit.add_argument(
        "--tol",
        metavar="T",
        type=float,
        default=1e-4,
        help="as in KMeans, KMedians (default: 1e-4)",
    )
    fit.add_argument("--seed", metavar="N", type=int, help="the same seed, the same result")
    fit.add_argument("--empty-cluster", choices=EMPTY_CLUSTER, default=EMPTY_CLUSTER[0])
    fit.add_argument("--weights", metavar="FILE", help="one non-negative number a row")
    fit.add_argument("--out", metavar="FILE.npz", help="write the fitted model there")
    fit.add_argument("--labels", metavar="FILE", help=LABELS_HELP)
    fit.add_argument(
        "--max-samples",
        metavar="N",
        type=_samples,
        help="fit so many rows, or with a point such a share (0.1), and label all",
    )
    fit.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="keep the state there every few iterations; where it is there, go on from it",
    )
    add_running(fit)
    add_cluster(fit)
    fit.set_defaults(run=_fit)


def _fit(args: argparse.Namespace) -> None:
    if args.standardize and by_workers(args):
        msg = (
            "--standardize reads the data here, and --cluster and --workers leave them to workers "
            "of Dask; leave these out (what is larger than memory is read by blocks), or write "
            "standardized columns first."
        )
        raise ValueError(msg)
    with workers(args):
        _fit_here(args)


def _fit_here(args: argparse.Namespace) -> None:
    inputs = args.data, args.weights, args.init
    outputs = {
        "--out": (args.out, (".npz",)),
        "--labels": (args.labels, ENDINGS),
        "--checkpoint": (args.checkpoint, ()),
    }
    check_outputs(outputs, inputs)
    if args.labels is not None:
        check_labelled(args.labels, args.data)
    table = _opened(args)
    weights = None if args.weights is None else read_weights(args.weights)
    init = initialisation(args.init, table, {"--seed": args.seed, "--n-init": args.n_init})
    data, scaler = table.data, None
    if args.standardize:
        scaler = fitted_scaler(table, weights)
        data = standardized(data, scaler)
        init = init if isinstance(init, str) else scaler.transform(init)
    estimator = _estimator(args, init)
    start = perf_counter()
    estimator.fit(data, sample_weight=weights)
    summary = fit_summary(estimator, perf_counter() - start)
    estimator.progress = False
    model = _model(estimator, table, scaler)
    if by_workers(args) and args.labels:
        estimator.labels_ = estimator.labels_.compute()
    written = []
    if args.out is not None:
        save_model(model, args.out)
        written.append(f"model written to {args.out}\n")
    if args.labels is not None:
        written.append(write_labels(args.labels, estimator.labels_, args))
    said = _described(model, table, data, weights, summary)
    if written:
        report([*said, "\n", *written])
    else:
        output(said)


def _described(
    model: Any, table: Table, data: Any, weights: np.ndarray | None, summary: dict[str, str]
) -> list[str]:
    """What is printed of a fit, its clusters and its centres."""
    scaler, estimator = parts(model)
    if table.names is not None:
        del (estimator if scaler is None else scaler).feature_names_in_  # an array has none
    known = not isinstance(data, RowBlocks)  # which would be read twice more
    clusters = estimator.summary(data, weights) if known else estimator.summary()
    if scaler is not None:
        units = estimator.loss.units.replace("the data", "standardized columns")
        summary |= {"loss": f"{estimator.loss.name}, {units}", "standardized": "yes"}
    centers = centers_text(centers_of(model).data, table, scaler)
    return [summary_table([summary]), "\n\n", clusters_text(clusters), "\n", centers]


def _estimator(args: argparse.Namespace, init: str | np.ndarray) -> AlternatingMinimizer:
    return ESTIMATORS[args.loss](
        args.n_clusters,
        init=init,
        n_init="auto" if args.n_init is None else args.n_init,
        max_iter=args.max_iter,
        tol=args.tol,
        random_state=args.seed,
        empty_cluster=args.empty_cluster,
        device=args.device,
        progress=show_progress(args),
        max_samples=args.max_samples,
        checkpoint=args.checkpoint,
    )


def _model(estimator: AlternatingMinimizer, table: Table, scaler: Any) -> Any:
    """What is saved: with the scaler, the names of the columns, and which of the file they are."""
    if table.names is not None:
        named = estimator if scaler is None else scaler
        named.feature_names_in_ = np.asarray(table.names, dtype=object)
    if table.columns is not None:
        estimator._columns = table.columns
    return estimator if scaler is None else with_scaling(scaler, estimator)


def _opened(args: argparse.Namespace) -> Table:
    choose = choice_of(args)
    if not by_workers(args):
        return open_table(args.data, args.array, args.header, choose)
    if args.header is not None:
        msg = f"--header is for text; {args.data} is read by workers of Dask, which read no text."
        raise ValueError(msg)
    return open_lazy(args.data, args.array, choose)


def _samples(text: str) -> int | float:
    return int(text) if text.isdecimal() else float(text)


def _n_init(text: str) -> int | str:
    return text if text == "auto" else int(text)
