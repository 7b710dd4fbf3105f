"""The GPU that a benchmark ran on, and its roofline: how fast it can be at best."""

from __future__ import annotations

from dataclasses import dataclass

from kmgpu.backend.arrays import place_of
from kmgpu.backend.gpus import cupy_usable, free_bytes, room_for

# float32 units of a multiprocessor by compute capability: CUDA C++ Programming Guide, table of
# arithmetic throughput
UNITS = dict.fromkeys([(7, 0), (7, 5), (8, 0)], 64)
UNITS |= dict.fromkeys([(8, 6), (8, 7), (8, 9), (9, 0), (10, 0), (10, 3), (12, 0), (12, 1)], 128)
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
        True for the CPU emulation, whose times mean nothing.
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
    """The least seconds that one iteration on float32 data can take on this card.

    Arithmetic, without tensor cores: one fused multiply-add for each row, centre and feature (L2),
    or a subtraction and an addition (L1). Memory: assignment and refit each read the data once;
    labels are written and read. The two overlap, so the larger time counts.
    """
    if limits.additions is None or limits.bandwidth is None:
        return None
    n, d = shape
    instructions = n * k * d * (1 if loss == "l2" else 2)
    moved = n * (2 * 4 * d + 2 * 4)
    return max(instructions / limits.additions, moved / limits.bandwidth)


def unusable() -> str | None:
    """Why CuPy finds no GPU to measure on, or None."""
    usable = cupy_usable()
    return None if usable.yes else usable.why


def too_large(shape: tuple[int, int], itemsize: int) -> str | None:
    """Why rows of that shape do not fit on the device, or None."""
    import cupy

    needed, free = room_for(shape, itemsize), free_bytes(place_of(cupy.empty(0)))
    return None if needed <= free else f"needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
