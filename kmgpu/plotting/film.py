"""What the animations share: how they are written and shown. Imported only when one is made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from html import escape
from pathlib import Path
from subprocess import CalledProcessError
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

from matplotlib.animation import FFMpegWriter, FuncAnimation, PillowWriter
from matplotlib.figure import Figure

from kmgpu.backend.devices import Unavailable
from kmgpu.io.files import PathLike, check_writable, named_errors, replacing

FORMATS = (".html", ".gif", ".mp4")


class Animation(FuncAnimation):
    """A matplotlib animation that picks the writer by the file's name.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    show : callable
        ``show(number)`` draws the frame of that number.
    n_frames, fps : int
    title : str
    height : int
        Of the player in a notebook, in pixels.
    """

    def __init__(
        self,
        figure: Figure,
        show: Callable[[int], None],
        *,
        n_frames: int,
        fps: int,
        title: str,
        height: int,
    ) -> None:
        self._fps, self._title, self._height = fps, title, height
        super().__init__(
            figure,
            show,
            frames=n_frames,
            init_func=lambda: None,
            interval=1000 // fps,
            repeat=False,
        )

    def __del__(self) -> None:
        """Nothing: matplotlib warns of an animation no window has shown, but a page is none."""

    def save(self, filename: Any, writer: Any = None, *rest: Any, **options: Any) -> None:
        """Write the animation: .html, .gif, or .mp4 where ffmpeg is installed.

        Parameters
        ----------
        filename : str or path-like
            The ending chooses the format; the file appears whole or not at all.
        writer, *rest, **options
            Given a writer, everything is as in `matplotlib.animation.Animation.save`.

        Raises
        ------
        ValueError
            For another ending.
        RuntimeError
            For .mp4 without ffmpeg, or where it fails.
        """
        if writer is not None:
            with self._arranged():
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
        """A page of its own that needs no network."""
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """The page in a frame of its own."""
        return (
            f'<iframe srcdoc="{escape(self.to_html())}" title="{escape(self._title)}" '
            f'style="width: 100%; height: {self._height}px; border: 0"></iframe>'
        )

    def _arranged(self) -> AbstractContextManager[None]:
        """What holds while a writer draws the frames."""
        return nullcontext()

    def _gif(self) -> bytes:
        return self._through(PillowWriter, ".gif")

    def _mp4(self, filename: PathLike) -> bytes:
        try:
            return self._through(FFMpegWriter, ".mp4")
        except (BrokenPipeError, CalledProcessError) as error:
            said = getattr(error, "stderr", "").strip() or f"{type(error).__name__}, no message"
            msg = f"{filename}: ffmpeg failed ({said}); write .gif or .html."
            raise Unavailable(msg) from error

    def _through(self, writer: Any, suffix: str) -> bytes:
        """The file that one of matplotlib's writers makes."""
        with TemporaryDirectory() as folder:
            path = Path(folder, f"film{suffix}")
            self.save(path, writer(fps=self._fps))
            return path.read_bytes()


def check_format(suffix: str, filename: PathLike) -> None:
    """Raise for an animation that cannot be written here: another format, or no ffmpeg."""
    if suffix not in FORMATS:
        msg = f"{filename} cannot be written: its name must end in one of {', '.join(FORMATS)}."
        raise ValueError(msg)
    if suffix == ".mp4" and not FFMpegWriter.isAvailable():
        msg = f"{filename}: writing .mp4 needs ffmpeg; install it, or write .gif or .html."
        raise Unavailable(msg)
