"""``kmgpu animate``."""

from __future__ import annotations

import argparse
from pathlib import Path

from kmgpu.cli.options import (
    DATA_HELP,
    METHODS,
    add_init,
    add_loss,
    add_reading,
    check_outputs,
    initialisation,
)
from kmgpu.cli.streams import report
from kmgpu.io.tables import Table, read_table
from kmgpu.plotting.examples import EXAMPLES, load_example

PICTURES = (".png", ".svg", ".pdf")
MOVING = (".html", ".gif", ".mp4")
MAX_FRAMES = 60
# k-means++ starts so near the end that nothing is to be seen
EXAMPLE_INIT = "random"


def add(animate: argparse.ArgumentParser) -> None:
    """Add the subcommand and its arguments."""
    animate.add_argument("data", metavar="DATA", nargs="?", help=f"{DATA_HELP}; or give --example")
    add_reading(animate)
    animate.add_argument(
        "--example",
        choices=tuple(EXAMPLES),
        help=f"use data of this name; --init is then {EXAMPLE_INIT}, so that the centres move far",
    )
    animate.add_argument("-k", "--n-clusters", metavar="K", type=int, required=True)
    add_loss(animate)
    add_init(animate)
    animate.set_defaults(init=None)
    animate.add_argument("--seed", metavar="N", type=int, help="(default: 0)")
    animate.add_argument("--max-iter", metavar="N", type=int, default=300, help="(default: 300)")
    animate.add_argument(
        "--max-frames",
        metavar="N",
        type=int,
        help=f"keep the first frames and the last (default: {MAX_FRAMES}); not for a grid",
    )
    animate.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        required=True,
        help=".html: a page with a player; .gif or .mp4 (with ffmpeg); .png, .svg or .pdf: a grid",
    )
    animate.set_defaults(run=_animate)


def _animate(args: argparse.Namespace) -> None:
    from kmgpu.plotting import animate, plot_steps, save_figure
    from kmgpu.plotting.figures import require_matplotlib

    require_matplotlib()
    suffix = Path(args.out).suffix.lower()
    _check_out(args, suffix)
    table = _table(args)
    if args.init is None:
        args.init = METHODS[0] if args.example is None else EXAMPLE_INIT
    how = {
        "init": initialisation(args.init, table, {"--seed": args.seed}),
        "loss": args.loss,
        "random_state": 0 if args.seed is None else args.seed,
        "max_iter": args.max_iter,
        "feature_names": table.names,
    }
    if suffix in PICTURES:
        save_figure(plot_steps(table.data, args.n_clusters, **how), args.out)
    else:
        max_frames = MAX_FRAMES if args.max_frames is None else args.max_frames
        animate(table.data, args.n_clusters, max_frames=max_frames, **how).save(args.out)
    report([f"{'picture' if suffix in PICTURES else 'animation'} written to {args.out}\n"])


def _check_out(args: argparse.Namespace, suffix: str) -> None:
    if suffix not in (*MOVING, *PICTURES):
        endings = ", ".join((*MOVING, *PICTURES))
        msg = f"{args.out} cannot be written: its name must end in one of {endings}."
        raise ValueError(msg)
    if suffix in PICTURES and args.max_frames is not None:
        msg = f"--max-frames has no effect on {args.out}, a grid of pictures; leave it out."
        raise ValueError(msg)
    check_outputs({"--out": (args.out, ())}, (args.data, args.init))
    if suffix not in PICTURES:
        from kmgpu.plotting.animation import check_format

        check_format(suffix, args.out)


def _table(args: argparse.Namespace) -> Table:
    if (args.data is None) == (args.example is None):
        msg = f"give either DATA or --example ({', '.join(EXAMPLES)}), and not both."
        raise ValueError(msg)
    if args.example is None:
        return read_table(args.data, args.array, args.header)
    for option, value in {"--array": args.array, "--header": args.header}.items():
        if value is not None:
            msg = f"{option} has no effect with --example {args.example}; leave it out."
            raise ValueError(msg)
    return Table(load_example(args.example))
