"""kmgpu and its peers, side by side in one run; ``python -m benchmarks.compare --help``."""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import calls, machine, picture, report
from benchmarks.peers import Engine, engines
from benchmarks.report import Result
from benchmarks.rounds import Limits, Measurement, Task
from benchmarks.rows import BASE, FIT, ROWS, SCALING, SMALL, SPARSE, Row, from_file, sized

SECTIONS = ("fit", "default", "small", "scaling", "sparse", "layouts", "predict")
TO_CONVERGENCE = 300
BUSY = 0.25
SMALL_FITS, SMALL_PREDICTS = 50, 500
SKLEARN = {"l2": "sklearn-lloyd", "l1": "sklearn-manhattan"}


def tasks(section: str, rows: list[Row] | None, n_iter: int, n_threads: int) -> list[Task]:
    """What a section times, on `rows` or on its own."""
    if section == "small":
        chosen = rows or list(SMALL)
        fits = [Task(row, "fit", n_threads, n_iter, repeat=SMALL_FITS) for row in chosen]
        fits += [Task(row, "default", n_threads, repeat=SMALL_FITS) for row in chosen]
        return fits + [Task(row, "predict", n_threads, repeat=SMALL_PREDICTS) for row in chosen]
    if section == "sparse":
        chosen = rows or list(SPARSE)
        both = ("fit", "default")
        return [Task(row, do, n_threads, n_iter) for row in chosen for do in both]
    if section == "scaling":
        return [Task(row, "fit", n_threads, n_iter) for row in rows or SCALING]
    if section == "threads":
        base = (rows or [sized(*BASE)])[0]
        powers = {2**power for power in range(10) if 2**power < n_threads}
        return [Task(base, "fit", count, n_iter) for count in sorted({*powers, n_threads})]
    return [Task(row, section, n_threads, n_iter) for row in rows or FIT]


def able(section_task: Task, found: list[Engine]) -> list[Engine]:
    """The engines that can do a task: only an estimator has default settings."""
    if section_task.do == "fit":
        return found
    return [engine for engine in found if engine.estimator is not None]


def compare(
    section: str, loss: str, found: list[Engine], todo: list[Task], limits: Limits
) -> list[Result]:
    """Measure the tasks one after another, printing each as it is done."""
    results = []
    for task in todo:
        with tempfile.TemporaryDirectory(prefix="kmgpu-bench-") as folder:
            measurement = Measurement(task, loss, limits, Path(folder))
            outcomes = measurement.run(able(task, found))
        shape, n_iter = measurement.shape, measurement.n_iter
        results.append(Result(section, loss, task, shape, n_iter, outcomes))
        print(report.block(results[-1]), flush=True)
    return results


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("--section", choices=SECTIONS, default="fit")
    parser.add_argument("--loss", choices=("l2", "l1"), default="l2")
    parser.add_argument("--rows", help=f"comma-separated, of {', '.join(ROWS)}")
    parser.add_argument("--engines", help="comma-separated; the first one is ours")
    parser.add_argument("--data", metavar="FILE.npy", help="a row of your own; needs --k")
    parser.add_argument("--k", type=int, metavar="K", help="clusters of --data")
    parser.add_argument("--iterations", type=int, default=25, help="at most; default 25")
    parser.add_argument(
        "--to-convergence", action="store_true", help=f"--iterations {TO_CONVERGENCE}"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=60, help="seconds a call; default 60")
    parser.add_argument("--threads", type=int, default=machine.n_cores())
    parser.add_argument("--no-memory", action="store_true", help="do not measure memory")
    parser.add_argument("--bar", type=float, help="exit 1 if a ratio is below this")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--picture", type=Path, metavar="FILE.png")
    options = parser.parse_args(arguments)
    if (options.data is None) != (options.k is None):
        parser.error("--data and --k belong together")
    unknown = [name for name in _names(options.rows) or [] if name not in ROWS]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join(ROWS)}")
    try:
        engines(options.loss, _names(options.engines))
    except ValueError as error:
        parser.error(str(error))
    return options


def _names(text: str | None) -> list[str] | None:
    return text.split(",") if text else None


def chosen_engines(options: argparse.Namespace) -> list[Engine]:
    names = _names(options.engines)
    if names is None and options.section in ("scaling", "small"):
        names = ["kmgpu", SKLEARN[options.loss]]
    if names is None and options.section == "sparse":  # nobody else has k-medians of sparse rows
        names = ["kmgpu", "sklearn-lloyd" if options.loss == "l2" else "kmgpu-reference"]
    return engines(options.loss, names)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    rows = [ROWS[name] for name in _names(options.rows) or []]
    if options.data is not None:
        rows.append(from_file(options.data, options.k))
    found = machine.describe()
    print(", ".join(f"{key} {value}" for key, value in found.items()))
    if machine.load() > BUSY:
        print("the machine is busy: ratios will be off, most for engines whose threads spin")
    if options.section in ("layouts", "predict"):
        predicts = options.section == "predict"
        lines = calls.predictions if predicts else partial(calls.layouts, options.loss)
        for line in lines(options.rounds):
            print(line, flush=True)
        return 0
    n_iter = TO_CONVERGENCE if options.to_convergence else options.iterations
    limits = Limits(options.rounds, options.limit, memory=not options.no_memory)
    results: list[Result] = []
    for part in ("scaling", "threads") if options.section == "scaling" else (options.section,):
        todo = tasks(part, rows or None, n_iter, options.threads)
        results += compare(part, options.loss, chosen_engines(options), todo, limits)
    print(report.summary(results))
    if options.json is not None:
        report.write_json(results, found, options.json)
    if options.picture is not None:
        picture.draw(results, found, options.picture)
    ratios = [result.ratio for result in results if result.ratio is not None]
    return int(options.bar is not None and min(ratios, default=0.0) < options.bar)


if __name__ == "__main__":
    sys.exit(main())
