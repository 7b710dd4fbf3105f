"""``kmgpu quantize``."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from kmgpu.base import AlternatingMinimizer
from kmgpu.cli.options import add_loss, add_running, check_outputs, show_progress
from kmgpu.cli.streams import report
from kmgpu.estimators import ESTIMATORS
from kmgpu.quantize.colours import SPACES, Colours, distinct_colours, quantise
from kmgpu.quantize.palettes import FORMATS, check_palette, save_palette
from kmgpu.quantize.reading import Picture, read_picture
from kmgpu.quantize.writing import save_picture
from kmgpu.summary import fit_summary, table

# stands for the name of a picture, without its folder and ending
NAME = "{}"


def add(quantize: argparse.ArgumentParser) -> None:
    """Add the subcommand and its arguments."""
    quantize.add_argument(
        "pictures",
        metavar="PICTURE",
        nargs="+",
        help="JPEG, PNG, WebP, TIFF or any other format that Pillow reads",
    )
    quantize.add_argument(
        "-k", "--n-clusters", metavar="K", type=int, default=16, help="colours (default: 16)"
    )
    add_loss(quantize, ("l2", "l1"))  # black has no direction, and centres must be colours
    quantize.add_argument(
        "--space",
        choices=tuple(SPACES),
        default="rgb",
        help="rgb: the numbers in the file (default); lab: CIELAB, closer to what the eye sees",
    )
    quantize.add_argument(
        "-o",
        "--out",
        metavar="FILE.png",
        required=True,
        help=f"where to write the picture; of several pictures each has its own file, as {NAME} "
        f"in FILE stands for the name of the picture",
    )
    quantize.add_argument(
        "--palette",
        metavar="FILE",
        help=f"where to write the colours, the most frequent first; FILE ends in "
        f"{', '.join(FORMATS)}; {NAME} as in --out",
    )
    quantize.add_argument(
        "--seed", metavar="N", type=int, default=0, help="random seed (default: 0)"
    )
    quantize.add_argument(
        "--large",
        action="store_true",
        help="accept pictures of more than 178 megapixels; only for files that you trust",
    )
    add_running(quantize)
    quantize.set_defaults(run=_quantize)


class _Task(NamedTuple):
    picture: str
    out: str
    palette: str | None


def _quantize(args: argparse.Namespace) -> None:
    if args.palette is not None:
        check_palette(args.palette, args.n_clusters)
    tasks = _tasks(args)
    written = 0
    for task in tasks:
        try:
            picture, colours = _read(task.picture, args)
        except (ValueError, OSError) as error:
            if len(tasks) == 1:
                raise
            warnings.warn(str(error), stacklevel=1)
            continue
        lines = _quantize_one(task, picture, colours, args)
        report(["\n", *lines] if written else lines)
        written += 1
    if written < len(tasks):
        unread = len(tasks) - written
        msg = f"{unread:,} of {len(tasks):,} pictures could not be read; the others are written."
        raise ValueError(msg)


def _tasks(args: argparse.Namespace) -> list[_Task]:
    """Each picture with its files, once it is known that all of them can be written."""
    pictures = list(dict.fromkeys(args.pictures))
    several = len(pictures) > 1
    for option, name in (("--out", args.out), ("--palette", args.palette)):
        if several and name is not None and NAME not in name:
            msg = (
                f"{option} {name} is one file for {len(pictures)} pictures; write {NAME} where the "
                f"name of each shall be, as in {option} '{_example(name)}'."
            )
            raise ValueError(msg)
    palette = args.palette
    tasks = [
        _Task(one, _named(args.out, one), None if palette is None else _named(palette, one))
        for one in pictures
    ]
    outputs: dict[str, tuple[str | None, tuple[str, ...]]] = {}
    for task in tasks:
        of = f" of {task.picture}" if several else ""
        outputs[f"--out{of}"] = task.out, (".png",)
        outputs[f"--palette{of}"] = task.palette, ()
    check_outputs(outputs, pictures)
    return tasks


def _example(name: str) -> str:
    path = Path(name)
    return str(path / f"{NAME}.png" if path.is_dir() else path.with_name(f"{NAME}-{path.name}"))


def _named(file: str, picture: str) -> str:
    return file.replace(NAME, Path(picture).stem)


def _read(name: str, args: argparse.Namespace) -> tuple[Picture, Colours]:
    picture = read_picture(name, large=args.large, srgb=args.space == "lab")
    try:
        return picture, distinct_colours(picture)
    except ValueError as error:
        msg = f"{name}: {error}"
        raise ValueError(msg) from error


def _quantize_one(
    task: _Task, picture: Picture, colours: Colours, args: argparse.Namespace
) -> list[str]:
    """Write the files of a picture; return what is to be said of it."""
    estimator, summary = _fit(task.picture, colours, args)
    quantised = quantise(picture, colours, estimator, args.space)
    height, width = quantised.index.shape
    about = {
        "": summary.pop(""),
        "picture": task.picture,
        "pixels": f"{width:,} × {height:,}",
        "colours": f"{len(colours.rgb):,}",
        "space": args.space,
    }
    del summary["rows"], summary["features"]
    shares: dict[str, float] = {}
    for code, share in zip(quantised.hex_codes, quantised.shares, strict=True):
        shares[code] = shares.get(code, 0) + share  # two centres may round to one colour
    save_picture(quantised, task.out)
    written = [f"picture written to {task.out}\n"]
    if task.palette is not None:
        save_palette(quantised, task.palette)
        written.append(f"palette written to {task.palette}\n")
    listed = {code: f"{share:.2%}" for code, share in shares.items()}
    return [table([about | summary | listed]), "\n", *written]


def _fit(
    name: str, colours: Colours, args: argparse.Namespace
) -> tuple[AlternatingMinimizer, dict[str, str]]:
    """Cluster the colours of a picture; return the fit and its summary."""
    n_colours = len(colours.rgb)
    if n_colours < args.n_clusters:
        warnings.warn(
            f"{name} has {n_colours:,} colours, fewer than -k {args.n_clusters:,}; all are kept.",
            stacklevel=1,
        )
    estimator = ESTIMATORS[args.loss](
        min(args.n_clusters, n_colours),
        random_state=args.seed,
        device=args.device,
        progress=show_progress(args),
    )
    to_rows, _ = SPACES[args.space]
    start = perf_counter()
    estimator.fit(to_rows(colours.rgb), sample_weight=colours.weight)
    return estimator, fit_summary(estimator, perf_counter() - start)
