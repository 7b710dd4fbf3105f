"""Arrays as blocks of rows: NumPy's, memmaps, and whatever can be sliced by rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kmgpu.sources.row_blocks import RowBlocks

READ_BYTES = 1 << 25  # of one read of what is no NumPy array


class ArrayBlocks(RowBlocks):
    """Rows of something with ``shape``, ``dtype`` and ``array[start:stop]``.

    A NumPy array and a `numpy.memmap` are one block, of which views are used; of others (zarr,
    h5py) some 32 MB are read at a time, in whole chunks where they have ``chunks``.

    Parameters
    ----------
    array : array of shape (n_samples, n_features)
    """

    def __init__(self, array: Any) -> None:
        if len(array.shape) != 2:
            msg = f"X has shape {tuple(array.shape)}; expected (n_samples, n_features)."
            raise ValueError(msg)
        super().__init__(self._parts, n_samples=int(array.shape[0]))
        self._array, self.lasting = array, True
        self._like = np.empty((0, int(array.shape[1])), np.dtype(array.dtype))

    def _parts(self) -> Iterator[np.ndarray]:
        array = self._array
        if isinstance(array, np.ndarray):
            yield np.asarray(array)
            return
        n, d = array.shape
        step = max(1, READ_BYTES // max(1, d * np.dtype(array.dtype).itemsize))
        chunk = (getattr(array, "chunks", None) or (1,))[0]
        step = max(1, step // chunk) * chunk
        for start in range(0, n, step):
            yield array[start : min(n, start + step)]
