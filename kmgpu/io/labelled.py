"""The rows of a data file with a column of labels added, as .csv or .parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from kmgpu.files import PathLike, replacing
from kmgpu.io.opening import AT_ONCE, PARQUET, files_of, open_table, pieces, size_of
from kmgpu.io.parquet import INSTALL_PARQUET, common_schema, nested_columns
from kmgpu.io.reading import BadFile
from kmgpu.io.stores import is_zarr
from kmgpu.io.tables import STDIN, TEXTS, ending_of, text_of
from kmgpu.io.text_layout import layout_of, records
from kmgpu.io.text_tables import located
from kmgpu.sources.row_blocks import RowBlocks

Rows = list[list[str]]
CSV = ".csv"
LABELLED = (CSV, PARQUET)
COLUMN = "cluster"
# rows of text, and cells of numbers, at a time
AT_A_TIME, CELLS = 1 << 13, 1 << 18
# dtypes, by their character, that readers of the files would not take
WRITTEN = {"?": np.uint8, "e": np.float32}


class _Cells(NamedTuple):
    """The names of the columns, some rows at a time, and how a .csv of them is written."""

    names: list[str]
    parts: Iterator[Rows]
    delimiter: str = ","
    decimal: str = "."


def check_labelled(path: PathLike, data: PathLike) -> None:
    """Raise before any work for rows that could not be written to `path`.

    Raises
    ------
    BadFile
        For data on standard input, for long text that is to become parquet, for lists that are to
        become text, and for files of columns that do not go together.
    ImportError
        For parquet without PyArrow.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in LABELLED:
        return
    if data == STDIN:
        msg = (
            f"{path} would hold the rows, and standard input is read once; put them into a file, "
            f"or give a name in .npy for the labels alone."
        )
        raise BadFile(msg)
    files = _files(data)
    if files and ending_of(files[0]) == PARQUET:
        nested = nested_columns(common_schema(files))
        if suffix == CSV and nested:
            msg = (
                f"column {nested[0]!r} of {data} holds lists or records, which .csv cannot hold; "
                f"give a name in .parquet, or in .npy for the labels alone."
            )
            raise BadFile(msg)
    if suffix == PARQUET:
        _arrow()
        if files and ending_of(files[0]) in TEXTS and sum(map(size_of, files)) >= AT_ONCE:
            msg = (
                f"{path}: text of more than 1 GB becomes no parquet, as the types of its columns "
                f"are not known before all of it is read; give a name in .csv, or in .npy for the "
                f"labels alone."
            )
            raise BadFile(msg)


def write_labelled(
    path: PathLike, labels: np.ndarray, data: PathLike, array: str | None, header: bool | None
) -> str:
    """Write all rows of `data`, every column of them, and their labels to `path`.

    Cells of text stay as they are in .csv. In .parquet columns of text have the types that PyArrow
    finds, but what begins with 0, as codes do, stays text. Columns without names are called x0, x1
    and so on.

    Returns
    -------
    str
        Name of the column of labels: "cluster", or "cluster_2" where there is such a column.

    Raises
    ------
    BadFile
        When `data` no longer has as many rows as there are labels.
    """
    files = _files(data)
    kind = ending_of(files[0]) if files else ""
    given = _Labels(labels, data)
    to_parquet = Path(path).suffix.lower() == PARQUET
    with replacing(path) as file:
        if not to_parquet and kind != PARQUET:
            found = _text_rows(files, header) if kind in TEXTS else _number_rows(data, array)
            return _write_rows(file, found, given)
        if kind == PARQUET:
            names, tables = _parquet_tables(files)
        elif kind in TEXTS:
            names, tables = _typed(_text_rows(files, header))
        else:
            names, tables = _number_tables(data, array)
        return _write_tables(file, names, tables, given, to_parquet)


class _Labels:
    """Gives the labels of the next rows."""

    def __init__(self, labels: np.ndarray, data: PathLike) -> None:
        self._labels = np.ascontiguousarray(labels, np.int32)
        self._data, self._given = data, 0

    def next(self, n_rows: int) -> np.ndarray:
        found = self._labels[self._given : self._given + n_rows]
        self._given += n_rows
        if len(found) < n_rows:
            self._raise()
        return found

    def check_all_given(self) -> None:
        if self._given != len(self._labels):
            self._raise()

    def _raise(self) -> None:
        msg = f"{self._data} has changed while it was read; run the command again."
        raise BadFile(msg)


def _files(data: PathLike) -> list[Path]:
    """The files that hold the rows; none for a store."""
    path = Path(data)
    if not path.is_dir():
        return [path]
    return [] if is_zarr(path) else files_of(path)


def _free(names: Sequence[str]) -> str:
    """A name for the column of labels."""
    column, n = COLUMN, 1
    while column in names:
        n += 1
        column = f"{COLUMN}_{n}"
    return column


