"""Mistakes planted into the CPU kernels and the reference; `python -m tests.mutants` runs them.

A mutant is the whole package, copied with one change into a folder of its own together with the
tests. There its test runs, with a kernel cache of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.mutants.slacks import SLACKS
from tests.mutants.slacks_high import HIGH_SLACKS

ROOT = Path(__file__).parents[2]
KERNELS = Path("kmgpu/kernels/cpu")
COPIED = ("kmgpu", "tests", "conftest.py", "pyproject.toml")
LIMIT = 600  # seconds; a mistake that hangs is caught
TESTS_FAILED = 1  # pytest's exit status; others say that nothing was tested


class CpuMutant(NamedTuple):
    """A mistake.

    Attributes
    ----------
    source : str
        A file, from `KERNELS`.
    old, new : str
        `old` is once in the source's text.
    test : str
        A pytest node, without the folder of its file.
    """

    source: str
    old: str
    new: str
    test: str

    def planted(self, code: str) -> str:
        """The text with the mistake in it."""
        assert code.count(self.old) == 1, f"{code.count(self.old)} times: {self.old}"
        return code.replace(self.old, self.new)


ALIKE = "test_kernels_exact.py::test_kernels_and_the_reference_round_alike"
SEEDS = "test_kernels_seeding.py::test_same_rows_as_the_reference"
GAINS = "test_kernels_seeding.py::test_gains_of_any_number_of_trials"
SKETCH = "test_kernels_seeding.py::test_the_sketch_excludes_no_row_that_is_nearer_and_most_others"
CPU_MUTANTS = {
    "sums of float64 costs reordered": CpuMutant(
        "lowlevel/exact.py",
        "@njit(fastmath=False)\ndef exact_cost(",
        '@njit(fastmath={"reassoc", "contract"})\ndef exact_cost(',
        f"{ALIKE}[200-float64-l2]",
    ),
    "float64 costs of float32 differences": CpuMutant(
        "lowlevel/exact.py",
        "v = np.float64(x[q])",
        "v = np.float32(x[q])",
        f"{ALIKE}[40-float64-l1]",
    ),
    "the last of equal centres": CpuMutant(
        "lowlevel/exact.py",
        "if costs[j] < best:",
        "if costs[j] <= best:",
        "test_kernels_exact.py::test_equal_centres_give_the_lowest[l2]",
    ),
    "the former best forgotten": CpuMutant(
        "lowlevel/exact.py",
        "label, best, second = j, costs[j], best",
        "label, best = j, costs[j]",
        f"{ALIKE}[3-float64-l2]",
    ),
    "no margin in a sketch": CpuMutant(
        "seeding/sketch.py",
        "ROUNDOFF = 8 * 2.0**-24",
        "ROUNDOFF = 0.0",
        "test_slacks.py::test_limits_of_a_sketch_leave_room_for_rounding[l1]",
    ),
    "no L2 margin of rows": CpuMutant(
        "seeding/sketch.py",
        "0.5 * (reach - length) + ROUNDOFF * (reach + length)",
        "0.5 * (reach - length)",
        "test_slacks.py::test_limits_of_a_sketch_leave_room_for_rounding[l2]",
    ),
    "no L2 margin of points": CpuMutant(
        "seeding/sketch.py",
        "(ROUNDOFF - 0.5) * square",
        "-0.5 * square",
        "test_slacks.py::test_offsets_of_a_sketch_leave_room_for_rounding[l2]",
    ),
    "no L1 margin of points": CpuMutant(
        "seeding/sketch.py",
        " + ROUNDOFF * (np.abs(z) / self.unit).sum(axis=1)",
        "",
        "test_slacks.py::test_offsets_of_a_sketch_leave_room_for_rounding[l1]",
    ),
    "what a sketch leaves of points forgotten": CpuMutant(
        "seeding/sketch.py", "lost += rest * rest", "lost += 0.0", f"{SKETCH}[25-l2]"
    ),
    "what a sketch leaves of rows forgotten": CpuMutant(
        "seeding/sketch.py", "lost * lost if squared", "0.0 if squared", f"{SKETCH}[25-l2]"
    ),
    "codes not shifted back": CpuMutant(
        "seeding/sketch.py", "np.int32(-SHIFT * total)", "np.int32(0)", f"{SKETCH}[25-l2]"
    ),
    "fewer fractions of a step": CpuMutant(
        "lowlevel/byte_scores.py", "FRACTION_BITS = 7", "FRACTION_BITS = 6", f"{SKETCH}[25-l1]"
    ),
    "exact costs of a tile rounded once less": CpuMutant(
        "lowlevel/tile_costs.py",
        "fused = () if is_exact else FUSED",
        "fused = FUSED",
        "test_kernels_nearest.py::test_open_rows_are_ranked_by_the_costs_that_decide"
        "[200-7-float64-l2]",
    ),
    "the last of equal costs in a tile": CpuMutant(
        "lowlevel/tile_costs.py",
        'less = builder.fcmp_ordered("<", cost, best, flags=_FAST)',
        'less = builder.fcmp_ordered("<=", cost, best, flags=_FAST)',
        "test_kernels_low.py::test_duplicates_and_ties",
    ),
    "the second nearest in a tile forgotten": CpuMutant(
        "lowlevel/tile_costs.py",
        "builder.store(lesser_of(builder, worse, second), self._second)",
        "builder.store(worse, self._second)",
        "test_kernels_nearest.py::test_rows_that_gaps_do_not_settle_get_the_nearest_centre"
        "[3-64-float64-l2]",
    ),
    "a seed's draw forgets earlier blocks": CpuMutant(
        "seeding/draws.py", "running = before[b]", "running = 0.0", f"{SEEDS}[3-float64-l2]"
    ),
    "weights ignored in gains": CpuMutant(
        "seeding/low.py", "w[r] = weight[i0 + r]", "w[r] = 1.0", f"{GAINS}[5-2-float64-l2]"
    ),
    "trials beyond fours lost": CpuMutant(
        "seeding/low_tiles.py",
        "range(1, CENTERS + 3)",
        "range(1, CENTERS + 1)",
        f"{GAINS}[5-2-float64-l2]",
    ),
    "labels of seeds off by one": CpuMutant(
        "seeding/high.py",
        "labels[i] = label\n",
        "labels[i] = label - 1\n",
        f"{SEEDS}[40-float64-l2]",
    ),
    "the last of equal seeds": CpuMutant(
        "seeding/high.py",
        "if found < closest[i]:",
        "if found <= closest[i]:",
        "test_kernels_seeding.py::test_labels_of_ties_are_the_first_seeds[l2]",
    ),
    **{name: CpuMutant(*parts) for name, parts in (SLACKS | HIGH_SLACKS).items()},
}


def source_of(mutant: CpuMutant, root: Path = ROOT) -> Path:
    """The file that a mutant changes."""
    return root / KERNELS / mutant.source


def passes(mutant: CpuMutant) -> bool:
    """Whether a mutant's test passes in spite of the mistake."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in COPIED:
            if (ROOT / part).is_dir():
                without = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / part, folder / part, ignore=without)
            else:
                shutil.copy(ROOT / part, folder / part)
        source = source_of(mutant, folder)
        source.write_text(mutant.planted(source.read_text("utf-8")), "utf-8")
        return node_passes(mutant.test, folder, NUMBA_CACHE_DIR=str(folder / "cache"))


def node_passes(test: str, folder: Path = ROOT, **variables: str) -> bool:
    """Whether a test passes on the package that lies in a folder; one that hangs does not.

    Raises
    ------
    RuntimeError
        When pytest neither passed nor failed a test.
    """
    environment = {**os.environ, **variables}
    environment.pop("PYTHONPATH", None)
    file, *names = test.split("::")
    (path,) = (folder / "tests").rglob(file)
    node = "::".join([str(path), *names])
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--backend", "numpy", node]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode > TESTS_FAILED:
        msg = f"pytest {node} ended with {done.returncode}:\n{done.stdout[-2000:]}"
        raise RuntimeError(msg)
    return done.returncode == 0
