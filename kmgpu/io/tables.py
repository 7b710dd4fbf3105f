"""Tables of numbers in files, read without unpickling anything."""

from __future__ import annotations

import gzip
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from os import fstat
from pathlib import Path
from stat import S_ISREG
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np

from kmgpu.files import PathLike
from kmgpu.io.columns import Choice, Picked
from kmgpu.io.npz import LONGEST_HEADER, WrongDtype, header_of, member_array, members_of
from kmgpu.io.npz import SUFFIX as NPY
from kmgpu.io.parquet import read_parquet
from kmgpu.io.reading import BadFile, reading, shortened
from kmgpu.io.text_layout import Text
from kmgpu.io.text_tables import read_text
from kmgpu.io.vectors import BINS, VECS, mapped_vectors

STDIN, PACKED = "-", ".gz"
TEXTS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
# kinds of dtypes
NUMBERS = "biuf"
ANEW = "take an undamaged copy, or write the table of numbers anew"


class Table(NamedTuple):
    """What a path holds.

    Attributes
    ----------
    data : numpy.ndarray of shape (n_samples, n_features)
        Of `kmgpu.io.opening.open_table` it may be `RowBlocks`.
    names : tuple of str or None
        Of the columns, where the file has them.
    columns : Picked or None
        Which of the columns of the file they are, where some were chosen.
    """

    data: Any
    names: tuple[str, ...] | None = None
    columns: Picked | None = None


class _How(NamedTuple):
    """How to read a file; see `read_table`."""

    array: str | None
    header: bool | None
    choose: Choice | None = None


def read_table(
    path: PathLike,
    array: str | None = None,
    header: bool | None = None,
    choose: Choice | None = None,
) -> Table:
    """The rows and features that a file holds, and the names of the features.

    Parameters
    ----------
    path : str or path-like
        The ending names the format; "-" is text on standard input. .npy and files of vectors
        (.fbin, .fvecs and the like, see `kmgpu.io.vectors`) are memory-mapped, read-only. Text
        (.csv, .tsv, .txt, and these with .gz) becomes float64; it may start with a line of names
        and be separated by commas, semicolons, tabs, bars or blanks; where commas do not separate
        they may be the decimal mark. Of .parquet every column is a feature, except an index that
        pandas stored beside them; nulls become NaN.
    array : str, optional
        Which array of an .npz file; needed where it holds several.
    header : bool, optional
        Whether the first line of text holds names. By default it does if there is no number in
        it; numbers that look like names are an error.
    choose : callable, optional
        Which columns to read of text and parquet, where the others may hold no numbers; not heeded
        for other files.

    Returns
    -------
    Table
        Its data are an array, integer, boolean or floating.

    Raises
    ------
    ValueError
        In one line: the file, what was found (for text, or a value that is missing, the line and
        column), and the remedy.
    OSError, MemoryError
        The same where the file cannot be opened or there is too little memory.
    ImportError
        For .parquet without pyarrow.
    """
    table = _read(path, _How(array, header, choose))
    if table.data.ndim != 2 or 0 in table.data.shape:
        msg = (
            f"{path} holds an array of shape {table.data.shape}; expected (n_samples, n_features), "
            f"at least one of each."
        )
        raise ValueError(msg)
    return table


def read_weights(path: PathLike, array: str | None = None) -> np.ndarray:
    """One number a row, (n_samples,): a one-dimensional array or a single column.

    Parameters, formats and errors are those of `read_table`.
    """
    data = _read(path, _How(array, None)).data
    if data.ndim == 2 and data.shape[1] == 1:
        data = data[:, 0]
    if data.ndim != 1:
        msg = f"{path} holds an array of shape {data.shape}; expected weights, (n_samples,)."
        raise ValueError(msg)
    return data


