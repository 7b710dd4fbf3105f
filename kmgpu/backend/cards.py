"""How long work takes on a GPU and on the CPU, by order of magnitude: what "auto" weighs."""

from __future__ import annotations

from math import log
from typing import NamedTuple

from kmgpu.backend.threads import get_num_threads

# results a clock and multiprocessor, float32 and float64, by compute capability: CUDA C++
# Programming Guide, table of arithmetic throughput
UNITS = {
    (6, 0): (64, 32),
    (6, 1): (128, 4),
    (7, 0): (64, 32),
    (7, 5): (64, 2),
    (8, 0): (64, 32),
    (8, 6): (128, 2),
    (8, 7): (128, 2),
    (8, 9): (128, 2),
    (9, 0): (128, 64),
    (10, 0): (128, 64),
    (10, 3): (128, 2),
    (12, 0): (128, 2),
    (12, 1): (128, 2),
}
KHZ = 1000.0
# rows × clusters × features a second: of one thread of the CPU, pruning counted, L2 and L1
# (measured, tenths to ten times of it by shape), and of seeding
CPU_RATES = {True: 2e10, False: 4e9}
CPU_SEEDING_RATE = 6e8
CPU_ROW_SECONDS = 2e-8
# instructions of such a number, and the share of the peak that a GPU reaches (estimates)
INSTRUCTIONS = {True: 1, False: 2}
EFFICIENCY = 0.5
# the first use of a GPU in a process, launches of an iteration and of a round of seeding, and bytes
# a second on their way to it (estimates)
START_SECONDS = 0.3
ITERATION_SECONDS = 5e-4
ROUND_SECONDS = 5e-5
UPLOAD_RATE = 6e9


class Work(NamedTuple):
    """What is to be done with all rows.

    Attributes
    ----------
    n_clusters : int
    squared : bool
        Whether costs are squared distances (L2).
    assignments : int
        How often each row looks for its nearest centre.
    seedings : int
        How often k-means++ draws centres.
    """

    n_clusters: int
    squared: bool
    assignments: int = 1
    seedings: int = 0


class Rates(NamedTuple):
    """Peak instructions a second (a fused multiply-add is one) of a GPU."""

    single: float
    double: float


# of a T4: what a GPU of unknown rates does at least
LEAST_RATES = Rates(4e12, 1.25e11)


def rates(capability: tuple[int, int], attributes: dict[str, int]) -> Rates | None:
    """Multiprocessors × units × clock of a GPU, None where one of them is unknown."""
    count, clock = attributes.get("MultiProcessorCount"), attributes.get("ClockRate")
    if not count or not clock or capability not in UNITS:
        return None
    single, double = (count * units * clock * KHZ for units in UNITS[capability])
    return Rates(single, double)


def cpu_seconds(shape: tuple[int, int], work: Work) -> float:
    """How long the CPU takes for `work` on data of this shape, about."""
    n, d = shape
    products = n * work.n_clusters * d
    one = n * CPU_ROW_SECONDS + products / CPU_RATES[work.squared]
    seeding = work.seedings * products / CPU_SEEDING_RATE
    return (work.assignments * one + seeding) / get_num_threads()


def gpu_seconds(shape: tuple[int, int], itemsize: int, work: Work, card: Rates) -> float:
    """The same of a GPU, from data on the host. Seeding adds in float64 there."""
    n, d = shape
    products = n * work.n_clusters * d
    one = ITERATION_SECONDS + products * INSTRUCTIONS[work.squared] / (card.single * EFFICIENCY)
    trials = 2 + log(work.n_clusters)
    seeding = work.n_clusters * ROUND_SECONDS + 2 * trials * products / (card.double * EFFICIENCY)
    moved = n * d * itemsize / UPLOAD_RATE
    return START_SECONDS + moved + work.assignments * one + work.seedings * seeding
