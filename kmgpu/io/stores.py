"""zarr and HDF5: arrays in chunks, of which rows are read as they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kmgpu.io.reading import BadFile, reading, shortened
from kmgpu.sources.arrays import ArrayBlocks
from kmgpu.sources.row_blocks import RowBlocks

INSTALL_ZARR = "pip install 'kmgpu[zarr]'"
INSTALL_HDF5 = "pip install 'kmgpu[hdf5]'"
ZARR_MARKS = ("zarr.json", ".zarray", ".zgroup")
HDF5 = (".h5", ".hdf5")
# kinds of dtypes
NUMBERS = "biuf"


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr array or group."""
    return any((path / mark).is_file() for mark in ZARR_MARKS)


def store_blocks(path: Path, array: str | None) -> RowBlocks:
    """The rows of an array of two dimensions in a zarr folder or an HDF5 file.

    Parameters
    ----------
    path : Path
    array : str or None
        Its name, which may be left out where there is one such array of numbers.

    Raises
    ------
    BadFile
        In one line: the file, what is in it, and the remedy.
    ImportError
        Where the library is missing; the message names the extra.
    """
    found = ArrayBlocks(store_array(path, array))

    def blocks() -> Iterator[np.ndarray]:
        with reading(path):
            yield from found.blocks()

    return RowBlocks(blocks, n_samples=found.n_samples)


def store_array(path: Path, name: str | None) -> Any:
    """The array that `store_blocks` reads, as its library opens it."""
    return _chosen(path, _opened_zarr if path.is_dir() else _opened_hdf5, name)


def _chosen(path: Path, opened: Callable[[Path], dict[str, Any]], name: str | None) -> Any:
    arrays = opened(path)
    if name is not None and name in arrays:
        fitting = {name: arrays[name]}
    elif name is None:
        fitting = {key: each for key, each in arrays.items() if _is_table(each)}
    else:
        fitting = {}
    if len(fitting) != 1:
        shown = shortened(", ".join(sorted(arrays))) or "(none)"
        wanted = "name one with --array (array=…)" if name is None else f"there is no {name!r}"
        msg = f"{path} holds the arrays {shown}; {wanted}."
        raise BadFile(msg)
    (chosen,) = fitting.values()
    if not _is_table(chosen):
        msg = (
            f"{path} holds an array of shape {tuple(chosen.shape)} and dtype {chosen.dtype}; "
            f"expected real numbers, (n_samples, n_features), at least one of each."
        )
        raise BadFile(msg)
    return chosen


def _is_table(array: Any) -> bool:
    kind = np.dtype(array.dtype).kind
    return len(array.shape) == 2 and 0 not in array.shape and kind in NUMBERS


def _opened_zarr(path: Path) -> dict[str, Any]:
    """The arrays by their names; an array that is no group has the name ""."""
    try:
        import zarr
    except ImportError as error:
        msg = f"{path}: reading zarr needs zarr ({error}); {INSTALL_ZARR}"
        raise ImportError(msg) from error
    found = zarr.open(str(path), mode="r")
    if isinstance(found, zarr.Array):
        return {"": found}
    return {name: each for name, each in found.members(max_depth=None) if hasattr(each, "shape")}


def _opened_hdf5(path: Path) -> dict[str, Any]:
    try:
        import h5py
    except ImportError as error:
        msg = f"{path}: reading HDF5 needs h5py ({error}); {INSTALL_HDF5}"
        raise ImportError(msg) from error
    found: dict[str, Any] = {}

    def note(name: str, each: Any) -> None:
        if isinstance(each, h5py.Dataset):
            found[name] = each

    h5py.File(path, "r").visititems(note)
    return found
