"""Tables of numbers in files: .npy, .npz, .csv and .parquet, read without unpickling anything."""

from __future__ import annotations

import csv
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from kmgpu.files import PathLike

INSTALL_PARQUET = "pip install 'kmgpu[parquet]'"
DELIMITERS = ",;\t"
UNREADABLE = (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def read_data(path: PathLike, array: str | None = None) -> np.ndarray:
    """The rows and features that a file holds.

    Parameters
    ----------
    path : str or path-like
        The ending names the format. .npy is memory-mapped, read-only. .csv may start with a
        line of names, may be separated by commas, semicolons or tabs, and becomes float64. Of
        .parquet every column is a feature, except an index that pandas stored beside them;
        nulls become NaN.
    array : str, optional
        Which array of an .npz file; needed where it holds several.

    Returns
    -------
    numpy.ndarray of shape (n_samples, n_features)
        Integer, boolean or floating.

    Raises
    ------
    FileNotFoundError, ValueError
        In one line: the file, what was found (for text in a .csv the line and column), and the
        remedy.
    ImportError
        For .parquet without pyarrow.
    """
    data = _read(path, array)
    if data.ndim != 2 or 0 in data.shape:
        msg = (
            f"{path} holds an array of shape {data.shape}; expected (n_samples, n_features), "
            f"at least one of each."
        )
        raise ValueError(msg)
    return data


def read_weights(path: PathLike, array: str | None = None) -> np.ndarray:
    """One number a row, (n_samples,): a one-dimensional array or a single column.

    Parameters, formats and errors are those of `read_data`.
    """
    data = _read(path, array)
    if data.ndim == 2 and data.shape[1] == 1:
        data = data[:, 0]
    if data.ndim != 1:
        msg = f"{path} holds an array of shape {data.shape}; expected weights, (n_samples,)."
        raise ValueError(msg)
    return data


def _read(path: PathLike, array: str | None) -> np.ndarray:
    file = Path(path)
    reader = READERS.get(file.suffix.lower())
    if not file.exists():
        msg = f"{path}: there is no such file."
        raise FileNotFoundError(msg)
    if reader is None or not file.is_file():
        msg = f"{path} is not a file that kmgpu can read; give one of {', '.join(READERS)}."
        raise ValueError(msg)
    if array is not None and reader is not _read_npz:
        msg = f"{path} holds one table, and array={array!r} was given; leave it out."
        raise ValueError(msg)
    data = reader(file, array)
    if data.dtype.kind not in "biuf":
        msg = f"{path} holds values of dtype {data.dtype}, which are not real numbers."
        raise ValueError(msg)
    return data


def _read_npy(path: Path, array: str | None) -> np.ndarray:
    del array
    with path.open("rb") as file:
        if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            msg = f"{path} is not an .npy file; write one with numpy.save."
            raise ValueError(msg)
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except UNREADABLE as error:
        raise _unreadable(path, error) from error


def _read_npz(path: Path, array: str | None) -> np.ndarray:
    if not zipfile.is_zipfile(path):
        msg = f"{path} is not an .npz archive; write one with numpy.savez."
        raise ValueError(msg)
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = archive.files
            if array in names:
                return archive[array]
            if array is None and len(names) == 1:
                return archive[names[0]]
    except UNREADABLE as error:
        raise _unreadable(path, error) from error
    wanted = "name one with --array (array=…)" if array is None else f"there is no {array!r}"
    msg = f"{path} holds the arrays {', '.join(names) or '(none)'}; {wanted}."
    raise ValueError(msg)


def _unreadable(path: Path, error: BaseException) -> ValueError:
    pickled = any(sign in str(error) for sign in ("Object arrays", "Python objects"))
    found = "it holds Python objects, which kmgpu never unpickles" if pickled else str(error)
    return ValueError(f"{path} cannot be read: {found}; write a table of numbers to it.")


def _read_csv(path: Path, array: str | None) -> np.ndarray:
    del array
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _numbers(file, _to_first_row(file, path), path)
    except UnicodeDecodeError as error:
        msg = f"{path} is not UTF-8 text ({error.reason}); convert it."
        raise ValueError(msg) from error


def _to_first_row(file: TextIO, path: Path) -> str:
    """Move past the header, if there is one; the delimiter."""
    start, line = 0, file.readline()
    while line and not line.strip():
        start, line = file.tell(), file.readline()
    if not line:
        msg = f"{path} is empty; expected one line of numbers for each row."
        raise ValueError(msg)
    delimiter = _delimiter(line)
    cells = next(csv.reader([line], delimiter=delimiter))
    if not _is_header(cells):
        file.seek(start)
    elif not cells[0].strip():
        msg = (
            f"{path}: the first column has no name, as where pandas writes row labels; write it "
            f"with index=False, or give the column a name."
        )
        raise ValueError(msg)
    return delimiter


def _numbers(file: TextIO, delimiter: str, path: Path) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*input contained no data")
            return np.loadtxt(file, delimiter=delimiter, comments=None, quotechar='"', ndmin=2)
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise ValueError(_first_fault(path) or f"{path} cannot be read: {error}") from error


def _delimiter(line: str) -> str:
    return next((mark for mark in DELIMITERS if mark in line), ",")


def _is_header(cells: list[str]) -> bool:
    """Names and no number among them: a typing error in the first row must not hide the row."""
    return not any(_is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _first_fault(path: Path) -> str | None:
    """Where a .csv file stops being a table of numbers: the message, or None if nothing is seen."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        delimiter = _delimiter(next((line for line in file if line.strip()), ""))
        file.seek(0)
        reader = csv.reader(file, delimiter=delimiter)
        width = None
        for cells in reader:
            if not cells:
                continue
            where = f"{path}, line {reader.line_num}"
            if width is not None and len(cells) != width:
                return f"{where} has {len(cells)} values where the first line has {width}."
            first, width = width is None, len(cells)
            bad = next((at for at, cell in enumerate(cells) if not _is_number(cell)), None)
            if bad is None or (first and _is_header(cells)):
                continue
            if not cells[bad].strip():
                return f"{where}, column {bad + 1} is empty; fill it in or drop the line."
            return (
                f"{where}, column {bad + 1} holds the text {cells[bad]!r}; every column must be "
                f"numbers (the first line may be names, with no number among them)."
            )
    return None


def _read_parquet(path: Path, array: str | None) -> np.ndarray:
    del array
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        msg = f"{path}: reading .parquet needs pyarrow ({error}); {INSTALL_PARQUET}"
        raise ImportError(msg) from error
    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    table = _without_index(table)
    for field in table.schema:
        kind = field.type
        number = (
            pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        )
        if not number:
            msg = f"{path}, column {field.name!r} holds {kind}, not numbers; drop or convert it."
            raise ValueError(msg)
    columns = [_numeric(column.to_numpy()) for column in table.columns]
    data = np.empty((table.num_rows, len(columns)), np.result_type(*columns, np.bool_))
    for at, column in enumerate(columns):
        data[:, at] = column
    return data


def _without_index(table: Any) -> Any:
    """The table less the row labels that pandas may have stored as columns."""
    stored = (table.schema.pandas_metadata or {}).get("index_columns", ())
    return table.drop_columns([name for name in stored if name in table.column_names])


def _numeric(column: np.ndarray) -> np.ndarray:
    """Booleans with nulls arrive as objects; they become floats with NaN."""
    return column.astype(np.float64) if column.dtype == object else column


READERS: dict[str, Callable[[Path, str | None], np.ndarray]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