def _read(path: PathLike, how: _How) -> Table:
    if how.array is not None and path == STDIN:
        msg = f"standard input holds one table, and array={how.array!r} was given; leave it out."
        raise ValueError(msg)
    file = Path(path)
    with reading("standard input" if path == STDIN else path, remedy=ANEW):
        try:
            return _read_stdin(how) if path == STDIN else _read_file(file, how)
        except WrongDtype as error:
            msg = f"{path} holds values of dtype {error.held}, which are not real numbers."
            raise BadFile(msg) from error


def ending_of(path: Path) -> str:
    """The ending that names the format: ".csv", ".csv.gz"."""
    return "".join(path.suffixes[-2 if path.suffix.lower() == PACKED else -1 :]).lower()


def _read_file(path: Path, how: _How) -> Table:
    reader = READERS.get(ending_of(path))
    is_file = S_ISREG(path.stat().st_mode)
    if reader is None or not is_file:
        msg = (
            f"{path} is not a file that kmgpu can read; give one of {', '.join(READERS)}, or - for "
            f"text on standard input."
        )
        raise BadFile(msg)
    if how.array is not None and reader is not _read_npz:
        msg = f"{path} holds one table, and array={how.array!r} was given; leave it out."
        raise BadFile(msg)
    if how.header is not None and reader is not _read_text:
        msg = f"{path} is no text, and header={how.header} was given; leave it out."
        raise BadFile(msg)
    return reader(path, how)


def _read_npy(path: Path, how: _How) -> Table:
    del how
    with path.open("rb") as file:
        beginning = file.read(LONGEST_HEADER)
        if not beginning.startswith(np.lib.format.MAGIC_PREFIX):
            msg = f"{path} is not an .npy file; write one with numpy.save."
            raise BadFile(msg)
        found = header_of(beginning, fstat(file.fileno()).st_size, NUMBERS)
        order: Any = "F" if found.fortran else "C"
        return Table(np.memmap(file, found.dtype, "r", found.start, found.shape, order))


def _read_npz(path: Path, how: _How) -> Table:
    array = how.array
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            msg = f"{path} is not an .npz archive; write one with numpy.savez."
            raise BadFile(msg)
        with zipfile.ZipFile(file) as archive:
            members = members_of(archive, file)
            names = [name.removesuffix(NPY) for name in members if name.endswith(NPY)]
            if array in names:
                return Table(member_array(archive, members[f"{array}{NPY}"], NUMBERS))
            if array is None and len(names) == 1:
                return Table(member_array(archive, members[f"{names[0]}{NPY}"], NUMBERS))
    wanted = "name one with --array (array=…)" if array is None else f"there is no {array!r}"
    msg = f"{path} holds the arrays {shortened(', '.join(names)) or '(none)'}; {wanted}."
    raise BadFile(msg)


def _read_text(path: Path, how: _How) -> Table:
    return Table(*read_text(text_of(path), how.header, how.choose))


def text_of(path: Path) -> Text:
    """The text in a file, which a name in .gz says is packed."""
    opened = gzip.open if path.suffix.lower() == PACKED else Path.open
    return Text(str(path), lambda: cast(BinaryIO, opened(path, "rb")))


def _read_stdin(how: _How) -> Table:
    if sys.stdin is None:
        msg = "standard input is closed; give a file, or pipe text to kmgpu."
        raise BadFile(msg)
    content = sys.stdin.buffer.read()
    text = Text("standard input", lambda: BytesIO(content))
    return Table(*read_text(text, how.header, how.choose))


def _read_parquet(path: Path, how: _How) -> Table:
    return Table(*read_parquet(path, how.choose))


def _read_vectors(path: Path, how: _How) -> Table:
    del how
    return Table(mapped_vectors(path))


READERS: dict[str, Callable[[Path, _How], Table]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_text,
    ".parquet": _read_parquet,
    **dict.fromkeys(TEXTS, _read_text),
    **dict.fromkeys((*BINS, *VECS), _read_vectors),
}
