"""No launch takes long on a GPU that draws a display: its driver ends what runs for seconds."""

from __future__ import annotations

from collections.abc import Iterator

from kmgpu.backend.arrays import Array, place_of
from kmgpu.backend.cards import EFFICIENCY
from kmgpu.backend.gpus import cupy_rates, draws_display

# of one launch; Windows waits for 2
LONGEST_SECONDS = 0.5
# float64 instructions for a row, a centre and a feature where every row is ranked again
INSTRUCTIONS = 3


def row_ranges(x: Array, n_clusters: int) -> Iterator[tuple[int, int]]:
    """Ranges of the rows of `x`, each for one search of the nearest of so many centres.

    All rows are one range, unless the GPU draws a display and might rank them all again for longer
    than `LONGEST_SECONDS`, each in float64.
    """
    n, d = x.shape
    step, place = n, place_of(x)
    if place.on_gpu and draws_display(place.ordinal):
        a_row = n_clusters * d * INSTRUCTIONS / (cupy_rates(place.ordinal).double * EFFICIENCY)
        step = max(1, min(n, int(LONGEST_SECONDS / a_row)))
    return ((start, min(n, start + step)) for start in range(0, n, step))
