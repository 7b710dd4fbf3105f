"""Everything about kmgpu on the GPU of this machine, in ten minutes at most.

    python -m benchmarks.gpu              # writes gpu-NAME.json and .md beside this file
    python -m benchmarks.gpu --minutes 3  # the most important first; the rest is listed as left out

Iterations, kernels, the rows that each stage leaves open, the loss and the labels of every case;
seeding; uploads; what device="auto" estimates; and peers, where they are installed, side by side.
"""

from __future__ import annotations

import argparse
import gc
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import card, compare, gpu_cases, gpu_measure, gpu_report, machine, rows
from benchmarks.engines import engines
from benchmarks.rounds import Limits, Task
from benchmarks.worker import free_device

MINUTES = 9.5
# of the time there is, for kmgpu alone; peers have what is left
OWN_SHARE = 0.6
PEER_ITERATIONS = 12
PEER_LIMITS = {"rounds": 2, "seconds": 10.0, "timeout": 120.0, "memory": False}
UPLOADED_BYTES = {False: 1 << 30, True: 1 << 21}
AUTOMATIC = tuple(
    gpu_cases.Case(n, d, k)
    for n, d, k in ((1000, 4, 3), (100_000, 16, 8), (1_000_000, 16, 32), (200_000, 128, 256))
)


class Run:
    """What has been measured, and what has not and why; written after every step."""

    def __init__(self, found: dict[str, Any], stem: Path, minutes: float) -> None:
        self.found, self._stem = found, stem
        self._begun, self._seconds = time.monotonic(), 60 * minutes

    def left(self, share: float = 1.0) -> float:
        """Seconds until that share of the time is used up."""
        return self._begun + share * self._seconds - time.monotonic()

    def step(self, part: str, name: str, measure: Callable[[], Any], share: float) -> None:
        """Add what `measure` finds to a part; where it fails or is late, say so and go on."""
        if self.left(share) <= 0:
            self.found["left_out"].append(f"{part}, {name}: the minutes are used up")
            return
        try:
            self.found[part].append(measure())
        except Exception as error:
            self.found["left_out"].append(f"{part}, {name}: {type(error).__name__}: {error}")
        gc.collect()
        free_device()
        print(f"{part}: {name}, {self.left():.0f} s left", flush=True)
        gpu_report.write(self.found, self._stem)


def measure_ours(run: Run, gpu: card.Card, cases: tuple[gpu_cases.Case, ...]) -> None:
    """The cases and what else is kmgpu's own."""
    first = cases[0]
    steps: list[tuple[str, str, Callable[[], Any]]] = [
        ("cases", case.name, lambda case=case: gpu_measure.measured(case, gpu)) for case in cases
    ]
    few = gpu_cases.tiny(AUTOMATIC) if gpu.emulated else AUTOMATIC
    n_bytes = UPLOADED_BYTES[gpu.emulated]
    steps[5:5] = [
        ("seeding", first.name, lambda: gpu_measure.seeding(first)),
        ("uploads", f"{n_bytes} bytes", lambda: gpu_measure.uploads(n_bytes)),
        *(("auto", case.name, lambda case=case: gpu_measure.automatic(case)) for case in few),
    ]
    for part, name, measure in steps:
        run.step(part, name, measure, OWN_SHARE)


def measure_peers(run: Run, gpu: card.Card) -> None:
    """kmgpu and the peers that are installed, in turn, on the rows of `benchmarks.compare`."""
    for loss in ("l2", "l1"):
        others = [e for e in engines(loss, device="cuda") if not e.name.startswith("kmgpu")]
        for engine in others:
            if why := engine.absent():
                run.found["left_out"].append(f"peers, {engine.name} ({loss}): {why}")
        names = ["kmgpu", *(engine.name for engine in others if engine.absent() is None)]
        if len(names) == 1:
            continue
        for row in [rows.TOY] if gpu.emulated else rows.CUDA:
            limits = Limits(**PEER_LIMITS, until=time.monotonic() + run.left())
            task = Task(row, loss, "fit", machine.n_cores(), n_iter=PEER_ITERATIONS, device="cuda")

            def measure(task: Task = task, limits: Limits = limits, names: Any = names) -> Any:
                result = compare.measure("fit", task, names, limits, gpu)
                return None if result is None else result.record()

            run.step("peers", f"{row.name} ({loss})", measure, 1.0)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"default {MINUTES}")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: beside this file")
    options = parser.parse_args(arguments)
    why_not = card.unusable()
    if why_not is not None:
        print(f"no GPU to measure on: {why_not}", file=sys.stderr)
        return 2
    gpu = card.card()
    # figures of an emulation are not kept among those of cards
    usual = Path(tempfile.gettempdir()) if gpu.emulated else Path(__file__).parent
    slug = re.sub(r"[^a-z0-9]+", "-", gpu.name.lower()).strip("-")
    stem = (options.out or usual) / f"gpu-{slug}"
    found: dict[str, Any] = {"machine": machine.describe() | asdict(gpu), "left_out": []}
    found |= {part: [] for part in gpu_report.PARTS}
    run = Run(found, stem, options.minutes)
    if gpu.emulated:
        print(compare.NOT_A_GPU)
    measure_ours(run, gpu, gpu_cases.tiny(gpu_cases.CASES) if gpu.emulated else gpu_cases.CASES)
    measure_peers(run, gpu)
    gpu_report.write(found, stem)
    print(stem.with_suffix(".md").read_text())
    return int(any(case["wrong_labels"] or case["predict_differs"] for case in found["cases"]))


if __name__ == "__main__":
    sys.exit(main())
