"""kmgpu and its peers, side by side in one run; ``python -m benchmarks.compare --help``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import asdict
from functools import lru_cache, partial
from math import inf
from pathlib import Path
from typing import Any

from benchmarks import calls, card, machine, picture, report, rows
from benchmarks.engine import Engine
from benchmarks.engines import engines
from benchmarks.report import Result
from benchmarks.rounds import Limits, Measurement, Task
from benchmarks.rows import ROWS, Row

SECTIONS = ("fit", "default", "small", "scaling", "sparse", "layouts", "predict")
CUDA_SECTIONS = ("fit", "default")
TO_CONVERGENCE = 300
BUSY = 0.25
SMALL_FITS, SMALL_PREDICTS = 50, 500
SKLEARN = {"l2": "sklearn-lloyd", "l1": "sklearn-manhattan"}
# Where the options do not say so; all rows of a GPU take ten minutes at most.
DEFAULTS = {
    "cpu": {"rounds": 5, "limit": 60.0, "minutes": inf},
    "cuda": {"rounds": 3, "limit": 15.0, "minutes": 9.5},
}
FLOAT32 = 4
NOT_A_GPU = "NOT A GPU: an emulation on a CPU; its times say nothing about any GPU"


def tasks(
    section: str, chosen: list[Row], n_threads: int, losses: list[str], **how: Any
) -> list[Task]:
    """What a section times, on the `chosen` rows or on its own; `how` is passed to every `Task`."""
    if section == "threads":
        base = (chosen or [rows.sized(*rows.BASE)])[:1]
        powers = {2**power for power in range(10) if 2**power < n_threads}
        counts = sorted({*powers, n_threads})
        return [Task(row, loss, "fit", t, **how) for row in base for loss in losses for t in counts]
    own = {"small": rows.SMALL, "sparse": rows.SPARSE, "scaling": rows.SCALING}
    usual = rows.CUDA if how.get("device") == "cuda" else rows.FIT
    times = {"fit": SMALL_FITS, "default": SMALL_FITS, "predict": SMALL_PREDICTS}
    if section != "small":
        times = dict.fromkeys(times, 1)
    calls_of = {"small": ("fit", "default", "predict"), "sparse": ("fit", "default")}
    calls_of |= {"default": ("default",)}
    return [
        Task(row, loss, do, n_threads, repeat=times[do], **how)
        for row in chosen or own.get(section, usual)
        for loss in losses
        for do in calls_of.get(section, ("fit",))
    ]


def able(task: Task, names: list[str] | None) -> list[Engine]:
    """The engines that can do a task: only an estimator has default settings."""
    found = engines(task.loss, names, task.device)
    return [engine for engine in found if task.do == "fit" or engine.estimator is not None]


@lru_cache(maxsize=1)
def made(row: Row) -> Any:
    """The data of a row, kept for its other tasks."""
    return row.make()


def measure(
    section: str, task: Task, names: list[str] | None, limits: Limits, gpu: card.Card | None
) -> Result | None:
    """Measure and print one task; None where it is skipped, which is printed, too."""
    found = able(task, names)
    why_not = None if found else f"no engine chosen has {task.do}"
    if limits.left() == 0:
        why_not = "the minutes are used up"
    x = None if why_not else made(task.row)
    if gpu is not None and x is not None:
        why_not = card.too_large(x.shape, FLOAT32)
    if why_not is not None:
        print(f"\n{task.row.name} ({task.loss}): skipped, {why_not}", flush=True)
        return None
    with tempfile.TemporaryDirectory(prefix="kmgpu-bench-") as folder:
        measurement = Measurement(task, x, limits, Path(folder))
        outcomes = measurement.run(found)
    least = gpu and card.least_seconds(x.shape, task.row.n_clusters, task.loss, gpu)
    result = Result(section, task, x.shape, measurement.n_iter, outcomes, least)
    print(report.block(result), flush=True)
    return result


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--section", choices=SECTIONS, default="fit")
    parser.add_argument("--loss", choices=("l2", "l1"), help="default: l2; on a GPU both")
    parser.add_argument("--rows", type=_names, help=f"comma-separated, of {', '.join(ROWS)}")
    parser.add_argument("--engines", type=_names, help="comma-separated; the first one is ours")
    parser.add_argument("--data", metavar="FILE.npy", help="a row of your own; needs --k")
    parser.add_argument("--k", type=int, metavar="K", help="clusters of --data")
    parser.add_argument("--iterations", type=int, default=25, help="at most; default 25")
    parser.add_argument(
        "--to-convergence", action="store_true", help=f"--iterations {TO_CONVERGENCE}"
    )
    parser.add_argument("--rounds", type=int, help="default 5; on a GPU 3")
    parser.add_argument("--limit", type=float, help="seconds a call; default 60, on a GPU 15")
    parser.add_argument("--minutes", type=float, help="for everything; on a GPU 9.5")
    parser.add_argument("--threads", type=int, default=machine.n_cores())
    parser.add_argument("--no-memory", action="store_true", help="do not measure memory")
    parser.add_argument("--bar", type=float, help="exit 1 if a ratio is below this")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--picture", type=Path, metavar="FILE.png")
    return parser


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, checked; `losses` and, where they depend on it, the device's defaults."""
    known = parser()
    options = known.parse_args(arguments)
    if (options.data is None) != (options.k is None):
        known.error("--data and --k belong together")
    cuda = options.device == "cuda"
    if cuda and options.section not in CUDA_SECTIONS:
        known.error(f"--device cuda has the sections {', '.join(CUDA_SECTIONS)}")
    losses = [options.loss] if options.loss else ["l2", "l1"] if cuda else ["l2"]
    names = {engine.name for loss in losses for engine in engines(loss, device=options.device)}
    for asked, there in ((options.rows, ROWS), (options.engines, names)):
        unknown = [name for name in asked or [] if name not in there]
        if unknown:
            known.error(f"there is no {', '.join(unknown)}; there are {', '.join(there)}")
    options.losses = [loss for loss in losses if engines(loss, options.engines, options.device)]
    for name, value in DEFAULTS[options.device].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.to_convergence:
        options.iterations = TO_CONVERGENCE
    return options


