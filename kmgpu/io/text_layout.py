"""How a text file writes its table: the delimiter, the decimal mark, and whether it names columns.

All is decided by a sample of the first lines. What cannot be decided, or would make a column of
row labels, is an error that says what to do.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import BinaryIO, NamedTuple

from kmgpu.io.reading import BadFile, shortened
from kmgpu.io.text_cells import goes_on, is_amount, is_missing, is_number

BLANKS = " "
DELIMITERS = (",", ";", "\t", "|", BLANKS)
BOM = b"\xef\xbb\xbf"
SAMPLE_BYTES, LEAST_LINES, MOST_ROWS = 1 << 16, 16, 100
# evenly spaced numbers are names sooner than data from this many columns on
EVENLY = 5
INDEX = re.compile(r"Unnamed: 0(\.\d+)*")


class Text(NamedTuple):
    """A text file: what to call it, and how to open its (unpacked) bytes from the beginning."""

    name: str
    opened: Callable[[], BinaryIO]


@dataclass(frozen=True)
class Layout:
    """Attributes
    ----------
    delimiter : str
        `BLANKS` for any run of blanks.
    decimal : {".", ","}
    names : tuple of str or None
        Of the columns, where the first line holds them; None also for 0, 1, 2, …, which are the
        names of no columns.
    width : int
        Number of columns.
    start : int
        Bytes before the first row.
    lines : int
        Lines before the first row.
    columns : tuple of int or None
        Which are read, in this order; None for all.
    """

    delimiter: str
    decimal: str
    names: tuple[str, ...] | None
    width: int
    start: int
    lines: int
    columns: tuple[int, ...] | None = None

    @property
    def read(self) -> Sequence[int]:
        """Positions of the columns that are read."""
        return range(self.width) if self.columns is None else self.columns


class Record(NamedTuple):
    """The cells of a row, and the number of the line that it ends in, from 1."""

    line: int
    cells: list[str]


class OpenQuote(ValueError):
    """A cell that begins on `line` is too long to be one."""

    def __init__(self, line: int) -> None:
        self.line = line
        super().__init__(f"on line {line} a cell does not end")


def layout_of(text: Text, header: bool | None) -> Layout:
    """Find the layout from the first lines.

    Parameters
    ----------
    text : Text
    header : bool or None
        Whether the first line holds names; None where that is to be found out.

    Raises
    ------
    BadFile
        For an empty file; for a first line that may be either; for names that are not as many as
        the values, are missing, or name row labels; for a quotation mark left open in them.
    OpenQuote, UnicodeDecodeError
    """
    with text.opened() as raw:
        mark = len(BOM) if raw.read(len(BOM)) == BOM else 0
        raw.seek(mark)
        file = io.TextIOWrapper(raw, encoding="utf-8", newline="")
        lines = file.readlines(SAMPLE_BYTES)
        lines += islice(file, LEAST_LINES)
    if header is not False:
        _uncomment(lines)
    delimiter = _delimiter(lines)
    sample = list(islice(records(lines, delimiter), 1 + MOST_ROWS))
    if not sample:
        msg = f"{text.name} is empty; expected one line of numbers for each row."
        raise BadFile(msg)
    first, rows = sample[0], sample[1:]
    _check_quotes(text.name, lines, first, rows)
    decimal = _decimal(sample, delimiter)
    named = _is_header(text.name, lines, first, rows, decimal) if header is None else header
    names = _checked_names(text.name, first, rows) if named else None
    n_lines = first.line if named else 0
    return Layout(
        delimiter=delimiter,
        decimal=decimal,
        names=names,
        width=len(first.cells),
        start=mark + len("".join(lines[:n_lines]).encode()),
        lines=n_lines,
    )


def _uncomment(lines: list[str]) -> None:
    """Let a "#" before the names (numpy.savetxt writes one) be a blank."""
    for at, line in enumerate(lines):
        if line.strip():
            lines[at] = re.sub(r"^(\s*)#", r"\1 ", line)
            return


def _check_quotes(name: str, lines: Sequence[str], first: Record, rows: Sequence[Record]) -> None:
    """Raise where names go on over lines that are rows: a quotation mark is missing."""
    alone = not rows or len(rows[0].cells) == 1
    for line in [line for line in lines[: first.line] if line.strip()][1:]:
        plain = line.replace('"', "")
        split = [plain.split() if mark == BLANKS else plain.split(mark) for mark in DELIMITERS]
        if any((len(cells) > 1 or alone) and _are_numbers(cells) for cells in split):
            msg = (
                f"{name}: a quotation mark in the first line is closed on line {first.line} or "
                f"never, and there is a row of numbers between ({shortened(line)}); put each "
                f"name between two marks, on one line."
            )
            raise BadFile(msg)


def _are_numbers(cells: Sequence[str]) -> bool:
    """Whether there are numbers, and nothing else but what marks a missing value."""
    known = [cell for cell in cells if not is_missing(cell.strip())]
    return bool(known) and all(any(is_number(cell, mark) for mark in ".,") for cell in known)


def records(lines: Iterable[str], delimiter: str, before: int = 0) -> Iterator[Record]:
    """The rows that hold anything; `before` is the number of lines that came before.

    Raises
    ------
    OpenQuote
        For a cell that does not seem to end.
    """
    if delimiter == BLANKS:
        lines = (" ".join(line.split()) for line in lines)
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    ended = 0
    try:
        for cells in reader:
            ended = reader.line_num
            if len(cells) > 1 or (cells and cells[0].strip()):
                yield Record(before + ended, [cell.strip() for cell in cells])
    except csv.Error as error:
        raise OpenQuote(before + ended + 1) from error


def _delimiter(lines: Sequence[str]) -> str:
    """The one that makes most rows several numbers, or else several cells, as many as the first."""

    def worth(delimiter: str) -> tuple[int, int]:
        try:
            first, *rows = list(islice(records(lines, delimiter), 1 + MOST_ROWS))
        except ValueError:  # there is no row, or a cell is far too long
            return 0, 0
        wide = [row.cells for row in (rows or [first]) if len(row.cells) > 1]
        marks = "." if delimiter == "," else ".,"
        numbers = sum(
            all(is_missing(c) or any(is_number(c, mark) for mark in marks) for c in cells)
            for cells in wide
        )
        return numbers, sum(len(cells) == len(first.cells) for cells in wide)

    return max(DELIMITERS, key=worth)


def _decimal(sample: Sequence[Record], delimiter: str) -> str:
    cells = (cell for row in sample for cell in row.cells)
    commas = delimiter != "," and any("," in cell and is_number(cell, ",") for cell in cells)
    return "," if commas else "."


def _is_header(
    name: str, lines: Sequence[str], first: Record, rows: Sequence[Record], decimal: str
) -> bool:
    """Names and no number among them: a typing error in the first row must not hide the row."""
    cells = first.cells
    labels = cells[1:] if not cells[0] or INDEX.fullmatch(cells[0]) else cells
    if len(labels) < len(cells) and labels == _counted(len(labels)):
        return True
    known = [cell for cell in cells if not is_missing(cell)]
    numbers = [is_number(cell, decimal) for cell in known]
    if all(numbers):
        unclear = len(known) == len(cells) and _are_numbered(lines, first, rows, decimal)
    elif any(numbers):
        return False
    else:
        unclear = all(is_amount(cell) for cell in known)
        if not unclear:
            return True
    if unclear:
        shown = shortened(", ".join(cells[:4])) + (", …" if len(cells) > 4 else "")
        msg = (
            f"{name}: the first line ({shown}) may be numbers or the names of columns; say "
            f"--no-header or --header (in Python header=False or header=True)."
        )
        raise BadFile(msg)
    return False


def _are_numbered(
    lines: Sequence[str], first: Record, rows: Sequence[Record], decimal: str
) -> bool:
    """Whether numbers in the first line look like names: unlike those beneath, or counted."""
    cells = first.cells
    if len(cells) > 1 and cells == _counted(len(cells)):
        return True
    if not rows:
        return False
    if '"' in "".join(lines[: first.line]) and '"' not in "".join(lines[first.line :]):
        return True
    whole = all(cell.isdecimal() for cell in cells) and len(set(cells)) == len(cells)
    if whole and len(rows) > 1 and not any(c.isdecimal() for row in rows for c in row.cells):
        return True
    return _is_even(cells, decimal) and not any(_is_even(row.cells, decimal) for row in rows)


def _is_even(cells: Sequence[str], decimal: str) -> bool:
    """Whether numbers are evenly spaced: by 1 if they are few."""
    if len(cells) < 3 or not all(is_number(cell, decimal) for cell in cells):
        return False
    values = [float(cell.replace(",", ".")) for cell in cells]
    step = values[1] - values[0]
    apart = [after - before - step for before, after in pairwise(values)]
    even = step != 0 and all(abs(gap) <= 1e-9 * abs(step) for gap in apart)
    return even and (step == 1 or len(cells) >= EVENLY)


def _checked_names(name: str, first: Record, rows: Sequence[Record]) -> tuple[str, ...] | None:
    """The names of `Layout`."""
    names = first.cells
    n_values = len(rows[0].cells) if rows else len(names)
    if not names[0] or any(INDEX.fullmatch(cell) for cell in names):
        msg = (
            f"{name}: the first column has no name, as where pandas or R writes row labels; write "
            f"it with index=False (row.names=FALSE), or give the column a name."
        )
        raise BadFile(msg)
    if len(names) != n_values:
        if any(goes_on(cell) for cell in rows[0].cells):
            msg = f"{name}, line {rows[0].line}: is a quotation mark left open there, or before?"
            raise BadFile(msg)
        labels = "row labels, as R writes them (write with row.names=FALSE), or "
        msg = (
            f"{name}: the first line has {len(names)} names where line {rows[0].line} has "
            f"{n_values} values; there are {labels if len(names) < n_values else ''}wrong "
            f"delimiters: every column must have one name."
        )
        raise BadFile(msg)
    if "" in names:
        msg = f"{name}: column {names.index('') + 1} has no name; give it one or drop it."
        raise BadFile(msg)
    return None if names == _counted(len(names)) else tuple(names)


def _counted(n_columns: int) -> list[str]:
    """What pandas writes over columns without names."""
    return [str(at) for at in range(n_columns)]
