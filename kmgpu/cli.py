"""The command line: ``kmgpu fit | predict | info | demo``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn, TextIO

import numpy as np

from kmgpu.arrays import resolve
from kmgpu.base import AlternatingMinimizer
from kmgpu.data_io import read_data, read_weights
from kmgpu.estimators import KMeans, KMedians
from kmgpu.files import check_writable, replacing
from kmgpu.lloyd import EMPTY_CLUSTER
from kmgpu.model_io import load_model, save_model
from kmgpu.seeding import METHODS
from kmgpu.summary import fit_summary, predict_summary, table

ESTIMATORS: dict[str, type[AlternatingMinimizer]] = {"l2": KMeans, "l1": KMedians}
BAD_INPUT = 2
INTERRUPTED = 130
DEMO_PICTURE = "kmgpu-demo.png"
DATA_HELP = "rows × features: .npy (memory-mapped), .npz, .csv or .parquet"
DEVICE_HELP = "cpu, cuda, cuda:N, or auto: a GPU if one is usable (default: auto)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        The exit code: 0; 2 for input that cannot be used, with one line on stderr that says why;
        130 when interrupted.
    """
    try:
        args = _parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.simplefilter("always", RuntimeWarning)
            warnings.showwarning = _show_warning
            args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read the labels has seen enough; the flush at exit must not fail either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("kmgpu: interrupted; unfinished output was discarded", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, RuntimeError, ImportError, MemoryError) as error:
        print(f"kmgpu: error: {_one_line(error)}", file=sys.stderr)
        return BAD_INPUT
    return 0


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """What `warnings.showwarning` is replaced by: the message alone."""
    del category, filename, lineno, file, line
    print(f"kmgpu: warning: {' '.join(str(message).split())}", file=sys.stderr)


def _fit(args: argparse.Namespace) -> None:
    _check_outputs({".npz": args.out, ".npy": args.labels}, (args.data, args.weights, args.init))
    data = read_data(args.data, args.array)
    estimator = ESTIMATORS[args.loss](
        args.n_clusters,
        init=_init(args.init),
        n_init=args.n_init,
        max_iter=args.max_iter,
        tol=args.tol,
        random_state=args.seed,
        empty_cluster=args.empty_cluster,
        device=args.device,
        progress=_show_progress(args),
    )
    weights = None if args.weights is None else read_weights(args.weights)
    place = resolve(args.device, data)
    start = perf_counter()
    estimator.fit(data, sample_weight=weights)
    print(table([fit_summary(estimator, place, perf_counter() - start)]))
    estimator.progress = False
    if args.out is not None:
        save_model(estimator, args.out)
        print(f"model written to {args.out}")
    if args.labels is not None:
        _write_labels(args.labels, estimator.labels_)


def _predict(args: argparse.Namespace) -> None:
    _check_outputs({".npy": args.out}, (args.model, args.data))
    model = load_model(args.model).set_params(device=args.device)
    data = read_data(args.data, args.array)
    start = perf_counter()
    labels = model.predict(data)
    seconds = perf_counter() - start
    if args.out is None:
        np.savetxt(sys.stdout, labels, fmt="%d")
        return
    print(table([predict_summary(model, data, resolve(args.device, data), seconds)]))
    _write_labels(args.out, labels)


def _info(args: argparse.Namespace) -> None:
    del args
    from kmgpu.info import info

    print(info())


def _demo(args: argparse.Namespace) -> None:
    from kmgpu.demo import fit_colours, load_photo
    from kmgpu.plotting import demo_figure, require_matplotlib, save_figure

    photo = load_photo()
    picture = DEMO_PICTURE if args.out is None else args.out
    no_picture = None
    try:
        require_matplotlib()
        _check_outputs({".png": picture}, ())
    except ImportError as error:
        if args.out is not None:
            raise
        no_picture = f"no picture was drawn: {error}"
    fits, summaries = fit_colours(photo, args.device, _show_progress(args))
    print(table(summaries))
    if no_picture is None:
        save_figure(demo_figure(photo, fits), picture)
    print(no_picture or f"picture written to {picture}")


def _init(text: str) -> str | np.ndarray:
    """The name of a method, or the centres in a file."""
    if text in METHODS:
        return text
    if not Path(text).exists():
        msg = f"--init {text} is neither one of {', '.join(METHODS)} nor a file of centres."
        raise ValueError(msg)
    return read_data(text)


def _check_outputs(outputs: dict[str, str | None], inputs: Sequence[str | None]) -> None:
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


def _write_labels(path: str, labels: np.ndarray) -> None:
    with replacing(path) as file:
        np.save(file, labels, allow_pickle=False)
    print(f"labels written to {path}")


def _show_progress(args: argparse.Namespace) -> bool:
    return not args.no_progress and sys.stderr.isatty()


class _Parser(argparse.ArgumentParser):
    """argparse, its errors left to `main`, which prints one line."""

    def error(self, message: str) -> NoReturn:
        msg = f"{message} (see {self.prog} --help)"
        raise ValueError(msg)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="kmgpu", description="k-means and k-medians on CPUs and GPUs.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_fit(commands)
    predict = commands.add_parser("predict", help="the nearest centre of every row")
    predict.add_argument("model", metavar="MODEL", help="an .npz that kmgpu fit --out wrote")
    _add_data(predict)
    predict.add_argument(
        "--out", metavar="FILE.npy", help="write the labels there (default: one a line on stdout)"
    )
    predict.add_argument("--device", default="auto", help=DEVICE_HELP)
    predict.set_defaults(run=_predict)
    info = commands.add_parser("info", help="versions, and which backends are usable")
    info.set_defaults(run=_info)
    demo = commands.add_parser("demo", help="the 16 colours of a photograph, with both losses")
    demo.add_argument("--out", metavar="FILE.png", help=f"(default: {DEMO_PICTURE})")
    _add_running(demo)
    demo.set_defaults(run=_demo)
    return parser


def _add_data(command: argparse.ArgumentParser) -> None:
    command.add_argument("data", metavar="DATA", help=DATA_HELP)
    command.add_argument("--array", metavar="NAME", help="which array of an .npz file DATA")


def _add_running(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", default="auto", help=DEVICE_HELP)
    command.add_argument("--no-progress", action="store_true", help="show no progress bar")


def _add_fit(commands: Any) -> None:
    fit = commands.add_parser("fit", help="cluster the rows of a table")
    _add_data(fit)
    fit.add_argument("-k", "--n-clusters", metavar="K", type=int, required=True)
    fit.add_argument(
        "--loss",
        choices=tuple(ESTIMATORS),
        default="l2",
        help="l2: k-means (default); l1: k-medians",
    )
    fit.add_argument(
        "--init",
        metavar="INIT",
        default=METHODS[0],
        help=f"{', '.join(METHODS)}, or a file of K centres (default: {METHODS[0]})",
    )
    fit.add_argument(
        "--n-init", metavar="N", type=_n_init, default="auto", help="restarts (default: auto)"
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
    _add_running(fit)
    fit.set_defaults(run=_fit)


def _n_init(text: str) -> int | str:
    return text if text == "auto" else int(text)
