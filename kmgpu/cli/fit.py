"""``kmgpu fit``."""

from __future__ import annotations

import argparse
from time import perf_counter

import numpy as np

from kmgpu.algorithm.lloyd import EMPTY_CLUSTER
from kmgpu.cli.cluster import add_cluster, by_workers, workers
from kmgpu.cli.labels import write_labels
from kmgpu.cli.options import (
    add_data,
    add_init,
    add_loss,
    add_running,
    check_outputs,
    initialisation,
    show_progress,
)
from kmgpu.cli.streams import output, report
from kmgpu.estimators import ESTIMATORS
from kmgpu.io.lazy import open_lazy
from kmgpu.io.models import save_model
from kmgpu.io.opening import open_table
from kmgpu.io.tables import Table, read_weights
from kmgpu.sources.row_blocks import RowBlocks
from kmgpu.summary import fit_summary
from kmgpu.summary import table as summary_table


def add(fit: argparse.ArgumentParser) -> None:
    """The subcommand and its arguments."""
    add_data(fit)
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
    fit.add_argument("--labels", metavar="FILE.npy", help="write the label of every row there")
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
    with workers(args):
        _fit_here(args)


def _fit_here(args: argparse.Namespace) -> None:
    inputs = args.data, args.weights, args.init
    outputs = {"--out": (args.out, ".npz"), "--labels": (args.labels, ".npy")}
    check_outputs({**outputs, "--checkpoint": (args.checkpoint, "")}, inputs)
    table = _opened(args)
    drawn = {"--seed": args.seed, "--n-init": args.n_init}
    estimator = ESTIMATORS[args.loss](
        args.n_clusters,
        init=initialisation(args.init, table.names, drawn),
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
    weights = None if args.weights is None else read_weights(args.weights)
    start = perf_counter()
    estimator.fit(table.data, sample_weight=weights)
    if table.names is not None:
        estimator.feature_names_in_ = np.asarray(table.names, dtype=object)
    summary = fit_summary(estimator, perf_counter() - start)
    estimator.progress = False
    if by_workers(args) and (args.out or args.labels):
        estimator.labels_ = estimator.labels_.compute()
    written = []
    if args.out is not None:
        save_model(estimator, args.out)
        written.append(f"model written to {args.out}\n")
    if args.labels is not None:
        write_labels(args.labels, estimator.labels_)
        written.append(f"labels written to {args.labels}\n")
    known = not isinstance(table.data, RowBlocks)  # which would be read twice more
    clusters = estimator.summary(table.data, weights) if known else estimator.summary()
    said = [summary_table([summary]), "\n\n", repr(clusters), "\n", *written]
    if written:
        report(said)
    else:
        output(said)


def _opened(args: argparse.Namespace) -> Table:
    if not by_workers(args):
        return open_table(args.data, args.array, args.header)
    if args.header is not None:
        msg = f"--header is for text; {args.data} is read by workers of Dask, which read no text."
        raise ValueError(msg)
    return open_lazy(args.data, args.array)


def _samples(text: str) -> int | float:
    return int(text) if text.isdecimal() else float(text)


def _n_init(text: str) -> int | str:
    return text if text == "auto" else int(text)
