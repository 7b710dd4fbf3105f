"""Small undamaged files of every kind that kmgpu reads, as bytes."""

from __future__ import annotations

import gzip
import io
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from kmgpu import KMeans, KMedians, save_model

TABLE = np.array([[1.5, -2.0], [3.25, 4e6], [0.0, 7.0]])
PACKINGS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}
CSV = "width,height\n1.5,-2\n3.25,4e6\n0,7\n"
TEXTS = {
    "commas": CSV,
    "no names": CSV.split("\n", 1)[1],
    "quoted": '"the width","height,\nin m"\n"1.5",-2\n3.25,"4e6"\n0,7\n',
    "semicolons": "a;b\n1,5;-2\n3,25;4e6\n0;7\n",
    "blanks": "  a   b\n  1.5 -2\n 3.25   4e6\n0 7  \n",
    "windows": "\ufeffa\tb\r\n1.5\t-2\r\n3.25\t4e6\r\n0\t7\r\n",
}
# Pillow's name of a format, and options
PICTURES = {
    "a.png": ("PNG", {}),
    "b.jpg": ("JPEG", {"quality": 90}),
    "c.tiff": ("TIFF", {}),
    "d.tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "e.gif": ("GIF", {}),
    "f.bmp": ("BMP", {}),
    "g.webp": ("WEBP", {"lossless": True}),
    "h.ppm": ("PPM", {}),
    "i.tga": ("TGA", {}),
    "j.ico": ("ICO", {}),
    "k.pcx": ("PCX", {}),
    "l.jp2": ("JPEG2000", {}),
    "m.dds": ("DDS", {}),
    "n.sgi": ("SGI", {}),
}


def written(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def archive(
    members: Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED, **options: bool
) -> bytes:
    """A zip archive of these members, in their order."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", compression) as made:
        warnings.filterwarnings("ignore", message="Duplicate name")
        for name, content in members:
            member = zipfile.ZipInfo(name)
            member.compress_type = compression
            with made.open(member, "w", **options) as part:
                part.write(content)
    return file.getvalue()


def members(content: bytes) -> dict[str, bytes]:
    """The members of an archive, by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as made:
        return {name: made.read(name) for name in made.namelist()}


def npy(array: np.ndarray) -> bytes:
    return written(lambda file: np.save(file, array))


@cache
def model(loss: str = "l2") -> bytes:
    """A model of one cluster and one feature, with an `init` of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.npz"
        estimator = {"l2": KMeans, "l1": KMedians}[loss](1, init=np.array([[2.0]]), max_iter=1)
        save_model(estimator.fit(np.array([[1.0], [4.0]])), path, labels=True)
        return path.read_bytes()


@cache
def named_model() -> bytes:
    """A model of three clusters and two named features."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(12, 2)), columns=["länge", "breite"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.npz"
        save_model(KMedians(3, random_state=0).fit(frame), path, labels=True)
        return path.read_bytes()


@cache
def picture(name: str) -> bytes:
    form, options = PICTURES[name]
    pixels = np.random.default_rng(0).integers(256, size=(16, 16, 3)).astype(np.uint8)
    return written(lambda file: Image.fromarray(pixels).save(file, form, **options))


@cache
def tables() -> dict[str, bytes]:
    """Files of `TABLE`, by names whose endings say the format."""
    frame = pd.DataFrame(TABLE, columns=["width", "height"])
    found = {"c.npy": npy(TABLE), "f.npy": npy(np.asfortranarray(TABLE))}
    found |= {
        f"{name}.npz": archive([("x.npy", npy(TABLE))], packing)
        for name, packing in PACKINGS.items()
    }
    found |= {f"{name}.csv": text.encode() for name, text in TEXTS.items()}
    found |= {"packed.csv.gz": gzip.compress(CSV.encode(), mtime=0)}
    for packing in ("none", "snappy", "gzip", "zstd"):
        file = f"{packing}.parquet"
        found[file] = written(lambda made, how=packing: frame.to_parquet(made, compression=how))
    return found
