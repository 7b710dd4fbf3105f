"""Data that workers of Dask read, each its own chunks: parquet and zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kmgpu.files import PathLike
from kmgpu.io.columns import Choice
from kmgpu.io.opening import PARQUET, files_of, with_columns
from kmgpu.io.parquet import parquet_blocks, parquet_parts, read_part
from kmgpu.io.reading import BadFile, reading
from kmgpu.io.stores import is_zarr, store_array
from kmgpu.io.tables import Table

INSTALL_DASK = "pip install 'kmgpu[dask]'"
CHUNK_BYTES = 1 << 27


def open_lazy(path: PathLike, array: str | None = None, choose: Choice | None = None) -> Table:
    """A Dask array of the rows of a parquet file, a folder of such files, or a zarr folder.

    Nothing but sizes and names is read. Workers must find the data under the same absolute path.

    Parameters
    ----------
    path : str or path-like
    array : str, optional
        Which array of zarr; needed where there are several.
    choose : callable, optional
        Which columns to read.

    Raises
    ------
    ValueError
        For data of another form, naming the file and the remedy.
    ImportError
        Where a library is missing; the message names the extra.
    """
    file = Path(path).resolve()
    with reading(path):
        if file.is_dir() and is_zarr(file):
            return with_columns(Table(_of_store(store_array(file, array))), choose)
        files = files_of(file) if file.is_dir() else [file]
        if any(each.suffix.lower() != PARQUET for each in files):
            msg = f"{path}: workers of Dask read .parquet, a folder of .parquet files, or zarr."
            raise BadFile(msg)
        if array is not None:
            msg = f"{path} holds one table, and array={array!r} was given; leave it out."
            raise BadFile(msg)
        return _of_parquet(files, choose)


def import_dask() -> Any:
    """`dask`, with its arrays.

    Raises
    ------
    ImportError
        Naming the extra.
    """
    try:
        import dask.array
    except ImportError as error:
        msg = f"Dask is missing ({error}); {INSTALL_DASK}"
        raise ImportError(msg) from error
    return dask


def _of_store(array: Any) -> Any:
    n, d = array.shape
    chunk = array.chunks[0]
    step = max(1, CHUNK_BYTES // (d * np.dtype(array.dtype).itemsize * chunk)) * chunk
    return import_dask().array.from_array(array, chunks=(min(n, step), d))


def _of_parquet(files: list[Path], choose: Choice | None) -> Table:
    dask = import_dask()
    blocks, names, found = parquet_blocks(files, choose)
    if not blocks.n_samples:
        msg = f"{files[0]} holds no rows; a minimum of 1 is required."
        raise BadFile(msg)
    dtype, d = blocks.dtype, len(names)
    read = dask.delayed(read_part, pure=True)
    chunks = [
        dask.array.from_delayed(read(part, names, dtype), (part.n_rows, d), dtype)
        for part in parquet_parts(files, max(1, CHUNK_BYTES // (d * dtype.itemsize)))
    ]
    return Table(dask.array.concatenate(chunks), names, found)
