"""What a cell of a text table holds: a number, nothing, or an amount that is no plain number."""

from __future__ import annotations

import re

# what is written where a value is missing, in lower case
MISSING = {"", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?", "-", ".", "missing"}
MISSING |= {"n.a.", "n.a", "nil", "(null)", "undefined", "*", "**", "..", "...", "--", "\\n"}
# of C on Windows, and of Excel, whose "#" before the first cell is taken for that of a comment
MISSING |= {"nan(ind)", "-nan(ind)", "1.#qnan", "1.#snan", "1.#ind", "1.#inf"}
EXCEL = ("n/a", "n/a n/a", "div/0!", "value!", "num!", "ref!", "name?", "null!")
MISSING |= {*EXCEL, *(f"#{error}" for error in EXCEL)}
OTHERWISE = re.compile(r"\W*\d|(true|false)$", re.IGNORECASE)


def is_number(cell: str, decimal: str = ".") -> bool:
    """Whether a cell reads as a number, NaN and infinity among them."""
    if decimal == ",":
        cell = cell.replace(".", "?").replace(",", ".")
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell


def goes_on(cell: str) -> bool:
    """Whether a cell goes on over the end of a line."""
    return "\n" in cell or "\r" in cell


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is no value."""
    return cell.lower().lstrip("+-") in MISSING or cell.lower() in MISSING


def is_amount(cell: str) -> bool:
    """Whether a cell is an amount, a share, a date or the like, or a name such as 2020_sales."""
    return bool(OTHERWISE.match(cell))