def _write_rows(file: BinaryIO, cells: _Cells, labels: _Labels) -> str:
    column = _free(cells.names)
    for rows in chain([[[*cells.names, column]]], _labelled(cells.parts, labels)):
        text = io.StringIO()
        csv.writer(text, delimiter=cells.delimiter, lineterminator="\n").writerows(rows)
        file.write(text.getvalue().encode())
    labels.check_all_given()
    return column


def _labelled(parts: Iterator[Rows], labels: _Labels) -> Iterator[Rows]:
    for rows in parts:
        found = labels.next(len(rows)).tolist()
        yield [[*cells, str(label)] for cells, label in zip(rows, found, strict=True)]


def _write_tables(
    file: BinaryIO, names: list[str], tables: Iterator[Any], labels: _Labels, to_parquet: bool
) -> str:
    pa, column, writer = _arrow(), _free(names), None
    try:
        for table in tables:
            found = pa.array(labels.next(table.num_rows))
            labelled = table.append_column(column, found)
            if writer is None and to_parquet:
                writer = pa.parquet.ParquetWriter(file, labelled.schema)
            elif writer is None:
                options = pa.csv.WriteOptions(quoting_style="needed")
                writer = pa.csv.CSVWriter(file, labelled.schema, write_options=options)
            writer.write_table(labelled)
        labels.check_all_given()
    finally:
        if writer is not None:
            writer.close()
    return column


def _text_rows(files: Sequence[Path], header: bool | None) -> _Cells:
    texts = [text_of(file) for file in files]
    layouts = [layout_of(text, header) for text in texts]
    first = layouts[0]

    def parts() -> Iterator[Rows]:
        for text, layout in zip(texts, layouts, strict=True):
            with located(text), text.opened() as raw:
                raw.seek(layout.start)
                lines = io.TextIOWrapper(raw, encoding="utf-8", newline="")
                rows = records(lines, layout.delimiter, layout.lines)
                while part := [row.cells for row in islice(rows, AT_A_TIME)]:
                    yield part

    commas = first.delimiter != ";" and first.decimal == "."
    names = list(first.names or _numbered(first.width))
    return _Cells(names, parts(), "," if commas else ";", first.decimal)


def _number_rows(data: PathLike, array: str | None) -> _Cells:
    width, parts = _number_parts(data, array)
    return _Cells(_numbered(width), (part.astype(str).tolist() for part in parts))


def _number_tables(data: PathLike, array: str | None) -> tuple[list[str], Iterator[Any]]:
    pa = _arrow()
    width, parts = _number_parts(data, array)
    names = _numbered(width)
    return names, (pa.table(list(np.ascontiguousarray(part.T)), names) for part in parts)


def _number_parts(data: PathLike, array: str | None) -> tuple[int, Iterator[np.ndarray]]:
    """The number of columns, and rows, of dtypes that all can write and read."""
    table = open_table(data, array).data
    width = table.n_features if isinstance(table, RowBlocks) else table.shape[1]
    step = max(1, CELLS // width)
    parts = (
        part[at : at + step].astype(WRITTEN.get(part.dtype.char, part.dtype), copy=False)
        for part in pieces(table)
        for at in range(0, len(part), step)
    )
    return width, parts


def _typed(cells: _Cells) -> tuple[list[str], Iterator[Any]]:
    """One table of cells of text, whose columns get types."""
    pa = _arrow()
    text = io.StringIO()
    codes: set[int] = set()
    for rows in cells.parts:
        csv.writer(text, lineterminator="\n").writerows(rows)
        for row in rows:
            codes.update(
                at for at, cell in enumerate(row) if cell[:1] == "0" and cell[1:].isdecimal()
            )
    numbers = [str(at) for at in range(len(cells.names))]
    table = pa.csv.read_csv(
        pa.py_buffer(text.getvalue().encode()),
        pa.csv.ReadOptions(column_names=numbers),
        pa.csv.ParseOptions(newlines_in_values=True),
        pa.csv.ConvertOptions(
            column_types={str(at): pa.string() for at in codes}, decimal_point=cells.decimal
        ),
    )
    return cells.names, iter([table.rename_columns(cells.names)])


def _parquet_tables(files: Sequence[Path]) -> tuple[list[str], Iterator[Any]]:
    """The names of the columns, and tables of some thousands of rows, alike in all files."""
    pa = _arrow()
    schema = common_schema(files)
    none = schema.empty_table()

    def tables() -> Iterator[Any]:
        for file in files:
            for batch in pa.parquet.ParquetFile(file).iter_batches(1 << 16):
                parts = [none, pa.Table.from_batches([batch])]
                yield pa.concat_tables(parts, promote_options="permissive").cast(schema)

    return schema.names, tables()


def _numbered(width: int) -> list[str]:
    return [f"x{at}" for at in range(width)]


def _arrow() -> Any:
    """PyArrow with its parts for .csv and .parquet."""
    try:
        import pyarrow
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError as error:
        msg = f"writing .parquet needs pyarrow ({error}); {INSTALL_PARQUET}"
        raise ImportError(msg) from error
    return pyarrow
