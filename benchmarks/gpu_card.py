"""The card a GPU benchmark ran on, and how fast it could be at best: its roofline."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

# float32 units of a multiprocessor by compute capability: CUDA C++ Programming Guide, table of
# arithmetic throughput
UNITS = {
    (7, 0): 64,
    (7, 5): 64,
    (8, 0): 64,
    (8, 6): 128,
    (8, 7): 128,
    (8, 9): 128,
    (9, 0): 128,
    (10, 0): 128,
    (10, 3): 128,
    (12, 0): 128,
    (12, 1): 128,
}
KHZ = 1000.0
FIRST_OF_AMD = 1_000_000
# what the emulation calls its device
EMULATED = "not a GPU"


@dataclass(frozen=True)
class Card:
    """A GPU as its driver describes it.

    Attributes
    ----------
    name : str
    compute_capability : str
    memory : int
        Bytes.
    driver, runtime, cupy : str
        Versions.
    additions : float or None
        Peak float32 instructions a second (a fused multiply-add is one), None where unknown.
    bandwidth : float or None
        Peak bytes a second of its memory, None where unknown.
    emulated : bool
        Whether it is a CPU in disguise, whose times mean nothing.
    """

    name: str
    compute_capability: str
    memory: int
    driver: str
    runtime: str
    cupy: str
    additions: float | None
    bandwidth: float | None
    emulated: bool

    def describe(self) -> dict[str, Any]:
        return asdict(self)


def card() -> Card:
    """The current device of CuPy."""
    import cupy

    runtime, device = cupy.cuda.runtime, cupy.cuda.Device()
    properties = runtime.getDeviceProperties(device.id)
    name = properties["name"].decode()
    emulated = EMULATED in name
    capability = (properties["major"], properties["minor"])
    known = {} if emulated else device.attributes
    return Card(
        name=name,
        compute_capability=".".join(map(str, capability)),
        memory=int(runtime.memGetInfo()[1]),
        driver=_version(runtime.driverGetVersion()),
        runtime=_version(runtime.runtimeGetVersion()),
        cupy=cupy.__version__,
        additions=additions(known, capability),
        bandwidth=bandwidth(known),
        emulated=emulated,
    )


def _version(number: int) -> str:
    """CUDA 12040 is 12.4; an AMD runtime numbers otherwise and is told as it is."""
    return f"{number // 1000}.{number % 1000 // 10}" if number < FIRST_OF_AMD else str(number)


def additions(attributes: dict[str, int], capability: tuple[int, int]) -> float | None:
    """Peak float32 instructions a second: multiprocessors × units × clock."""
    count, clock = attributes.get("MultiProcessorCount"), attributes.get("ClockRate")
    units = UNITS.get(capability)
    return count * units * clock * KHZ if count and clock and units else None


def bandwidth(attributes: dict[str, int]) -> float | None:
    """Peak bytes a second: two transfers a clock over the width of the bus."""
    clock, bits = attributes.get("MemoryClockRate"), attributes.get("GlobalMemoryBusWidth")
    return 2 * clock * KHZ * bits / 8 if clock and bits else None


def least_seconds(shape: tuple[int, int], k: int, loss: str, limits: Card) -> float | None:
    """Seconds that one iteration on float32 data cannot be done in less of, on this card.

    The assignment takes one fused multiply-add a number for L2, a subtraction and an addition for
    L1, without tensor cores; assignment and refit each read the data once and the labels are
    written and read. The larger of the two times, as they overlap.
    """
    if limits.additions is None or limits.bandwidth is None:
        return None
    n, d = shape
    instructions = n * k * d * (1 if loss == "l2" else 2)
    moved = n * (2 * 4 * d + 2 * 4)
    return max(instructions / limits.additions, moved / limits.bandwidth)
