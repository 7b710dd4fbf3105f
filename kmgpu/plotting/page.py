"""matplotlib's player as a page that needs no network, with what the player lacks.

The player alone fetches its icons from the network, has no keys, does not say which step it shows,
and is wider than a phone; plotly's brings megabytes of script and has no keys either.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from kmgpu.plotting.record import Frame, StepRecord

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{name}, step by step</title>
</head>
<body>
<main data-player="{player_id}" style="--points: {points}; --losses: {losses}">
<h1 aria-live="polite"></h1>
<p id="note"></p>
<p><output id="count"></output> <output id="loss"></output></p>
{player}
<p class="small">{caption}</p>
<p class="small">Keys: space plays and pauses; ← and → go one step, Home and End to the ends.</p>
</main>
<style>
{style}</style>
<script type="application/json" id="story">{story}</script>
<script>
{script}</script>
</body>
</html>
"""


def page(
    player: str, pngs: Sequence[bytes], record: StepRecord, points: float, losses: float
) -> str:
    """One self-contained HTML file.

    Parameters
    ----------
    player : str
        What matplotlib's ``to_jshtml`` made for as many frames.
    pngs : sequence of bytes
        The frames, which take the place of those of `player`.
    record : StepRecord
    points, losses : float
        Width over height of the left part of the frames and of the right one: on a narrow screen
        they are shown one below the other.
    """
    here = files("kmgpu.plotting")
    found = re.search(r"_anim_img(\w+)", player)
    assert found is not None
    frames = iter(pngs)
    player = re.sub(r"<link[^>]*>", "", player)
    player = re.sub(r'"data:image/[^"]*"', lambda _: _embedded(next(frames)), player)
    return TEMPLATE.format(
        name=record.name,
        player_id=found[1],
        points=points,
        losses=losses,
        player=player,
        caption=escape(record.caption),
        style=(here / "player.css").read_text(encoding="utf-8"),
        story=json.dumps([_said(frame) for frame in record.frames]),
        script=(here / "player.js").read_text(encoding="utf-8"),
    )


def _embedded(png: bytes) -> str:
    return f'"data:image/png;base64,{b64encode(png).decode()}"'


def _said(frame: Frame) -> dict[str, str]:
    loss = "" if frame.loss is None else f"L(µ) = {frame.loss:.6g}"
    return {"title": frame.title, "note": frame.note, "loss": loss}
