"""Mistakes planted into the CUDA kernels one at a time, each of which a named layer must catch.

    python -m tests.mutants                    # all; prints a table, fails if one survives
    python -m tests.mutants "wrong tie"        # that one

Layers: "host", the kernels on NumPy arrays; "address" and "thread", the same under a sanitizer.
Each runs the few tests that are named, so what catches a mistake is known.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

BARRIER = "__syncthreads();"


class Mutant(NamedTuple):
    """A mistake.

    Attributes
    ----------
    source : str
        The .cu file, or "common".
    changes : tuple of (old, new)
        Each `old` is in the text once.
    layer : {"host", "address", "thread"}
    tests : str
        pytest's -k.
    """

    source: str
    changes: tuple[tuple[str, str], ...]
    layer: str
    tests: str

    def planted(self, code: str) -> str:
        """The text with the mistake in it."""
        for old, new in self.changes:
            assert code.count(old) == 1, f"{code.count(old)} times: {old}"
            code = code.replace(old, new)
        return code


LABELS = "labels_are_those_of_float64 and float32"
LOADED = "load_tile<Acc, Acc, BN, BK, TX * TY>(cs, columns, nullptr, col0, k, d, t0, tid);\n"
USED = "cost[r][c] = Cost::add(cost[r][c], a[r], b[c]);\n      }\n"
PARTS = "if (lane < features) part[warp][b][lane] = count[b];\n      }\n"
MUTANTS = {
    "no barrier before a tile is used": Mutant(
        "nearest", ((f"{LOADED}      {BARRIER}", LOADED),), "host", LABELS
    ),
    "no barrier after a tile is used": Mutant(
        "nearest", ((f"{USED}      {BARRIER}", USED),), "thread", f"{LABELS} and 129 and l1"
    ),
    "a row too far": Mutant(
        "nearest",
        (("first + row < count &&", "first + row <= count &&"),),
        "address",
        f"{LABELS} and 129 and l1",
    ),
    "no guard on features": Mutant("nearest", ((" && feature + t < d;", ";"),), "host", LABELS),
    "a narrow tile": Mutant(
        "nearest", (("e < ROWS * BK; e +=", "e < ROWS * BK - THREADS; e +="),), "host", LABELS
    ),
    "wrong tie": Mutant(
        "nearest",
        (("(cost == best && j < label)", "(cost == best && j > label)"),),
        "host",
        "ties_go_to and float64",
    ),
    "wrong tie between lanes": Mutant(
        "nearest",
        (("(other_best == best && other_label < label)", "(other_best == best)"),),
        "host",
        "ties_go_to and float64",
    ),
    "the runner-up forgotten": Mutant(
        "nearest",
        (("      second = best;\n      best = cost;", "      best = cost;"),),
        "host",
        "best_and_runner_up and float32",
    ),
    "half of the lanes merged": Mutant(
        "nearest", (("int offset = lanes / 2;", "int offset = lanes / 4;"),), "host", LABELS
    ),
    "an early return before a barrier": Mutant(
        "nearest",
        (
            (
                "  Ranked<Acc> ranked[RM];",
                "  if (row0 + ty >= n) return;\n  Ranked<Acc> ranked[RM];",
            ),
        ),
        "host",
        LABELS,
    ),
    "float32 trusted where it is not enough": Mutant(
        "nearest",
        (("> margin * (1 + 1e-9) + r.least", "> 0"),),
        "host",
        "far_from_the_origin",
    ),
    "an infinite cost takes part": Mutant(
        "nearest",
        (("if (!(fabs(cost) < infinity<T>())) {", "if (cost != cost) {"),),
        "host",
        "costs_beyond_float32",
    ),
    "offsets of 32 bits": Mutant(
        "common",
        (("data[row * row_stride +", "data[int(row * row_stride) +"),),
        "host",
        "row_offsets_have_64_bits",
    ),
    "subnormal halves": Mutant(
        "common", (("(h.bits & 0x7c00u)", "(h.bits & 0x7fffu)"),), "host", "half_floats"
    ),
    "no anchor": Mutant(
        "refit",
        (
            ("value ? rows.template at<double>(order[bounds[j]], column) : 0", "0"),
            ("rows.template at<double>(order[begin], column) + sum", "sum"),
        ),
        "host",
        "offset_lose_nothing or identical_rows",
    ),
    "a chunk's carry lost": Mutant(
        "refit",
        (("begin / chunk_rows + 1 + lane", "begin / chunk_rows + 2 + lane"),),
        "host",
        "larger_and_smaller_than_a_chunk and l2",
    ),
    "weights ignored in a mean": Mutant(
        "refit",
        (("sum += WEIGHTED ? weight[row] * term : term;", "sum += term;"),),
        "host",
        "against_brute_force and l2 and float32",
    ),
    "weights ignored in a median": Mutant(
        "refit",
        (("WEIGHTED ? Own(weight[row]) : Own(1)", "Own(1)"),),
        "host",
        "against_brute_force and l1 and float32",
    ),
    "a median off by one": Mutant(
        "refit", (("All((m + 1) / 2)", "All(m / 2 + 1)"),), "host", "medians_by_hand"
    ),
    "an even count's upper median": Mutant(
        "refit",
        (("s.high = All(m / 2);", "s.high = All((m - 1) / 2);"),),
        "host",
        "medians_by_hand",
    ),
    "negative keys in reverse": Mutant(
        "refit",
        (("return bits >> 31 ? ~bits : bits | 0x80000000u;", "return bits ^ 0x80000000u;"),),
        "host",
        "every_sign_and_size and float32",
    ),
    "no barrier before digits are added up": Mutant(
        "refit", ((f"{PARTS}      {BARRIER}", PARTS),), "host", "medians_by_hand"
    ),
}


def run(name: str) -> subprocess.CompletedProcess[str]:
    """The tests of a mutant's layer with the mistake planted."""
    mutant = MUTANTS[name]
    tests = ["-q", "-x", "-k", mutant.tests]
    tests += ["tests/test_kernels_cuda.py", "tests/test_kernels_cuda_refit.py"]
    if mutant.layer == "host":
        command = ["-m", "pytest", "--backend", "numpy", *tests]
    else:
        command = ["-m", "tests.gpuless.sanitize", mutant.layer, *tests]
    environment = {**os.environ, "KMGPU_MUTANT": name}
    return subprocess.run(
        [sys.executable, *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def main(names: Sequence[str]) -> int:
    """Run the mutants; the number of survivors is the exit status."""
    survivors = 0
    for name in names or MUTANTS:
        done = run(name)
        # a layer that cannot run at all (no tests, no compiler) has caught nothing
        caught = done.returncode not in (0, 2, 4, 5)
        survivors += not caught
        layer = MUTANTS[name].layer
        print(f"{name:<42}  {layer:<8}  {'caught' if caught else 'SURVIVED'}", flush=True)
    print(f"{survivors} of {len(names or MUTANTS)} survived")
    return survivors


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
