"""Which columns of a table are read: those that are named or numbered, or those of a model."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from kmgpu.io.reading import BadFile, shortened

Names = tuple[str, ...] | None
SHOWN = 8


class Picked(NamedTuple):
    """The positions of the columns that are read, in their order, and of how many they are."""

    positions: tuple[int, ...]
    width: int


# which columns of a table with these names, and so many columns, are read; BadFile for none
Choice = Callable[[Names, int], Picked]


def picked(choose: Choice | None, names: Names, width: int) -> tuple[Picked | None, Names]:
    """What `choose` takes of columns with these names, and the names of these."""
    if choose is None:
        return None, names
    found = choose(names, width)
    return found, names if names is None else tuple(names[at] for at in found.positions)


def only(path: str, option: str, text: str) -> Choice:
    """Choose the columns that are listed, in the order of the list.

    Parameters
    ----------
    path : str
        Of the table, for errors.
    option : str
        That the list was given for.
    text : str
        Names, or numbers from 0 on, between commas; a name that holds a comma stands between
        quotation marks.
    """

    def choose(names: Names, width: int) -> Picked:
        return Picked(tuple(_listed(path, option, text, names, width)), width)

    return choose


def all_but(path: str, option: str, text: str) -> Choice:
    """Choose the columns that are not listed; parameters are those of `only`."""

    def choose(names: Names, width: int) -> Picked:
        left_out = set(_listed(path, option, text, names, width))
        if len(left_out) == width:
            msg = f"{option} leaves none of the {width} columns of {path}; name fewer."
            raise BadFile(msg)
        return Picked(tuple(at for at in range(width) if at not in left_out), width)

    return choose


def as_fitted(path: str, fitted: Names, chosen: Picked | None) -> Choice:
    """Choose the columns that a model was fitted to: by name, else by position.

    Parameters
    ----------
    path : str
        Of the table, for errors.
    fitted : tuple of str or None
        Names of the features of the model.
    chosen : Picked or None
        What they were of the table fitted, where they were not all of it. Then tables may be wider.
    """

    def choose(names: Names, width: int) -> Picked:
        same = tuple(range(width)) if chosen is None else chosen.positions
        if fitted is not None and names is not None:
            as_wide = width == (len(fitted) if chosen is None else chosen.width)
            if as_wide and tuple(names[at] for at in same) == fitted:
                return Picked(same, width)
            if len(set(fitted)) < len(fitted):
                msg = (
                    f"{path}: the model was fitted to several columns of one name "
                    f"({_some(fitted)}), so only a table with the same columns can be read; fit "
                    f"again with other names."
                )
                raise BadFile(msg)
            if chosen is None:
                return Picked(tuple(order_of(names, fitted, path)), width)
            return Picked(tuple(_position(path, name, names, width) for name in fitted), width)
        if chosen is None or width == chosen.width:
            return Picked(same, width)
        if width == len(chosen.positions):
            return Picked(tuple(range(width)), width)
        msg = (
            f"{path} has {width:,} columns; the model was fitted to {len(chosen.positions):,} of "
            f"{chosen.width:,}. Give a table of {chosen.width:,} columns, or of these alone."
        )
        raise BadFile(msg)

    return choose


def order_of(found: Sequence[str], names: Sequence[str], path: str) -> list[int]:
    """Positions in `found` of all `names`.

    Raises
    ------
    BadFile
        When the names are others, or not each there once.
    """
    wanted, held = set(names), set(found)
    if wanted != held or len(held) < len(found) or len(wanted) < len(names):
        unlike = [name for name in found if name not in wanted]
        missing = [name for name in names if name not in held]
        faults = [f"{name!r} is unknown" for name in unlike[:3]]
        faults += [f"{name!r} is missing" for name in missing[:3]]
        msg = (
            f"{path}: the names of the columns must be those of the data fitted ({_some(names)}), "
            f"each once: {', '.join(faults) or 'some occur more than once'}."
        )
        raise BadFile(msg)
    return [list(found).index(name) for name in names]


def _listed(path: str, option: str, text: str, names: Names, width: int) -> list[int]:
    cells = [cell.strip() for cell in next(csv.reader([text], skipinitialspace=True), [])]
    if not cells or "" in cells:
        msg = f"{option} {text!r}: give names or numbers of columns between commas, such as a,b."
        raise BadFile(msg)
    found = []
    for cell in cells:
        at = _position(path, cell, names, width, option)
        if at in found:
            msg = f"{option} {text!r} lists column {cell!r} twice; list it once."
            raise BadFile(msg)
        found.append(at)
    return found


def _position(path: str, wanted: str, names: Names, width: int, option: str = "") -> int:
    """Where a column is: by its name, else by its number if an option gave it."""
    n_found = 0 if names is None else names.count(wanted)
    if names is not None and n_found == 1:
        return names.index(wanted)
    if option and not n_found and wanted.isdecimal() and int(wanted) < width:
        return int(wanted)
    given = f"{option} {wanted!r}: {path}" if option else f"{path}"
    if n_found:
        msg = f"{given} has {n_found} columns of the name {wanted!r}; rename them" + (
            ", or give numbers, from 0 on." if option else "."
        )
    elif names is None:
        msg = f"{given} has no names of columns; give numbers from 0 to {width - 1}."
    else:
        fitted = "" if option else ", to which the model was fitted"
        msg = f"{given} has no column {wanted!r}{fitted}; {_close(wanted, names)}"
        if option and wanted.isdecimal():
            msg = f"{msg} Numbers of columns go from 0 to {width - 1}."
    raise BadFile(msg)


def _close(wanted: str, names: Sequence[str]) -> str:
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.casefold(), name)
    near = [folded[each] for each in get_close_matches(wanted.casefold(), folded, 3)]
    if near:
        return f"close to it: {', '.join(map(repr, near))}."
    return f"there are {_some(names)}."


def _some(names: Sequence[str]) -> str:
    return shortened(", ".join(names[:SHOWN])) + (", …" if len(names) > SHOWN else "")
