"""Mistakes planted into the kernels one at a time, each of which a named layer must catch.

    python -m tests.mutants                    # all; prints a table, fails if one survives
    python -m tests.mutants "wrong tie"        # that one

Each mutant names the test that catches it; the layers are in `cuda` and `cpu`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.mutants import cpu, cuda


def survives(name: str) -> bool:
    """Whether nothing catches a mistake; a test that fails on the sound text has caught nothing."""
    if name in cpu.CPU_MUTANTS:
        mistake = cpu.CPU_MUTANTS[name]
        return cpu.passes(mistake) or not cpu.node_passes(mistake.test)
    mutant = cuda.MUTANTS[name]
    passes = cuda.passes_on_host(mutant) if mutant.layer == "host" else cuda.passes_sanitizer(name)
    return passes or not cuda.passes_on_host(mutant._replace(changes=()))


def main(names: Sequence[str]) -> int:
    """Run the mutants; the number of survivors is the exit status."""
    survivors = 0
    for name in names or [*cuda.MUTANTS, *cpu.CPU_MUTANTS]:
        layer = "cpu" if name in cpu.CPU_MUTANTS else cuda.MUTANTS[name].layer
        survived = survives(name)
        survivors += survived
        print(f"{name:<40}  {layer:<8}  {'SURVIVED' if survived else 'caught'}", flush=True)
    print(f"{survivors} of {len(names or [*cuda.MUTANTS, *cpu.CPU_MUTANTS])} survived")
    return survivors


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
