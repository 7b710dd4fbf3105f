"""The GPU that a benchmark ran on, and its roofline: how fast it can be at best."""

from __future__ import annotations

from dataclasses import dataclass

from kmgpu.backend.arrays import place_of
from kmgpu.backend.cards import rates
from kmgpu.backend.gpus import cupy_usable, free_bytes, room_for

# fused multiply-adds a clock and multiprocessor of dense float16 products added in float32:
# NVIDIA's whitepapers of the architectures. GeForce halves what Quadro and Tesla of (7, 5), (8, 6)
# and (8, 9) reach; the table has GeForce's, but for the T4's (7, 5).
TENSOR_UNITS = {(7, 0): 512, (7, 5): 512, (8, 0): 1024, (8, 6): 256, (8, 7): 512, (8, 9): 256}
TENSOR_UNITS |= {(9, 0): 2048, (10, 0): 4096, (10, 3): 4096, (12, 0): 256, (12, 1): 256}
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
    tensor : float or None
        Peak fused multiply-adds a second of tensor cores, float16 added in float32.
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
    tensor: float | None
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
        tensor=tensor(known, capability),
        bandwidth=bandwidth(known),
        emulated=emulated,
    )


def _version(number: int) -> str:
    """CUDA 12040 is 12.4; an AMD runtime numbers otherwise and is told as it is."""
    return f"{number // 1000}.{number % 1000 // 10}" if number < FIRST_OF_AMD else str(number)


def additions(attributes: dict[str, int], capability: tuple[int, int]) -> float | None:
    """Peak float32 instructions a second: multiprocessors × units × clock."""
    found = rates(capability, attributes)
    return None if found is None else found.single


def tensor(attributes: dict[str, int], capability: tuple[int, int]) -> float | None:
    """Peak multiply-adds of tensor cores a second."""
    count, clock = attributes.get("MultiProcessorCount"), attributes.get("ClockRate")
    units = TENSOR_UNITS.get(capability)
    return count * units * clock * KHZ if count and clock and units else None


def bandwidth(attributes: dict[str, int]) -> float | None:
    """Peak bytes a second: two transfers a clock over the width of the bus."""
    clock, bits = attributes.get("MemoryClockRate"), attributes.get("GlobalMemoryBusWidth")
    return 2 * clock * KHZ * bits / 8 if clock and bits else None


def least_seconds(shape: tuple[int, int], k: int, loss: str, limits: Card) -> float | None:
    """The least seconds that one iteration on float32 data can take on this card.

    Arithmetic: one fused multiply-add of tensor cores for each row, centre and feature (L2), or a
    subtraction and an addition of float32 units (L1). Memory: assignment and refit each read the
    data once; labels are written and read. The two overlap, so the larger time counts.
    """
    if limits.additions is None or limits.bandwidth is None:
        return None
    n, d = shape
    fastest = limits.additions / 2 if loss == "l1" else limits.tensor or limits.additions
    moved = n * (2 * 4 * d + 2 * 4)
    return max(n * k * d / fastest, moved / limits.bandwidth)


def unusable() -> str | None:
    """Why CuPy finds no GPU to measure on, or None."""
    usable = cupy_usable()
    return None if usable.yes else usable.why


def too_large(shape: tuple[int, int], itemsize: int) -> str | None:
    """Why rows of that shape do not fit on the device, or None."""
    import cupy

    needed, free = room_for(shape, itemsize), free_bytes(place_of(cupy.empty(0)))
    return None if needed <= free else f"needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
