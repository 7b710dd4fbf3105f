"""``kmgpu demo``."""

from __future__ import annotations

import argparse

from kmgpu.cli.options import add_running, check_outputs, show_progress
from kmgpu.cli.streams import output, report
from kmgpu.summary import table

DEMO_PICTURE = "kmgpu-demo.png"


def add(demo: argparse.ArgumentParser) -> None:
    """Add the subcommand and its arguments."""
    demo.add_argument("--out", metavar="FILE.png", help=f"(default: {DEMO_PICTURE})")
    add_running(demo)
    demo.set_defaults(run=_demo)


def _demo(args: argparse.Namespace) -> None:
    from kmgpu.demo import demo_figure, fit_colours, load_photo
    from kmgpu.plotting.figures import require_matplotlib, save_figure

    photo = load_photo()
    picture = DEMO_PICTURE if args.out is None else args.out
    no_picture = None
    try:
        require_matplotlib()
        check_outputs({"--out": (picture, (".png",))}, ())
    except ImportError as error:
        if args.out is not None:
            raise
        no_picture = f"no picture was drawn: {error}"
    fits, summaries = fit_colours(photo, args.device, show_progress(args))
    if no_picture is not None:
        output([table(summaries), f"\n{no_picture}\n"])
        return
    save_figure(demo_figure(photo, fits), picture)
    report([table(summaries), f"\npicture written to {picture}\n"])
