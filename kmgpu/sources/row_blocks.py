"""Blocks of rows that a user or a file gives, checked as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from kmgpu.backend.arrays import is_extension, is_real, to_host


class RowBlocks:
    """Data that are read block by block, as often as needed, instead of one array.

    Where a fit takes `X`, it takes this: rows need not fit the memory, and their number need not be
    known. Every pass over the data asks for all blocks again.

    Parameters
    ----------
    source : iterable or callable
        What ``iter(source)``, or ``source()``, gives: arrays of shape (m, n_features), all of one
        dtype, the same ones in the same order each time. Their lengths may differ and may be 0.
    n_samples : int, optional
        Number of rows, where it is known beforehand.

    Attributes
    ----------
    n_features : int
    dtype : numpy.dtype
    n_samples : int or None

    Raises
    ------
    TypeError
        For an iterator, which can be read once only.

    Examples
    --------
    >>> import numpy as np
    >>> from kmgpu import KMeans, RowBlocks
    >>> X = np.array([[1.0, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> blocks = RowBlocks(lambda: (X[i : i + 2] for i in range(0, 6, 2)))
    >>> KMeans(n_clusters=2, init=X[[0, 3]]).fit(blocks).cluster_centers_
    array([[ 1.,  2.],
           [10.,  2.]])
    """

    def __init__(
        self,
        source: Iterable[Any] | Callable[[], Iterable[Any]],
        *,
        n_samples: int | None = None,
    ) -> None:
        check_rereadable(source, "source")
        if not callable(source) and not hasattr(source, "__iter__"):
            msg = (
                f"source is of type {type(source).__name__}; pass an iterable of 2-d arrays that "
                f"can be read again (a list, say), or a function that returns one."
            )
            raise TypeError(msg)
        self._source = source
        self.n_samples = n_samples
        self._like: np.ndarray | None = None
        # whether blocks stay as they are when the next one is asked for
        self.lasting = isinstance(source, list | tuple)

    @property
    def n_features(self) -> int:
        return self._prototype().shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._prototype().dtype

    def blocks(self) -> Iterator[np.ndarray]:
        """All blocks, checked, on the host, in order.

        Raises
        ------
        ValueError, TypeError
            For what is not two-dimensional, not real, or of another width or dtype than the first
            block; the message names the block.
        """
        for index, block in enumerate(self._opened()):
            found = _array_of(block, index)
            if self._like is None and len(found):
                self._like = found[:0].copy()
            if self._like is not None and found.size:
                _check_like(found, self._like, index)
            yield found

    def _opened(self) -> Iterator[Any]:
        source = self._source
        return iter(source() if callable(source) else source)

    def _prototype(self) -> np.ndarray:
        """An array of no rows like all blocks."""
        if self._like is None:
            any(len(block) for block in self.blocks())
        if self._like is None:
            msg = "X gives no rows: none of its blocks holds any; a minimum of 1 is required."
            raise ValueError(msg)
        return self._like


def check_rereadable(source: Any, name: str) -> None:
    """Raise TypeError for an iterator, such as a generator: a fit reads its data several times."""
    if hasattr(source, "__next__"):
        kind = type(source).__name__
        msg = (
            f"{name} is a {kind}, which can be read once only, and a fit reads its data several "
            f"times. Pass kmgpu.RowBlocks(function) with a function that returns a new {kind} at "
            f"every call."
        )
        raise TypeError(msg)


def _array_of(block: Any, index: int) -> np.ndarray:
    array = to_host(block)
    if array.ndim != 2:
        msg = (
            f"block {index} of X is {array.ndim}-dimensional, of shape {array.shape}; "
            f"blocks must be of shape (rows, n_features)."
        )
        raise ValueError(msg)
    if array.dtype.kind not in "fiub" and not (is_extension(array) and is_real(array)):
        msg = f"block {index} of X has dtype {array.dtype}; pass real numbers."
        raise TypeError(msg)
    return array


def _check_like(block: np.ndarray, like: np.ndarray, index: int) -> None:
    if block.shape[1] != like.shape[1]:
        msg = (
            f"block {index} of X has {block.shape[1]} features, the first one has "
            f"{like.shape[1]}; all blocks must be equally wide."
        )
        raise ValueError(msg)
    if block.dtype != like.dtype:
        msg = (
            f"block {index} of X has dtype {block.dtype}, the first one has {like.dtype}; "
            f"convert all blocks to one dtype."
        )
        raise ValueError(msg)
