"""Damage: what disks, networks, editors and malice do to a file."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.faults import samples

TOKENS = [b'"', b"'", b",", b";", b"\n", b"\r", b"\0", b" ", b"\t", b"\xff", b"\xef\xbb\xbf"]
TOKENS += [b"nan", b"NA", b"inf", b"1e999", b"-1", b"0x1", b"9" * 400, b"(" * 300, b"[" * 3000]
TOKENS += [b"PK\5\6", b"PK\1\2", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"True", b"\\x00", b"#"]
DTYPES = ["<f4", ">f8", "|O", "<U9", "|b1", "<M8[s]", "<c16", "|V8", "<f16", "|S0", "<i1", "3<f8"]
SHAPES = ["(3, 3)", "(-1, 2)", "(3,)", "()", "(True, 2)", "(9999999999999999999999, 2)", "(0, 2)"]
SHAPES += ["(3, 2, 1)", "(6,)", "(1.0, 6)", "[3, 2]", "None", "(2, 3)"]
VALUES: list[Any] = [None, True, False, -1, 0, 1, 2, 1.5, -0.5, 1e308, float("inf"), float("nan")]
VALUES += [2**70, "", "oops", "KMeans", "cuda:0", "x" * 5000, [], {}, [1], [[[[]]]], {"a": 1}, "\0"]


def flip(content: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(content)
    changed[rng.integers(len(content))] ^= 1 << rng.integers(8)
    return bytes(changed)


def overwrite(content: bytes, rng: np.random.Generator) -> bytes:
    at, length = rng.integers(len(content)), rng.integers(1, 65)
    fill = rng.choice([b"\0", b"\xff", rng.bytes(1)]) * int(length)
    return content[:at] + fill[: len(content) - at] + content[at + length :]


def truncate(content: bytes, rng: np.random.Generator) -> bytes:
    return content[: rng.integers(len(content) + 1)]


def drop(content: bytes, rng: np.random.Generator) -> bytes:
    at = rng.integers(len(content))
    return content[:at] + content[at + rng.integers(1, 17) :]


def insert(content: bytes, rng: np.random.Generator) -> bytes:
    at = rng.integers(len(content) + 1)
    return content[:at] + TOKENS[rng.integers(len(TOKENS))] + content[at:]


def copy(content: bytes, rng: np.random.Generator) -> bytes:
    """A part of the file once more, elsewhere."""
    start, at = rng.integers(len(content) + 1, size=2)
    return content[:at] + content[start : start + rng.integers(1, 257)] + content[at:]


def number(content: bytes, rng: np.random.Generator) -> bytes:
    """Another number, of 1 to 8 bytes, in binary."""
    width = 1 << int(rng.integers(4))
    values = (0, 1, 255, (1 << 8 * width - 1), (1 << 8 * width) - 1)
    value = values[rng.integers(len(values))]
    at = rng.integers(len(content))
    return content[:at] + value.to_bytes(width, "little") + content[at + width :]


BLIND = (flip, overwrite, truncate, drop, insert, copy, number)


def header(content: bytes, rng: np.random.Generator) -> bytes:
    """Another dtype, order or shape in .npy data, whose header keeps its length."""
    end = content.index(b"\n") if b"\n" in content else len(content)
    text = content[10:end].decode("latin1")
    which = rng.integers(3)
    if which == 0:
        text = re.sub(r"'descr': '[^']*'", f"'descr': '{rng.choice(DTYPES)}'", text)
    elif which == 1:
        text = text.replace("False", "True")
    else:
        shape = SHAPES[rng.integers(len(SHAPES))]
        text = re.sub(r"'shape': \([^)]*\)", lambda _: f"'shape': {shape}", text)
    text = text.rstrip().ljust(end - 10)
    length = len(text) + 1
    return content[:8] + length.to_bytes(2, "little") + text.encode("latin1") + content[end:]


def document(content: bytes, rng: np.random.Generator) -> bytes:
    """Another value somewhere in the JSON document that .npy data of text hold."""
    try:
        value = json.loads(np.load(io.BytesIO(content)).item())
    except Exception:  # an earlier change has damaged it
        return content
    inner = value
    while True:
        keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        if not keys:
            break
        key = keys[rng.integers(len(keys))]
        if isinstance(inner[key], dict | list) and inner[key] and rng.random() < 0.8:
            inner = inner[key]
            continue
        if rng.random() < 0.2:
            del inner[key]
        else:
            inner[key] = VALUES[rng.integers(len(VALUES))]
        break
    return samples.npy(np.array(json.dumps(value)))


def member(content: bytes, rng: np.random.Generator) -> bytes:
    """Damage inside a member of an archive, whose checksum is made anew."""
    try:
        parts = list(samples.members(content).items())
    except Exception:  # an earlier change has damaged it
        parts = []
    if not parts:
        return flip(content, rng)
    at = rng.integers(len(parts))
    name, data = parts[at]
    which = rng.random()
    if which < 0.1:
        parts.append(parts[rng.integers(len(parts))])
    elif which < 0.2:
        parts[at] = (str(rng.choice(["../x.npy", "x.txt", "x", "y.npy", "init.npy"])), data)
    elif which < 0.3:
        other = rng.integers(len(parts))
        parts[at], parts[other] = (name, parts[other][1]), (parts[other][0], data)
    else:
        inside = (document, document, *INSIDE) if "kmgpu_model" in name else INSIDE
        parts[at] = (name, inside[rng.integers(len(inside))](data or b"\0", rng))
    packing = list(samples.PACKINGS.values())[rng.choice(4, p=[0.7, 0.1, 0.1, 0.1])]
    return samples.archive(parts, packing, force_zip64=bool(rng.random() < 0.5))


INSIDE = (header, header, flip, insert, overwrite, truncate)
FORMATS: dict[str, tuple[Callable[[bytes, np.random.Generator], bytes], ...]] = {
    ".npy": (*BLIND, header, header, header),
    ".npz": (*BLIND, *([member] * 8)),
    ".csv": (*BLIND, insert, insert, copy),
}
