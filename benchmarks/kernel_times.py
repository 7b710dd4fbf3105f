"""What each kernel takes on a GPU, by CUDA events, and how many rows each stage leaves open."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

from kmgpu.kernels.cuda import module

# kernels that rank rows and list those that they leave open; the last array of one number that they
# are given counts these
LISTING = ("list_open", "nearest_tensor", "nearest_wide")
SEARCHING = "shift_centers"  # each assignment launches it once


@dataclass
class Launch:
    """A kernel's name, the events around it, and the number of rows it left open, if it counts."""

    name: str
    begun: Any
    ended: Any
    left_open: Any = None


@dataclass
class Recorded:
    """The launches of a block, in order."""

    launches: list[Launch] = field(default_factory=list)

    def milliseconds(self) -> dict[str, tuple[float, int]]:
        """By kernel, longest first: milliseconds in all, and launches."""
        import cupy

        found: dict[str, tuple[float, int]] = {}
        for launch in self.launches:
            launch.ended.synchronize()
            taken = float(cupy.cuda.get_elapsed_time(launch.begun, launch.ended))
            total, count = found.get(launch.name, (0.0, 0))
            found[launch.name] = total + taken, count + 1
        return dict(sorted(found.items(), key=lambda item: -item[1][0]))

    def open_shares(self, n_samples: int) -> list[dict[str, float]]:
        """By assignment: the share of the rows that each stage left open."""
        shares: list[dict[str, float]] = []
        for launch in self.launches:
            if launch.name.startswith(SEARCHING):
                shares.append({})
            elif launch.left_open is not None and shares:
                before = shares[-1].get(launch.name, 0.0)
                shares[-1][launch.name] = before + int(launch.left_open[0]) / n_samples
        return shares


class _Watched:
    """A kernel whose launches are recorded."""

    def __init__(self, name: str, function: Any, recorded: Recorded) -> None:
        self.__dict__.update(_name=name, _function=function, _recorded=recorded)

    def __call__(self, grid: Any, block: Any, arguments: Any, **options: Any) -> None:
        import cupy

        launch = Launch(self._name, cupy.cuda.Event(), cupy.cuda.Event())
        launch.begun.record()
        self._function(grid, block, arguments, **options)
        launch.ended.record()
        if self._name.startswith(LISTING):
            counters = [each for each in arguments if getattr(each, "shape", None) == (1,)]
            launch.left_open = counters[-1].copy()
        self._recorded.launches.append(launch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._function, name, value)


@contextmanager
def recorded() -> Iterator[Recorded]:
    """Record every launch of a kernel of kmgpu's inside the block."""
    found, function = Recorded(), module._function

    def watched(source: str, name: str, device: str) -> Any:
        return _Watched(name, function(source, name, device), found)

    with mock.patch.object(module, "_function", watched):
        yield found
