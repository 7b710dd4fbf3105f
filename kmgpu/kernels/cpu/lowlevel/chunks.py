"""Chunks: 256 consecutive rows, the unit in which seeding and screening work and sum.

Every sum over rows is a sum of the sums of chunks. One thread takes each of these, in a fixed
order, so no result depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from kmgpu.backend.threads import Workers

CHUNK_ROWS = 256


def chunks_of(n: int) -> int:
    """Number of chunks of n rows, the last of them maybe shorter."""
    return -(-n // CHUNK_ROWS)


class ChunkWorkers:
    """Runs a function over all chunks of some rows by several threads.

    Parameters
    ----------
    workers : Workers
    n_rows : int
    """

    def __init__(self, workers: Workers, n_rows: int) -> None:
        self._workers, self._n_chunks = workers, chunks_of(n_rows)

    def run(self, function: Callable[..., None], work: float, *args: object) -> None:
        """Call ``function(lo, hi, *args)`` on ranges of chunks that cover all of them.

        `work` is the expected cost, about in nanoseconds; little of it stays in this thread.
        """
        n_parts = int(min(self._workers.n_threads * 4, self._n_chunks, work / 1e5))
        edges = np.linspace(0, self._n_chunks, max(1, n_parts) + 1).astype(int).tolist()
        self._workers.map(lambda part: function(*part, *args), pairwise(edges))