def _names(text: str) -> list[str]:
    return text.split(",")


def chosen_engines(options: argparse.Namespace) -> list[str] | None:
    """The names asked for, or those that a section is about; None for all."""
    if options.engines is None and options.section in ("scaling", "small"):
        return ["kmgpu", *SKLEARN.values()]
    if options.engines is None and options.section == "sparse":
        # nobody else has k-medians of sparse rows
        return ["kmgpu", "sklearn-lloyd" if options.losses == ["l2"] else "kmgpu-reference"]
    return options.engines


def chosen_rows(options: argparse.Namespace, gpu: card.Card | None) -> list[Row]:
    """The rows asked for; none for those of the section."""
    chosen = [ROWS[name] for name in options.rows or []]
    if options.data is not None:
        chosen.append(rows.from_file(options.data, options.k))
    return [rows.TOY] if gpu is not None and gpu.emulated else chosen


def print_calls(options: argparse.Namespace) -> None:
    """The sections whose sides take turns in this very process."""
    predicts = options.section == "predict"
    lines = calls.predictions if predicts else partial(calls.layouts, options.losses[0])
    for line in lines(options.rounds):
        print(line, flush=True)


def compare(options: argparse.Namespace, gpu: card.Card | None) -> list[Result]:
    """Measure the tasks of a section one after another, printing each as it is done."""
    until = time.monotonic() + 60 * options.minutes
    limits = Limits(options.rounds, options.limit, memory=not options.no_memory, until=until)
    how = {"n_iter": options.iterations, "device": options.device}
    names, found = chosen_engines(options), []
    for part in ("scaling", "threads") if options.section == "scaling" else (options.section,):
        chosen = chosen_rows(options, gpu)
        for task in tasks(part, chosen, options.threads, options.losses, **how):
            found.append(measure(part, task, names, limits, gpu))
    return [result for result in found if result is not None]


def main(arguments: list[str] | None = None) -> int:
    options, gpu = parse(arguments), None
    found = machine.describe()
    if options.device == "cuda":
        why_not = card.unusable()
        if why_not is not None:
            print(f"no GPU to measure on: {why_not}", file=sys.stderr)
            return 2
        gpu = card.card()
        found |= asdict(gpu)
    print(", ".join(f"{key} {value}" for key, value in found.items()), flush=True)
    if gpu is not None and gpu.emulated:
        print(NOT_A_GPU)
    if machine.load() > BUSY:
        print("the machine is busy: ratios will be off, most for engines whose threads spin")
    if options.section in ("layouts", "predict"):
        print_calls(options)
        return 0
    results = compare(options, gpu)
    print(report.summary(results))
    if options.json is not None:
        report.write_json(results, found, options.json)
    if options.picture is not None:
        picture.draw(results, found, options.picture)
    failed = any(result.ours.why_not is not None for result in results)
    ratios = [result.ratio for result in results if result.ratio is not None]
    slow = options.bar is not None and min(ratios, default=0.0) < options.bar
    return int(failed or slow)


if __name__ == "__main__":
    sys.exit(main())
