"""Files of vectors as benchmarks of nearest neighbours write them, memory-mapped.

| ending | bytes |
|---|---|
| .fbin .u8bin .i8bin | int32 n, int32 d, then n × d numbers: float32, uint8, int8 |
| .fvecs .bvecs .ivecs | n times int32 d and d numbers: float32, uint8, int32 |

All little-endian.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from kmgpu.io.reading import BadFile

BINS = {".fbin": "<f4", ".u8bin": "<u1", ".i8bin": "<i1"}
VECS = {".fvecs": "<f4", ".bvecs": "<u1", ".ivecs": "<i4"}
INT = np.dtype("<i4")
# headers of rows that are looked at together
AT_A_TIME = 1 << 20


def mapped_vectors(path: Path) -> np.memmap:
    """The vectors in a file, (n, d), read-only; of .fvecs and the like a view with gaps.

    Raises
    ------
    BadFile
        Where a header and the size of the file, or two headers, do not agree.
    """
    suffix = path.suffix.lower()
    size = path.stat().st_size
    if suffix in BINS:
        return _bins(path, np.dtype(BINS[suffix]), size)
    return _vecs(path, np.dtype(VECS[suffix]), size)


def _bins(path: Path, dtype: np.dtype, size: int) -> np.memmap:
    start = 2 * INT.itemsize
    n, d = _integers(path, 2)
    expected = start + n * d * dtype.itemsize
    if n < 1 or d < 1 or expected != size:
        msg = (
            f"{path}: its header says {n:,} rows of {d:,} {dtype.name} numbers, {expected:,} bytes "
            f"in all, and it has {size:,}; take another copy, or write int32 n, int32 d and the "
            f"numbers."
        )
        raise BadFile(msg)
    return np.memmap(path, dtype, "r", start, (n, d))


def _vecs(path: Path, dtype: np.dtype, size: int) -> np.memmap:
    (d,) = _integers(path, 1)
    row_bytes = INT.itemsize + d * dtype.itemsize
    if d < 1 or size % row_bytes:
        msg = (
            f"{path}: its first row says that rows have {d:,} {dtype.name} numbers, and the file "
            f"has {size:,} bytes, no multiple of {row_bytes:,}; take another copy, or write int32 "
            f"d before each row."
        )
        raise BadFile(msg)
    table = np.memmap(path, np.dtype([("d", INT), ("x", dtype, (d,))]), "r")
    for start in range(0, len(table), AT_A_TIME):
        others = np.flatnonzero(table["d"][start : start + AT_A_TIME] != d)
        if others.size:
            row = start + int(others[0])
            msg = (
                f"{path}: row {row} says that it has {int(table['d'][row]):,} numbers where row 0 "
                f"has {d:,}; take another copy, or write rows of one length."
            )
            raise BadFile(msg)
    return cast(np.memmap, table["x"])


def _integers(path: Path, count: int) -> list[int]:
    with path.open("rb") as file:
        header = file.read(count * INT.itemsize)
    if len(header) < count * INT.itemsize:
        msg = f"{path} has {len(header)} bytes, fewer than a header; take another copy."
        raise BadFile(msg)
    return np.frombuffer(header, INT).tolist()
