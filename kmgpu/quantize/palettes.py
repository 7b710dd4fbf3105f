"""Write the colours of a picture as a palette, of the format that the ending of the file names."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np

from kmgpu.files import PathLike, replacing
from kmgpu.quantize.colours import Quantised
from kmgpu.quantize.reading import OPAQUE, require_pillow

SQUARE, A_ROW = 48, 16
# an Adobe colour table has so many entries, and a number for "no entry is transparent"
ACT_ENTRIES, ACT_OPAQUE = 256, 0xFFFF
# kinds of blocks of an Adobe swatch exchange file, and the kind of colour that is no spot ink
ASE_COLOUR, ASE_GROUP, ASE_GROUP_END, ASE_PROCESS = 0x0001, 0xC001, 0xC002, 2


def check_palette(path: PathLike, n_colours: int) -> None:
    """Raise ValueError if the ending of `path` names no format that holds so many colours."""
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        *first, last = FORMATS
        known = f"{', '.join(first)} or {last}"
        msg = f"{path} cannot be written: the name of a palette must end in {known}."
        raise ValueError(msg)
    if ending == ".act" and n_colours > ACT_ENTRIES:
        msg = (
            f"{path} cannot be written: .act holds {ACT_ENTRIES} colours, {n_colours:,} are "
            f"more; give a name that ends in .ase, or fewer colours."
        )
        raise ValueError(msg)


def save_palette(quantised: Quantised, path: PathLike) -> None:
    """Write the colours to a file, the most frequent first; its ending names the format.

    ========  ====================================================================================
    ending    what is written
    ========  ====================================================================================
    .png      squares, 16 a row
    .json     a list of objects with "hex", "rgb" (0 to 255) and "share" (0 to 1)
    .css      custom properties of ``:root``: ``--color-1``, ``--color-2``, …
    .gpl      a palette of GIMP, which Inkscape and Krita read as well
    .ase      Adobe Swatch Exchange: RGB, one group, named like the file
    .act      an Adobe Color Table, of at most 256 colours
    ========  ====================================================================================

    Raises
    ------
    ValueError
        For another ending, and for more colours than .act holds.
    """
    check_palette(path, len(quantised.palette))
    file_name = Path(path)
    name = "".join(sign if sign.isprintable() else "_" for sign in file_name.stem)
    content = FORMATS[file_name.suffix.lower()](quantised, name)
    with replacing(path) as file:
        file.write(content)


def _png(quantised: Quantised, name: str) -> bytes:
    del name
    require_pillow()
    from PIL import Image

    n_colours = len(quantised.palette)
    n_columns = min(n_colours, A_ROW)
    squares = np.full((-(-n_colours // n_columns), n_columns, 4), [255, 255, 255, 0], np.uint8)
    squares.reshape(-1, 4)[:n_colours] = np.pad(
        quantised.palette, [(0, 0), (0, 1)], constant_values=OPAQUE
    )
    image = Image.fromarray(squares.repeat(SQUARE, axis=0).repeat(SQUARE, axis=1))
    content = BytesIO()
    image.save(content, format="PNG", icc_profile=quantised.icc_profile)
    return content.getvalue()


def _json(quantised: Quantised, name: str) -> bytes:
    del name
    colours = (
        {"hex": code, "rgb": colour.tolist(), "share": round(float(share), 6)}
        for code, colour, share in _described(quantised)
    )
    lines = ",\n".join(f"  {json.dumps(colour)}" for colour in colours)
    return f"[\n{lines}\n]\n".encode()


def _css(quantised: Quantised, name: str) -> bytes:
    del name
    lines = (
        f"  --color-{number}: {code}; /* {share:.2%} */\n"
        for number, (code, _, share) in enumerate(_described(quantised), start=1)
    )
    return f":root {{\n{''.join(lines)}}}\n".encode()


def _gpl(quantised: Quantised, name: str) -> bytes:
    lines = (
        f"{red:3d} {green:3d} {blue:3d}\t{code}\n"
        for code, (red, green, blue), _ in _described(quantised)
    )
    return f"GIMP Palette\nName: {name}\nColumns: {A_ROW}\n#\n{''.join(lines)}".encode()


def _act(quantised: Quantised, name: str) -> bytes:
    del name
    entries = quantised.palette.tobytes().ljust(3 * ACT_ENTRIES, b"\0")
    return entries + struct.pack(">HH", len(quantised.palette), ACT_OPAQUE)


def _ase(quantised: Quantised, name: str) -> bytes:
    blocks = [_ase_block(ASE_GROUP, _ase_text(name))]
    for code, colour, _ in _described(quantised):
        value = struct.pack(">4s3fH", b"RGB ", *(colour / 255), ASE_PROCESS)
        blocks.append(_ase_block(ASE_COLOUR, _ase_text(code) + value))
    blocks.append(_ase_block(ASE_GROUP_END, b""))
    return struct.pack(">4sHHI", b"ASEF", 1, 0, len(blocks)) + b"".join(blocks)


def _ase_block(kind: int, content: bytes) -> bytes:
    return struct.pack(">HI", kind, len(content)) + content


def _ase_text(text: str) -> bytes:
    """The number of 16-bit units, and the units, of which the last is 0."""
    units = f"{text}\0".encode("utf-16-be")
    return struct.pack(">H", len(units) // 2) + units


def _described(quantised: Quantised) -> zip[tuple[str, np.ndarray, float]]:
    return zip(quantised.hex_codes, quantised.palette, quantised.shares, strict=True)


FORMATS: dict[str, Callable[[Quantised, str], bytes]] = {
    ".png": _png,
    ".json": _json,
    ".css": _css,
    ".gpl": _gpl,
    ".ase": _ase,
    ".act": _act,
}
