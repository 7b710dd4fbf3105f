"""kmgpu and its peers on a GPU, side by side; ``python -m benchmarks.gpu --help``.

Every engine runs in a process of its own, on the same rows from the same initial centres. On a
device that is none (the emulation) toy rows are run and the figures are marked as such.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks import machine
from benchmarks.client import ROOT
from benchmarks.gpu_card import Card, card, least_seconds
from benchmarks.gpu_engines import ENGINES, GpuEngine, engines
from benchmarks.rows import blobs, initial_centers
from kmgpu.backend.arrays import place_of
from kmgpu.backend.gpus import cupy_usable, free_bytes, room_for

HEADER = (
    f"{'':18s}{'seconds':>10s}{'ms/iter':>10s}{'iter':>6s}{'kmgpu ×':>9s}{'roofline':>10s}"
    f"{'loss a row':>14s}"
)
NOT_A_GPU = "NOT A GPU: an emulation on a CPU; its times say nothing about any GPU"
FLOAT32 = 4


class GpuRow(NamedTuple):
    """Normal clouds, float32: rows, features, clusters, and the iterations to time."""

    n: int
    d: int
    k: int
    n_iter: int = 25


ROWS = {
    "1Mx128": GpuRow(1_000_000, 128, 1000),
    "10Mx32": GpuRow(10_000_000, 32, 256),
    "1Mx768": GpuRow(1_000_000, 768, 4096),
    "100Mx8": GpuRow(100_000_000, 8, 64),
}
TOYS = {"toy": GpuRow(600, 4, 5, n_iter=3)}


def write(row: GpuRow, folder: Path) -> None:
    """The rows and the initial centres, where the workers read them."""
    x = blobs(row.n, row.d, row.k, spread=1.0)
    np.save(folder / "x.npy", x)
    np.save(folder / "init.npy", initial_centers(x, row.k))


def outcome(
    engine: GpuEngine, folder: Path, n_iter: int, rounds: int, limit: float
) -> dict[str, Any]:
    """What the engine did, or under "why_not" why it did not."""
    why_not = engine.absent()
    if why_not is not None:
        return {"engine": engine.name, "why_not": why_not}
    command = [sys.executable, "-m", "benchmarks.gpu_worker", str(folder), engine.loss]
    try:
        told = subprocess.run(
            [*command, engine.name, str(n_iter), str(rounds)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"engine": engine.name, "why_not": f"took longer than {limit:g} s"}
    if told.returncode != 0 or not told.stdout:
        last = told.stderr.strip().splitlines()[-1:] or ["no message"]
        return {"engine": engine.name, "why_not": f"exit code {told.returncode}: {last[0]}"}
    found = json.loads(told.stdout.splitlines()[-1])
    return {"engine": engine.name, "note": engine.note, **found}


def judged(found: list[dict[str, Any]], row: GpuRow, loss: str, limits: Card) -> dict[str, Any]:
    """The outcomes of one row with times a step, ratios to ours and shares of the roofline."""
    best = least_seconds((row.n, row.d), row.k, loss, limits)
    for each in found:
        if "seconds" in each:
            each["median"] = median(each["seconds"])
            each["seconds_an_iteration"] = each["median"] / max(1, each["n_iter"])
            each["roofline_share"] = None if best is None else best / each["seconds_an_iteration"]
    ours = found[0].get("seconds_an_iteration")
    for each in found:
        if ours and "median" in each:
            each["ratio"] = each["seconds_an_iteration"] / ours
    return {"loss": loss, **row._asdict(), "least_seconds": best, "engines": found}


def block(name: str, result: dict[str, Any]) -> str:
    """One row as text."""
    title = f"\n{name} ({result['loss']}): {result['n']:,} × {result['d']}, k={result['k']}"
    return "\n".join([title, HEADER, *map(_line, result["engines"])])


def _line(each: dict[str, Any]) -> str:
    if "why_not" in each:
        return f"{each['engine']:18s}  absent: {each['why_not']}"
    share = each["roofline_share"]
    return (
        f"{each['engine']:18s}{each['median']:10.4g}{1000 * each['seconds_an_iteration']:10.4g}"
        f"{each['n_iter']:6d}{each.get('ratio', float('nan')):9.2f}"
        f"{'–' if share is None else f'{share:.0%}':>10s}{each['loss']:14.7g}  {each['note']}"
    ).rstrip()


def fits(row: GpuRow) -> str | None:
    """Why the row does not fit on the device, or None."""
    import cupy

    needed = room_for((row.n, row.d), FLOAT32)
    free = free_bytes(place_of(cupy.empty(0)))
    if needed <= free:
        return None
    return f"needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"


def run(name: str, row: GpuRow, limits: Card, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One row with either loss, each printed as it is done."""
    why_not = fits(row)
    if why_not is not None:
        print(f"\n{name}: skipped, {why_not}")
        return [{"row": name, **row._asdict(), "why_not": why_not}]
    results = []
    with tempfile.TemporaryDirectory(prefix="kmgpu-bench-") as folder:
        write(row, Path(folder))
        for loss in (options.loss,) if options.loss else ("l2", "l1"):
            told = [
                outcome(engine, Path(folder), row.n_iter, options.rounds, options.limit)
                for engine in engines(loss, options.engines)
            ]
            results.append({"row": name, **judged(told, row, loss, limits)})
            print(block(name, results[-1]), flush=True)
    return results


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--rows", help=f"comma-separated, of {', '.join(ROWS)}; default: all")
    parser.add_argument("--loss", choices=("l2", "l1"), help="default: both")
    parser.add_argument("--engines", help="comma-separated; kmgpu is always among them")
    parser.add_argument("--toy", action="store_true", help="a toy row only: does it run?")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=900, help="seconds an engine and row")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    options.rows = options.rows.split(",") if options.rows else list(ROWS)
    options.engines = ["kmgpu", *options.engines.split(",")] if options.engines else None
    unknown = [name for name in options.rows if name not in ROWS]
    names = {engine.name for engine in ENGINES}
    unknown += [name for name in options.engines or [] if name not in names]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    usable = cupy_usable()
    if not usable.yes:
        print(f"no GPU to measure on: {usable.why}", file=sys.stderr)
        return 2
    limits = card()
    found = {**machine.describe(), "card": limits.describe()}
    print(f"{limits.name}, driver {limits.driver}, CuPy {limits.cupy}", flush=True)
    if limits.emulated:
        print(NOT_A_GPU)
    rows = TOYS if options.toy or limits.emulated else {name: ROWS[name] for name in options.rows}
    results = [result for name, row in rows.items() for result in run(name, row, limits, options)]
    if options.json is not None:
        content = {"is_a_gpu": not limits.emulated, "machine": found, "results": results}
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    failed = [r for r in results if "engines" in r and "why_not" in r["engines"][0]]
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
