"""Blocks of rows, and running over them by threads.

Every sum over rows is a sum of block sums, each of them taken in one fixed order by one worker, so
no result depends on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from kmgpu.backend.threads import Workers

ROWS = 256


class BlockWorkers:
    """Runs a block function over ranges of blocks by several threads.

    Parameters
    ----------
    workers : Workers
    n_blocks : int
    """

    def __init__(self, workers: Workers, n_blocks: int) -> None:
        self._workers, self._n_blocks = workers, n_blocks

    def run(self, function: Callable[..., None], work: float, *args: object) -> None:
        """Call ``function(lo, hi, *args)`` on ranges that cover all blocks.

        `work` is the expected cost, about in nanoseconds; little of it stays in this thread.
        """
        n_parts = int(min(self._workers.n_threads * 4, self._n_blocks, work / 1e5))
        edges = np.linspace(0, self._n_blocks, max(1, n_parts) + 1).astype(int).tolist()
        self._workers.map(lambda part: function(*part, *args), pairwise(edges))
