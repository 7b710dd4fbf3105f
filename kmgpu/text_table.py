"""Tables of a few columns, as text and as HTML."""

from __future__ import annotations

from collections.abc import Sequence

Line = Sequence[str]


def titles(fields: Sequence[str]) -> tuple[str, ...]:
    """The names of fields as people read them."""
    return tuple(field.replace("_", " ") for field in fields)


def as_text(lines: Sequence[Line]) -> str:
    """Lines of cells, flush right; the first line holds the titles."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def as_html(lines: Sequence[Line], caption: str = "") -> str:
    """The same lines as a table; cells are taken as they are."""
    head, *rows = lines
    above = f"<caption>{caption}</caption>" if caption else ""
    body = "".join(f"<tr>{_cells('td', row)}</tr>" for row in rows)
    return (
        f"<table>{above}<thead><tr>{_cells('th', head)}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cells(tag: str, line: Line) -> str:
    return "".join(f"<{tag}>{cell}</{tag}>" for cell in line)
