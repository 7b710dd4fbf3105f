"""``kmgpu quantize``."""

from __future__ import annotations

import argparse
import warnings
from time import perf_counter

from kmgpu.cli.options import add_loss, add_running, check_outputs, show_progress
from kmgpu.cli.streams import report
from kmgpu.estimators import ESTIMATORS
from kmgpu.summary import fit_summary, table


def add(quantize: argparse.ArgumentParser) -> None:
    """Add the subcommand and its arguments."""
    quantize.add_argument(
        "picture",
        metavar="PICTURE",
        help="JPEG, PNG, WebP, TIFF or any other format that Pillow reads",
    )
    quantize.add_argument(
        "-k", "--n-clusters", metavar="K", type=int, default=16, help="colours (default: 16)"
    )
    add_loss(quantize)
    quantize.add_argument(
        "-o", "--out", metavar="FILE.png", required=True, help="where to write the picture"
    )
    quantize.add_argument(
        "--palette", metavar="FILE.png", help="where to write the colours, as squares"
    )
    quantize.add_argument(
        "--seed", metavar="N", type=int, default=0, help="random seed (default: 0)"
    )
    add_running(quantize)
    quantize.set_defaults(run=_quantize)


def _quantize(args: argparse.Namespace) -> None:
    from kmgpu.quantize import distinct_colours, quantise, read_picture, save_palette, save_picture

    outputs = {"--out": (args.out, ".png"), "--palette": (args.palette, ".png")}
    check_outputs(outputs, (args.picture,))
    picture = read_picture(args.picture)
    colours = distinct_colours(picture)
    n_colours = len(colours.rgb)
    if n_colours < args.n_clusters:
        warnings.warn(
            f"{args.picture} has {n_colours:,} colours, fewer than -k {args.n_clusters:,}; all "
            f"are kept.",
            stacklevel=1,
        )
    estimator = ESTIMATORS[args.loss](
        min(args.n_clusters, n_colours),
        random_state=args.seed,
        device=args.device,
        progress=show_progress(args),
    )
    start = perf_counter()
    estimator.fit(colours.rgb, sample_weight=colours.weight)
    summary = fit_summary(estimator, perf_counter() - start)
    quantised = quantise(picture, colours, estimator)
    height, width = quantised.index.shape
    about = {"": summary.pop(""), "pixels": f"{width:,} × {height:,}", "colours": f"{n_colours:,}"}
    del summary["rows"], summary["features"]
    shares = {
        f"#{red:02x}{green:02x}{blue:02x}": f"{share:.2%}"
        for (red, green, blue), share in zip(quantised.palette, quantised.shares, strict=True)
    }
    save_picture(quantised, args.out)
    written = [f"picture written to {args.out}\n"]
    if args.palette is not None:
        save_palette(quantised, args.palette)
        written.append(f"palette written to {args.palette}\n")
    report([table([about | summary | shares]), "\n", *written])
