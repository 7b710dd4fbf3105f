"""The moving outlier as a matplotlib animation. Imported only when one is made."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from importlib.resources import files
from io import BytesIO

from PIL import Image

from kmgpu.plotting.figures import legend_below, new_figure
from kmgpu.plotting.film import Animation
from kmgpu.plotting.mean_median import TITLE, OutlierPath, draw_center_paths, draw_strip

WIDTH, HEIGHT = 7.0, 4.4
DPI = 80
FPS = 10
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{player}
</main>
</body>
</html>
"""


class OutlierAnimation(Animation):
    """Ten frames a second: the points on a line above, both centres so far below."""

    def __init__(self, path: OutlierPath) -> None:
        self.path = path
        self._figure = new_figure(WIDTH, HEIGHT)
        self._figure.set_dpi(DPI)
        self._strip, self._centers = self._figure.subplots(2, 1, sharex=True, height_ratios=(1, 2))
        self._show(len(path.outlier) - 1)
        legend_below(self._strip)
        # laid out once, so that nothing but the points moves
        self._figure.get_layout_engine().execute(self._figure)  # type: ignore[union-attr]
        self._figure.set_layout_engine("none")
        super().__init__(
            self._figure,
            self._show,
            n_frames=len(path.outlier),
            fps=FPS,
            title=TITLE,
            height=520,
        )

    def to_html(self) -> str:
        """A page of its own that needs no network, with matplotlib's player."""
        player = re.sub(r"<link[^>]*>", "", self.to_jshtml(fps=FPS, default_mode="loop"))
        player = re.sub(r'data:image/png;base64,([^"]*)', _in_fewer_bytes, player)
        style = (files("kmgpu.plotting") / "player.css").read_text(encoding="utf-8")
        return PAGE.format(title=TITLE, style=style, player=player)

    def _show(self, at: int) -> None:
        """Draw the frame of that number."""
        for axes in (self._strip, self._centers):
            axes.clear()
        draw_strip(self._strip, self.path, at)
        draw_center_paths(self._centers, self.path, [at])
        mean, median = (self.path.centers[name][at] for name in ("l2", "l1"))
        self._strip.set_title(f"{TITLE}\nmean {mean:.4g}, median {median:.4g}", fontsize="medium")


def _in_fewer_bytes(frame: re.Match[str]) -> str:
    """An embedded PNG in 256 colours: a quarter of the bytes."""
    out = BytesIO()
    with Image.open(BytesIO(b64decode(frame[1].replace("\\\n", "")))) as picture:
        few = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    few.save(out, "png")
    return f"data:image/png;base64,{b64encode(out.getvalue()).decode()}"
