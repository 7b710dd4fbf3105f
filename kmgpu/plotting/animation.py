"""Animations as pages, .gif and .mp4 files, and in notebooks. Imported only when one is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from html import escape
from io import BytesIO
from pathlib import Path
from subprocess import CalledProcessError
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
from matplotlib.animation import FFMpegWriter, FuncAnimation
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from kmgpu.backend.devices import Unavailable
from kmgpu.files import PathLike, check_writable, named_errors, replacing
from kmgpu.plotting.page import Caption, page

FORMATS = (".html", ".gif", ".mp4")
# of files that show at this size, and of those shown large: on a projector, or zoomed in
DPI, FINE_DPI = 110, 220
NOTEBOOK_HEIGHT = 640


class Animation(FuncAnimation):
    """A matplotlib animation that is saved, and shown in a notebook, with captions.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    draw : callable
        ``draw(number, titled)`` draws the frame of that number into `figure`. If `titled` is
        False it leaves out what the captions say.
    captions : sequence of Caption
        One a frame.
    name, about : str
        The title of the page, and a sentence below its player.
    fps : int
        Frames a second.
    loop : bool, default=False
        Whether the page starts again at the end.
    left_share : float, optional
        The share of the figure's width left of where a narrow screen may split it.

    Attributes
    ----------
    figure, draw, captions, name
        The arguments.
    """

    def __init__(
        self,
        figure: Figure,
        draw: Callable[[int, bool], None],
        captions: Sequence[Caption],
        *,
        name: str,
        about: str,
        fps: int,
        loop: bool = False,
        left_share: float | None = None,
    ) -> None:
        self.figure, self.draw, self.captions = figure, draw, tuple(captions)
        self.name, self._about, self._fps, self._loop = name, about, fps, loop
        self._left_share = left_share
        figure.set_dpi(DPI)
        super().__init__(
            figure,
            draw,
            frames=len(self.captions),
            init_func=lambda: None,
            fargs=(True,),
            interval=1000 // fps,
            repeat=False,
        )

    def __del__(self) -> None:
        """Suppress matplotlib's warning that the animation was deleted without rendering."""

    def save(self, filename: Any, writer: Any = None, *rest: Any, **options: Any) -> None:
        """Write the animation: .html, .gif, or, if ffmpeg is installed, .mp4.

        Parameters
        ----------
        filename : str or path-like
            The ending chooses the format. The file appears whole or not at all.
        writer, *rest, **options
            With a writer, everything is as in `matplotlib.animation.Animation.save`.

        Raises
        ------
        ValueError
            For another ending.
        RuntimeError
            For .mp4 if ffmpeg is missing or fails.
        """
        if writer is not None:
            with self._laid_out(titled=True):
                super().save(filename, writer, *rest, **options)
            return
        suffix = Path(filename).suffix.lower()
        check_format(suffix, filename)
        check_writable(filename)
        encode = {
            ".html": lambda: self.to_html().encode(),
            ".gif": self._gif,
            ".mp4": lambda: self._mp4(filename),
        }
        with named_errors(filename, f"{gettempdir()} (TMPDIR)"):
            content = encode[suffix]()
        with replacing(filename) as file:
            file.write(content)

    def to_html(self) -> str:
        """The page, which needs no network: a player with keys, and the captions."""
        pngs = [_encoded(picture, "png") for picture in self._pictures(FINE_DPI, titled=False)]
        width, height = self.figure.get_size_inches()
        split = None
        if self._left_share is not None:
            left = self._left_share * width / height
            split = (left, width / height - left)
        return page(
            pngs,
            self.captions,
            name=self.name,
            about=self._about,
            seconds=1 / self._fps,
            loop=self._loop,
            size=(round(width * FINE_DPI), round(height * FINE_DPI)),
            split=split,
        )

    def _repr_html_(self) -> str:
        """The page in a frame, for notebooks."""
        return (
            f'<iframe srcdoc="{escape(self.to_html())}" title="{escape(self.name)}" '
            f'style="width: 100%; height: {NOTEBOOK_HEIGHT}px; border: 0"></iframe>'
        )

    def _gif(self) -> bytes:
        """The frames, the last three times as long as the others."""
        first, *others = self._pictures(DPI, titled=True)
        milliseconds = 1000 // self._fps
        durations = [milliseconds] * len(others) + [3 * milliseconds]
        return _encoded(
            first, "gif", save_all=True, append_images=others, duration=durations, loop=0
        )

    def _mp4(self, filename: PathLike) -> bytes:
        try:
            with TemporaryDirectory() as folder:
                path = Path(folder, "animation.mp4")
                self.save(path, FFMpegWriter(fps=self._fps), dpi=FINE_DPI)
                return path.read_bytes()
        except (BrokenPipeError, CalledProcessError) as error:
            said = getattr(error, "stderr", "").strip() or f"{type(error).__name__}, no message"
            msg = f"{filename}: ffmpeg failed ({said}); write .gif or .html."
            raise Unavailable(msg) from error

    def _pictures(self, dpi: int, *, titled: bool) -> Iterator[Image.Image]:
        """Every frame in 256 colours; drawn once, while ``savefig`` draws twice."""
        canvas = FigureCanvasAgg(self.figure)
        self.figure.set_dpi(dpi)
        with self._laid_out(titled=titled):
            for number in range(len(self.captions)):
                self.draw(number, titled)
                canvas.draw()
                picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
                yield picture.quantize(256, dither=Image.Dither.NONE)

    @contextmanager
    def _laid_out(self, *, titled: bool) -> Iterator[None]:
        """Lay the figure out for its last frame alone: no frame jumps, all are drawn faster."""
        engine = self.figure.get_layout_engine()
        self.draw(len(self.captions) - 1, titled)
        for _ in range(2):  # once is not enough after a layout with other titles
            self.figure.draw_without_rendering()
        self.figure.set_layout_engine("none")
        try:
            yield
        finally:
            self.figure.set_layout_engine(engine)


def check_format(suffix: str, filename: PathLike) -> None:
    """Raise if an animation cannot be written to `filename`: another format, or no ffmpeg."""
    if suffix not in FORMATS:
        msg = f"{filename} cannot be written: its name must end in one of {', '.join(FORMATS)}."
        raise ValueError(msg)
    if suffix == ".mp4" and not FFMpegWriter.isAvailable():
        msg = f"{filename}: writing .mp4 needs ffmpeg; install it, or write .gif or .html."
        raise Unavailable(msg)


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()
