"""``kmgpu animate``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from kmgpu.cli.options import add_init, add_loss, check_outputs, initialisation
from kmgpu.data_io import read_data
from kmgpu.examples import EXAMPLES, load_example

PICTURE = ".png"
MOVING = (".html", ".gif", ".mp4")


def add(commands: Any) -> None:
    """The subcommand and its arguments."""
    animate = commands.add_parser("animate", help="watch the algorithm, half-step by half-step")
    animate.add_argument(
        "data", metavar="DATA", nargs="?", help="a table, as for kmgpu fit; or give --example"
    )
    animate.add_argument("--array", metavar="NAME", help="which array of an .npz file DATA")
    animate.add_argument("--example", choices=tuple(EXAMPLES), help="data to watch it on")
    animate.add_argument("-k", "--n-clusters", metavar="K", type=int, required=True)
    add_loss(animate)
    add_init(animate)
    animate.add_argument("--seed", metavar="N", type=int, default=0, help="(default: 0)")
    animate.add_argument("--max-iter", metavar="N", type=int, default=300, help="(default: 300)")
    animate.add_argument(
        "--max-frames",
        metavar="N",
        type=int,
        default=60,
        help="of a longer run the first and the last (default: 60)",
    )
    animate.add_argument(
        "-o",
        "--out",
        metavar="FILE",
        required=True,
        help=".html: a page with a player; .gif or .mp4 (with ffmpeg); .png: a grid of pictures",
    )
    animate.set_defaults(run=_animate)


def _animate(args: argparse.Namespace) -> None:
    from kmgpu.plotting import animate, plot_steps, require_matplotlib, save_figure

    require_matplotlib()
    suffix = Path(args.out).suffix.lower()
    _check_out(args, suffix)
    data = _data(args)
    how = {
        "init": initialisation(args.init),
        "loss": args.loss,
        "random_state": args.seed,
        "max_iter": args.max_iter,
    }
    if suffix == PICTURE:
        save_figure(plot_steps(data, args.n_clusters, **how), args.out)
    else:
        animate(data, args.n_clusters, max_frames=args.max_frames, **how).save(args.out)
    print(f"{'picture' if suffix == PICTURE else 'animation'} written to {args.out}")


def _check_out(args: argparse.Namespace, suffix: str) -> None:
    if suffix not in (*MOVING, PICTURE):
        endings = ", ".join((*MOVING, PICTURE))
        msg = f"{args.out} cannot be written: its name must end in one of {endings}."
        raise ValueError(msg)
    check_outputs({suffix: args.out}, (args.data, args.init))
    if suffix != PICTURE:
        from kmgpu.plotting.film import check_format

        check_format(suffix, args.out)


def _data(args: argparse.Namespace) -> np.ndarray:
    if (args.data is None) == (args.example is None):
        msg = f"give either DATA or --example ({', '.join(EXAMPLES)}), and not both."
        raise ValueError(msg)
    if args.example is not None:
        return load_example(args.example)
    return read_data(args.data, args.array)
