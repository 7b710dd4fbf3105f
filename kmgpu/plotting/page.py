"""An animation as one HTML file with a player, which needs no network; see player.html."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple


class Caption(NamedTuple):
    """What the page says about one frame: a title, a note below it, and a value."""

    title: str
    note: str
    value: str = ""


def page(
    pngs: Sequence[bytes],
    captions: Sequence[Caption],
    *,
    name: str,
    about: str,
    seconds: float,
    loop: bool,
    size: tuple[int, int],
    split: tuple[float, float] | None,
) -> str:
    """The text of the file.

    Parameters
    ----------
    pngs : sequence of bytes
        The frames; all are kept.
    captions : sequence of Caption
        One a frame.
    name, about : str
        The title of the page, and a sentence below the player.
    seconds : float
        How long a frame is shown.
    loop : bool
        Whether "Repeat" is pressed at first.
    size : tuple of int
        Width and height of the frames.
    split : tuple of float, or None
        Width over height of the left and of the right part of the frames. A narrow screen shows
        one below the other. None: frames are never split.
    """
    frames = [f"data:image/png;base64,{b64encode(png).decode()}" for png in pngs]
    animation = {
        "frames": frames,
        "captions": [caption._asdict() for caption in captions],
        "seconds": seconds,
        "loop": loop,
        "split": split,
    }
    template = (files("kmgpu.plotting") / "player.html").read_text(encoding="utf-8")
    return Template(template).substitute(
        name=escape(name),
        about=escape(about),
        width=size[0],
        height=size[1],
        n_frames=len(frames),
        last=escape(". ".join(filter(None, captions[-1]))),
        picture=frames[-1],
        animation=json.dumps(animation, indent=0).replace("<", "\\u003c"),
    )
