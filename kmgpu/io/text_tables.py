"""Tables of numbers in text: a layout by `kmgpu.io.text_layout`, the numbers by a well-kept reader.

pandas or PyArrow reads them where one is installed. Each is told to be strict, and what it refuses
NumPy reads again, slower, so the same files are taken whoever reads them.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import BinaryIO

import numpy as np

from kmgpu.io.columns import Choice, Names, Picked, picked
from kmgpu.io.reading import BadFile, told
from kmgpu.io.text_cells import goes_on, is_missing, is_number
from kmgpu.io.text_layout import BLANKS, Layout, OpenQuote, Text, layout_of, records

Reader = Callable[[BinaryIO, Layout], "np.ndarray | None"]
# in bytes; a row must fit into a block, and a number takes no more than this
ARROW_BLOCK, NUMBER = 1 << 20, 64
# of text that is read by blocks
BLOCK_BYTES = 1 << 25
# characters of a cell
SHOWN = 60
# pandas rounds numbers correctly by itself from this version on
EXACT_PANDAS = (3, 1)


def read_text(
    text: Text, header: bool | None, choose: Choice | None = None
) -> tuple[np.ndarray, Names, Picked | None]:
    """The numbers, (n_samples, n_features) float64, the names of the columns, and which they are.

    Raises
    ------
    BadFile
        In one line: the file, the line and column, what was found there, and the remedy.
    """
    with located(text):
        layout = layout_of(text, header)
        found, names = picked(choose, layout.names, layout.width)
        return _numbers(text, reading_of(layout, found)), names, found


def reading_of(layout: Layout, found: Picked | None) -> Layout:
    """The layout, of which these columns are read."""
    return layout if found is None else replace(layout, columns=found.positions)


def text_blocks(text: Text, layout: Layout, n_bytes: int = BLOCK_BYTES) -> Iterator[np.ndarray]:
    """The numbers in blocks of some `n_bytes` of text, which end where a line ends.

    Errors are those of `read_text`, and each block is read as a file of its own is.
    """
    lines, rest = layout.lines, b""
    with located(text), text.opened() as raw:
        raw.seek(layout.start)
        while True:
            found = raw.read(n_bytes)
            piece = rest + found
            end = piece.rfind(b"\n") + 1 if found else len(piece)
            whole, rest = piece[:end], piece[end:]
            if whole:
                part = Text(text.name, partial(io.BytesIO, whole))
                yield _numbers(part, replace(layout, start=0, lines=lines))
                lines += whole.count(b"\n")
            if not found:
                return


@contextmanager
def located(text: Text) -> Iterator[None]:
    """Errors of decoding and of quotation marks as a `BadFile` that names the file."""
    try:
        yield
    except UnicodeDecodeError as error:
        msg = f"{text.name} is not UTF-8 text ({error.reason}); convert it."
        raise BadFile(msg) from error
    except OpenQuote as error:
        msg = (
            f"{text.name} cannot be read: a cell on line {error.line} has more than "
            f"{csv.field_size_limit():,} characters; is a quotation mark left open there?"
        )
        raise BadFile(msg) from error


def _numbers(text: Text, layout: Layout) -> np.ndarray:
    if layout.columns is not None and len(layout.columns) == layout.width:
        return _numbers(text, replace(layout, columns=None))[:, list(layout.columns)]
    for reader in READERS:
        with text.opened() as raw:
            raw.seek(layout.start)
            try:
                found = reader(raw, layout)
            except Exception:  # of a damaged file; NumPy says what is wrong with it
                continue
        if found is not None and found.shape[1] == len(layout.read) and not _holds_nan(found):
            return found
    return _plainly(text, layout) if layout.columns is None else _cell_by_cell(text, layout)


def _holds_nan(data: np.ndarray) -> bool:
    return bool(data.size and np.isnan(data.min()))


def _by_arrow(raw: BinaryIO, layout: Layout) -> np.ndarray | None:
    if layout.delimiter == BLANKS:
        return None
    try:
        import pyarrow as pa
        from pyarrow import csv as arrow
    except ImportError:
        return None
    names = [str(at) for at in range(layout.width)]
    read = [names[at] for at in layout.read]
    block = max(ARROW_BLOCK, NUMBER * layout.width)
    table = arrow.read_csv(
        raw,
        arrow.ReadOptions(column_names=names, use_threads=False, block_size=block),
        arrow.ParseOptions(
            delimiter=layout.delimiter, newlines_in_values=layout.columns is not None
        ),
        arrow.ConvertOptions(
            include_columns=read,
            column_types=dict.fromkeys(read, pa.float64()),
            null_values=[],
            decimal_point=layout.decimal,
        ),
    )
    data = np.empty((table.num_rows, len(read)))
    for at, column in enumerate(table.columns):
        data[:, at] = column.to_numpy()
    return data


def _by_pandas(raw: BinaryIO, layout: Layout) -> np.ndarray | None:
    if layout.columns is not None:  # told to read some, it heeds no cells too many
        return None
    try:
        import pandas as pd
    except ImportError:
        return None
    version = tuple(map(int, pd.__version__.split(".")[:2]))
    exact = {} if version >= EXACT_PANDAS else {"float_precision": "round_trip"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.DtypeWarning)
        # asked for float64 it would take twice the time
        frame = pd.read_csv(
            raw,
            sep=r"\s+" if layout.delimiter == BLANKS else layout.delimiter,
            decimal=layout.decimal,
            header=None,
            na_filter=False,
            **exact,
        )
    return frame.to_numpy(np.float64) if all(kind.kind in "iuf" for kind in frame.dtypes) else None


READERS: tuple[Reader, ...] = (_by_pandas, _by_arrow)


def _plainly(text: Text, layout: Layout) -> np.ndarray:
    # with decimal commas a point is no part of a number
    marks = str.maketrans({",": ".", ".": "\0"} if layout.decimal == "," else {})
    with text.opened() as raw, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input contained no data")
        raw.seek(layout.start)
        lines = io.TextIOWrapper(raw, encoding="utf-8")
        try:
            data = np.loadtxt(
                (line.translate(marks) for line in lines if line.strip()),
                delimiter=None if layout.delimiter == BLANKS else layout.delimiter,
                comments=None,
                quotechar='"',
                ndmin=2,
            )
        except UnicodeDecodeError:
            raise
        except ValueError as error:
            raise BadFile(_first_fault(text, layout) or _unknown(text, told(error))) from error
    if data.size and (data.shape[1] != layout.width or _holds_nan(data)):
        raise BadFile(_first_fault(text, layout) or _unknown(text, "the rows are no table"))
    return data if data.size else np.empty((0, layout.width))


def _cell_by_cell(text: Text, layout: Layout) -> np.ndarray:
    """The columns that are read; others may hold anything, but every row must be as wide."""
    rows = [
        [float(cells[at].replace(layout.decimal, ".")) for at in layout.read]
        for cells in _rows(text, layout)
    ]
    return np.array(rows) if rows else np.empty((0, len(layout.read)))


def _unknown(text: Text, found: str) -> str:
    return f"{text.name} cannot be read: {found}; write one line of numbers for each row."


def _first_fault(text: Text, layout: Layout) -> str | None:
    """Where a file stops being a table of numbers: the message, or None if nothing is seen."""
    try:
        for _ in _rows(text, layout):
            pass
    except BadFile as error:
        return str(error)
    return None


def _rows(text: Text, layout: Layout) -> Iterator[list[str]]:
    """The cells of row after row; BadFile where a file stops being a table of numbers."""
    with text.opened() as raw:
        raw.seek(layout.start)
        lines = io.TextIOWrapper(raw, encoding="utf-8", newline="")
        before = layout.lines
        for row in records(lines, layout.delimiter, layout.lines):
            fault = _fault(row.cells, layout, before + 1)
            if fault:
                msg = f"{text.name}, line {row.line}{fault}"
                raise BadFile(msg)
            yield row.cells
            before = row.line


def _fault(cells: list[str], layout: Layout, begins: int) -> str | None:
    """What is wrong with a row, as a message goes on after its line; the row begins on `begins`."""
    if not any(cells):
        return " holds nothing but delimiters and is empty; drop it."
    if len(cells) != layout.width:
        found = f" has {len(cells)} values where the first line has {layout.width}"
        if any(goes_on(cell) for cell in cells):
            return f"{found}; is a quotation mark on line {begins} left open?"
        return f"{found}."
    for at, cell in ((at + 1, cells[at]) for at in layout.read):
        if not cell:
            return f", column {at} is empty; fill it in or drop the line."
        if is_missing(cell):
            return (
                f", column {at} holds {_shown(cell)}, which marks a missing value; fill it in or "
                f"drop the line."
            )
        if not is_number(cell, layout.decimal):
            return (
                f", column {at} holds the text {_shown(cell)}; every column must be numbers: "
                f"correct it, or leave the column out (kmgpu fit: --drop or --columns; the first "
                f"line may be names, with no number among them or with --header, header=True)."
            )
    return None


def _shown(cell: str) -> str:
    return repr(cell if len(cell) <= SHOWN else f"{cell[:SHOWN]}…")
