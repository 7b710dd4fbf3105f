"""The record as a matplotlib animation. Imported only when one is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from kmgpu.plotting.figures import ASSIGN_COLOUR, REFIT_COLOUR, new_figure
from kmgpu.plotting.film import Animation
from kmgpu.plotting.page import page
from kmgpu.plotting.panel import LARGE, draw_frame, view_of_all
from kmgpu.plotting.record import StepRecord

WIDTH, HEIGHT, LEFT_SHARE = 10.0, 5.7, 0.56
DPI = 110
MILLISECONDS, AT_THE_END = 1000, 3000
KINDS = {"assign": ("o", ASSIGN_COLOUR, "assignment"), "refit": ("s", REFIT_COLOUR, "refitting")}


class StepsAnimation(Animation):
    """One frame a second of a record, the points on the left, the loss on the right."""

    def __init__(self, record: StepRecord) -> None:
        self.record = record
        self._figure = new_figure(WIDTH, HEIGHT)
        self._figure.set_dpi(DPI)
        self._canvas = FigureCanvasAgg(self._figure)
        left, right = self._figure.subfigures(
            1, 2, width_ratios=(LEFT_SHARE, 1 - LEFT_SHARE), squeeze=False
        )[0]
        self._points, self._losses = left.subplots(), right.subplots()
        self._caption = left.supxlabel(fill(record.caption, 80), fontsize=8.5)
        self._titled = True
        self._view = view_of_all(record)
        self._set_up_losses()
        super().__init__(
            self._figure,
            self._show,
            n_frames=len(record.frames),
            fps=1000 // MILLISECONDS,
            title=f"{record.name}, step by step",
            height=640,
        )

    def to_html(self) -> str:
        """A page of its own that needs no network: a player with keys, step names and losses."""
        with self._arranged(titled=False):  # the page itself says what the titles say
            pngs = [_encoded(picture, "png") for picture in self._pictures()]
        points, losses = (share * WIDTH / HEIGHT for share in (LEFT_SHARE, 1 - LEFT_SHARE))
        return page(_player(len(pngs)), pngs, self.record, points, losses)

    def _gif(self) -> bytes:
        with self._arranged():
            first, *others = self._pictures()
        durations = [MILLISECONDS] * len(others) + [AT_THE_END]
        return _encoded(
            first, "gif", save_all=True, append_images=others, duration=durations, loop=0
        )

    def _pictures(self) -> Iterator[Image.Image]:
        """Every frame in 256 colours; drawn once, where ``savefig`` draws twice."""
        for number in range(len(self.record.frames)):
            self._show(number)
            self._canvas.draw()
            picture = Image.fromarray(np.asarray(self._canvas.buffer_rgba())[..., :3])
            yield picture.quantize(256, dither=Image.Dither.NONE)

    @contextmanager
    def _arranged(self, *, titled: bool = True) -> Iterator[None]:
        """Laid out once: what fits the last frame fits all, and each is drawn faster."""
        engine = self._figure.get_layout_engine()
        self._titled = titled
        self._caption.set_visible(titled)
        self._show(len(self.record.frames) - 1)
        assert engine is not None
        engine.execute(self._figure)
        self._figure.set_layout_engine("none")
        try:
            yield
        finally:
            self._titled = True
            self._caption.set_visible(True)
            self._figure.set_layout_engine(engine)

    def _set_up_losses(self) -> None:
        axes, history = self._losses, self.record.history
        values = [entry.loss for entry in history]
        low, high = min(values), max(values)
        room = 0.08 * (high - low) or 0.08 * abs(high) or 1.0
        axes.set_xlim(0.5, max(2, len(values)) + 0.5)
        axes.set_ylim(low - room, high + room)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("half-step")
        axes.set_ylabel(f"loss L(µ), {self.record.loss.units}")
        axes.grid(alpha=0.3)
        (self._line,) = axes.plot([], [], color="0.6", linewidth=1, zorder=1)
        self._marks = {
            kind: axes.plot([], [], marker, color=colour, markersize=5, label=name, zorder=2)[0]
            for kind, (marker, colour, name) in KINDS.items()
        }
        (self._here,) = axes.plot([], [], "o", markersize=13, mfc="none", mec="black", zorder=3)
        axes.legend(title="after", frameon=False, loc="upper right")

    def _show(self, number: int) -> None:
        """Draw the frame of that number."""
        frame = self.record.frames[number]
        self._points.clear()
        draw_frame(self._points, self.record, frame, self._view, LARGE)
        self._show_losses(frame.n_done)
        said = "" if frame.loss is None else f"L(µ) = {frame.loss:.6g}\n"
        self._points.set_title(f"{frame.title}\n{frame.note}" if self._titled else "", fontsize=11)
        self._losses.set_title(said if self._titled else "", fontsize=11)

    def _show_losses(self, n_done: int) -> None:
        history = self.record.history[:n_done]
        at, values = np.arange(1, n_done + 1), np.array([entry.loss for entry in history])
        self._line.set_data(at, values)
        for kind, marks in self._marks.items():
            of_kind = np.array([entry.kind == kind for entry in history], np.bool_)
            marks.set_data(at[of_kind], values[of_kind])
        self._here.set_data(at[-1:], values[-1:])


def _player(n_frames: int) -> str:
    """Matplotlib's own player, of frames that hold nothing yet."""
    blank = FuncAnimation(Figure((0.1, 0.1)), lambda _: (), frames=n_frames, cache_frame_data=False)
    return blank.to_jshtml(fps=1000 // MILLISECONDS, default_mode="once")


def _encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    out = BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()
