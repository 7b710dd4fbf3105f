"""The seam: what the algorithm asks of rows that it never holds all at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kmgpu.backend.arrays import Array, Place


@dataclass(frozen=True)
class Block:
    """Some consecutive rows, as a function of `Source.map` sees them.

    Attributes
    ----------
    rows : array of shape (m, n_features), m > 0
        At the place of the source, of its dtype. Valid until the function returns.
    weight : array of shape (m,), float64, or None
        Beside `rows`.
    index : int
        Position among the blocks of a pass; the same at every pass.
    start : int
        Number of the first row among all rows.
    cache : mutable mapping
        What earlier calls have left beside this block. It may be gone at any call, and what it
        holds may only save time: a function gives the same result without it.
    """

    rows: Array
    weight: Array | None
    index: int
    start: int
    cache: MutableMapping[str, Any]


class Source(ABC):
    """Rows in blocks, the same blocks at every pass.

    Attributes
    ----------
    place : Place
        Where functions get their rows.
    n_features : int
    dtype : numpy.dtype
        Of the rows as they are stored.
    weighted : bool
        Whether rows have weights.
    """

    place: Place
    n_features: int
    dtype: np.dtype[Any]
    weighted: bool

    @property
    @abstractmethod
    def n_samples(self) -> int:
        """Number of rows. Where it is unknown before, the first pass finds it."""

    @abstractmethod
    def map(self, function: Callable[..., Any], *broadcast: Any) -> list[Any]:
        """``[function(block, *broadcast) for block in blocks]``, in the order of the blocks.

        Parameters
        ----------
        function : callable
            Of a `Block` and `broadcast`; pure but for the block's cache, so that a call may be
            repeated or made elsewhere (define it at the top of a module, that it can be sent). Its
            result is small: a statistic of the block, on the host.
        *broadcast
            The same for all blocks; on the host.

        Raises
        ------
        ValueError
            Where the rows are not those of earlier passes, by their number or by some of them.
        """

    @abstractmethod
    def fold(
        self, function: Callable[..., Any], merge: Callable[[Any, Any], Any], *broadcast: Any
    ) -> Any:
        """The results of `map`, merged while the pass goes on, so that few exist at a time.

        ``merge(earlier, later)`` is of results of consecutive blocks. The order of merging depends
        on the blocks alone.
        """

    @abstractmethod
    def rowwise(self, function: Callable[..., Any], *broadcast: Any) -> Array:
        """The results of `map` one after the other as one array; each has a first axis of rows."""

    @abstractmethod
    def where(self, row: int) -> str:
        """How a message names the row of that number: "row 7", or "row 7 of block 2 (…)"."""
