"""Data of any size: what fits is read or mapped, the rest becomes blocks of rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from kmgpu.files import PathLike
from kmgpu.io.columns import Choice, Names, Picked, picked
from kmgpu.io.parquet import parquet_blocks
from kmgpu.io.reading import BadFile, reading, shortened
from kmgpu.io.stores import HDF5, is_zarr, store_blocks
from kmgpu.io.tables import ANEW, PACKED, STDIN, TEXTS, Table, ending_of, read_table, text_of
from kmgpu.io.text_layout import Layout, layout_of
from kmgpu.io.text_tables import located, reading_of, text_blocks
from kmgpu.io.vectors import BINS, VECS
from kmgpu.sources.row_blocks import RowBlocks

# bytes of text and parquet, which must be decoded, that are read at once
AT_ONCE = 1 << 30
UNPACKED = 8  # bytes of text from one of .gz, about
MAPPED = (".npy", *BINS, *VECS)
PARQUET = ".parquet"
PIECE_BYTES = 1 << 25


def open_data(
    path: PathLike, array: str | None = None, header: bool | None = None
) -> np.ndarray | RowBlocks:
    """Open data of any size, for `fit` and `partial_fit` of what fits, and for `fit` of the rest.

    - .npy, .fbin, .u8bin, .i8bin, .fvecs, .bvecs, .ivecs: a read-only `numpy.memmap`
    - a folder of shards, all with one of these endings: `RowBlocks`, a block for each shard
    - .parquet, or a folder of such files: an array; `RowBlocks` from 1 GB on
    - .csv, .tsv, .txt, also with .gz, or a folder of such files, all with the same columns: an
      array; `RowBlocks` from 1 GB on (128 MB with .gz)
    - a zarr folder, .h5, .hdf5: `RowBlocks` of whole chunks
    - .npz: an array

    Shards are ordered by name, numbers in names by their value: ``part-2`` before ``part-10``.

    Parameters
    ----------
    path : str or path-like
        "-" is text on standard input.
    array : str, optional
        Which array of an .npz file, of zarr or of HDF5; needed where there are several.
    header : bool, optional
        Whether the first line of text holds names; see `kmgpu fit --help`.

    Returns
    -------
    numpy.ndarray or RowBlocks

    Raises
    ------
    ValueError
        In one line: the file, what was found, and the remedy.
    OSError, MemoryError
        The same where a file cannot be opened or there is too little memory.
    ImportError
        Where a library is missing; the message names the extra.
    """
    return open_table(path, array, header).data


def open_table(
    path: PathLike,
    array: str | None = None,
    header: bool | None = None,
    choose: Choice | None = None,
) -> Table:
    """What `open_data` gives, and the names of the columns; of these, those that `choose` takes."""
    found = _opened(path, array, header, choose)
    return found if found.columns is not None else with_columns(found, choose)


def with_columns(table: Table, choose: Choice | None) -> Table:
    """The columns that `choose` takes of a table that has all; its data may be of Dask."""
    if choose is None:
        return table
    data = table.data
    width = data.n_features if isinstance(data, RowBlocks) else data.shape[1]
    found, names = picked(choose, table.names, width)
    order = list(cast(Picked, found).positions)
    if order == list(range(width)):
        return Table(data, names, found)
    if isinstance(data, RowBlocks) or is_long(data):
        return Table(mapped(data, lambda rows, _: rows[:, order]), names, found)
    return Table(data[:, order], names, found)


def is_long(data: np.ndarray) -> bool:
    """Whether rows that are mapped take too much memory to be copied at once."""
    return isinstance(data, np.memmap) and data.nbytes >= AT_ONCE


def mapped(
    data: np.ndarray | RowBlocks, change: Callable[[np.ndarray, int], np.ndarray]
) -> RowBlocks:
    """The rows as ``change(rows, start)`` makes them, block by block; `start` is their number."""

    def blocks() -> Iterator[np.ndarray]:
        start = 0
        for rows in pieces(data):
            yield change(rows, start)
            start += len(rows)

    n_samples = data.n_samples if isinstance(data, RowBlocks) else len(data)
    return RowBlocks(blocks, n_samples=n_samples)


def pieces(data: np.ndarray | RowBlocks) -> Iterator[np.ndarray]:
    """The rows in order, some 32 MB at a time where a block holds more."""
    for block in data.blocks() if isinstance(data, RowBlocks) else (data,):
        step = max(1, PIECE_BYTES // max(1, block[:1].nbytes))
        yield from (np.asarray(block[at : at + step]) for at in range(0, len(block), step))


def _opened(path: PathLike, array: str | None, header: bool | None, choose: Choice | None) -> Table:
    if path == STDIN:
        return read_table(path, array, header, choose)
    file = Path(path)
    with reading(path, remedy=ANEW):
        folder = file.is_dir()
        if file.suffix.lower() in HDF5 or (folder and is_zarr(file)):
            _check_unused(path, None, header)
            return Table(store_blocks(file, array))
        files = files_of(file) if folder else [file]
        kind, long = ending_of(files[0]), sum(map(size_of, files)) >= AT_ONCE
        if folder or (long and kind in (PARQUET, *TEXTS)):
            _check_unused(path, array, None if kind in TEXTS else header)
            return _joined(files, long, header, choose)
    return read_table(path, array, header, choose)


def _check_unused(path: PathLike, array: str | None, header: bool | None) -> None:
    if array is not None:
        msg = f"{path} holds one table, and array={array!r} was given; leave it out."
        raise BadFile(msg)
    if header is not None:
        msg = f"{path} is no text, and header={header} was given; leave it out."
        raise BadFile(msg)


def files_of(path: Path) -> list[Path]:
    """The files of a folder that together are one table, in order; all have one ending."""
    shards = sorted(
        (file for file in path.rglob("*") if file.is_file() and file.name[0] not in "._"),
        key=lambda file: _natural(file.relative_to(path).as_posix()),
    )
    kinds, known = sorted({ending_of(file) for file in shards}), (*MAPPED, PARQUET, *TEXTS)
    if len(kinds) != 1 or kinds[0] not in known:
        found = ", ".join(kinds) or "no files"
        msg = (
            f"{path} is a folder of {found}; give one whose files all have one of the endings "
            f"{', '.join(known)}, or a zarr folder."
        )
        raise BadFile(msg)
    return shards


def size_of(path: Path) -> int:
    """Bytes of a file, unpacked, about."""
    size = path.stat().st_size
    return UNPACKED * size if path.suffix.lower() == PACKED else size


def _joined(files: Sequence[Path], long: bool, header: bool | None, choose: Choice | None) -> Table:
    """All files as one table; what is not long and must be decoded as an array."""
    kind = ending_of(files[0])
    if kind in MAPPED:
        return Table(_shards(files))
    blocks, names, found = (
        parquet_blocks(files, choose) if kind == PARQUET else _texts(files, header, choose)
    )
    if long:
        return Table(blocks, names, found)
    parts = [block for block in blocks.blocks() if len(block)]
    if not parts:
        msg = f"{files[0].parent} holds no rows; a minimum of 1 is required."
        raise BadFile(msg)
    return Table(np.concatenate(parts), names, found)


def _shards(shards: Sequence[Path]) -> RowBlocks:
    """One block for each shard, mapped when it is its turn; all headers are looked at now."""
    first, n_samples = read_table(shards[0]).data, 0
    for shard in shards:
        found = read_table(shard).data
        if found.shape[1] != first.shape[1] or found.dtype != first.dtype:
            msg = (
                f"{shard} has {found.shape[1]:,} features of dtype {found.dtype}, {shards[0]} has "
                f"{first.shape[1]:,} of {first.dtype}; all shards must be alike."
            )
            raise BadFile(msg)
        n_samples += len(found)

    def blocks() -> Iterator[np.ndarray]:
        return (read_table(shard).data for shard in shards)

    return RowBlocks(blocks, n_samples=n_samples)


def _texts(
    files: Sequence[Path], header: bool | None, choose: Choice | None
) -> tuple[RowBlocks, Names, Picked | None]:
    """The rows of text files, one file after the other, names of the columns, which they are."""
    texts = [text_of(file) for file in files]
    layouts = []
    for file, text in zip(files, texts, strict=True):
        with reading(file, remedy=ANEW), located(text):
            layouts.append(layout_of(text, header))
        first, found = layouts[0], layouts[-1]
        if (found.width, found.names) != (first.width, first.names):
            msg = (
                f"{file} has {_columns(found)}, {files[0]} has {_columns(first)}; all files must "
                f"have the same columns in the same order."
            )
            raise BadFile(msg)

    taken, names = picked(choose, layouts[0].names, layouts[0].width)

    def blocks() -> Iterator[np.ndarray]:
        for file, text, layout in zip(files, texts, layouts, strict=True):
            with reading(file, remedy=ANEW):
                yield from text_blocks(text, reading_of(layout, taken))

    return RowBlocks(blocks), names, taken


def _columns(layout: Layout) -> str:
    names = "" if layout.names is None else f" ({shortened(', '.join(layout.names))})"
    return f"{layout.width:,} columns{names or ' without names'}"


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key that orders numbers in names by their value."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), part) if part.isdecimal() else (0, 0, part) for part in parts]
